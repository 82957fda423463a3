// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"mllb/internal/namedfile"
)

// progress is one line: the step, what it is at, and the time left. On a terminal
// it is drawn over, elsewhere written now and then.
type progress struct {
	out    io.Writer
	redraw bool
	width  func() int
	now    func() time.Time

	mu       sync.Mutex
	steps    []step
	at       int           // in steps
	started  time.Time     // the step
	share    float64       // of the step that is done
	known    time.Duration // what steps that did something took
	expected time.Duration // and should have
	last     time.Time
}

// logEvery keeps logs short, drawEvery terminals quiet.
const (
	logEvery  = 15 * time.Second
	drawEvery = time.Second / 4
)

func newProgress(out io.Writer, steps []step) *progress {
	p := &progress{out: out, steps: steps, now: time.Now}
	if f, ok := out.(*os.File); ok && namedfile.Drawable(f) {
		p.redraw = true
		p.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 1 {
				return w
			}
			return 80
		}
	}
	return p
}

// begin starts a step.
func (p *progress) begin(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.started, p.share = i, p.now(), 0
	p.show("", true)
}

// end ends it. One whose results were there says nothing of the others.
func (p *progress) end(skipped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !skipped {
		p.known += p.now().Sub(p.started)
		p.expected += p.steps[p.at].expect
	}
}

// tell says what the step is at, and which share of it is done; below 0: as before.
func (p *progress) tell(share float64, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if share >= 0 {
		p.share = min(share, 1)
	}
	p.show(fmt.Sprintf(format, args...), false)
}

// say writes a line that stays.
func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.out, "mllb reproduce: "+format+"\n", args...)
}

func (p *progress) clear() {
	if p.redraw {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) show(what string, always bool) {
	every := logEvery
	if p.redraw {
		every = drawEvery
	}
	now := p.now()
	if !always && now.Sub(p.last) < every {
		return
	}
	p.last = now
	line := fmt.Sprintf("step %d of %d: %s", p.at+1, len(p.steps), p.steps[p.at].title)
	if what != "" {
		line += ": " + what
	}
	line += fmt.Sprintf("; about %v left", round(p.left(now)))
	if !p.redraw {
		fmt.Fprintln(p.out, "mllb reproduce: "+line)
		return
	}
	text := []rune(line)
	fmt.Fprintf(p.out, "\r%s\x1b[K", string(text[:min(len(text), p.width()-1)]))
}

// left is what the steps that are left should take, by how long those so far
// took against what they should have.
func (p *progress) left(now time.Time) time.Duration {
	spent, step := now.Sub(p.started), p.steps[p.at].expect
	left := max(step-spent, step/10)
	took, should := p.known, p.expected
	if p.share > 0.05 {
		left = time.Duration((1 - p.share) * float64(step))
		took, should = took+spent, should+time.Duration(p.share*float64(step))
	}
	for _, s := range p.steps[p.at+1:] {
		left += s.expect
	}
	pace := 1.0
	if should > 0 {
		pace = min(max(float64(took)/float64(should), 0.2), 10)
	}
	return time.Duration(pace * float64(left))
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Minute {
		return d.Round(time.Minute)
	}
	return d.Round(10 * time.Second)
}
