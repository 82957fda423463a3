// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"fmt"
	"io"
	"sync"
	"time"

	"mllb/internal/progress"
)

// stepsProgress tells how far the steps are, by what each should take.
type stepsProgress struct {
	*progress.Display
	now func() time.Time

	mu       sync.Mutex
	steps    []step
	at       int           // in steps
	started  time.Time     // the step
	share    float64       // of the step that is done
	known    time.Duration // what steps that did something took
	expected time.Duration // and should have
}

func newProgress(out io.Writer, steps []step) *stepsProgress {
	return &stepsProgress{Display: progress.New(out, "mllb reproduce"), steps: steps, now: time.Now}
}

// begin starts a step.
func (p *stepsProgress) begin(i int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.started, p.share = i, p.now(), 0
	p.Step(p.state(""))
}

// end ends it. One whose results were there says nothing of the others.
func (p *stepsProgress) end(skipped bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !skipped {
		p.known += p.now().Sub(p.started)
		p.expected += p.steps[p.at].expect
	}
}

// tell says what the step is at, and which share of it is done; below 0: as before.
func (p *stepsProgress) tell(share float64, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if share >= 0 {
		p.share = min(share, 1)
	}
	p.Set(p.state(fmt.Sprintf(format, args...)))
}

func (p *stepsProgress) state(what string) progress.State {
	line := fmt.Sprintf("step %d of %d: %s", p.at+1, len(p.steps), p.steps[p.at].title)
	if what != "" {
		line += ": " + what
	}
	var done, all time.Duration
	for i, s := range p.steps {
		all += s.expect
		switch {
		case i < p.at:
			done += s.expect
		case i == p.at:
			done += time.Duration(p.share * float64(s.expect))
		}
	}
	return progress.State{Share: float64(done) / float64(max(all, 1)), Left: p.left(p.now()), Doing: line}
}

// left is what the steps that are left should take, by how long those so far
// took against what they should have.
func (p *stepsProgress) left(now time.Time) time.Duration {
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
