// SPDX-License-Identifier: Apache-2.0

// Package progress shows a person how far long work is: on a terminal a bar with the
// time left and what is being done, elsewhere the same as a line now and then.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"mllb/internal/namedfile"
)

// State is how far the work is.
type State struct {
	Share  float64       // that is done, or Endless
	Left   time.Duration // 0: as the pace so far has it
	AtMost bool          // it may well be less
	Doing  string
}

// Endless is the share of what goes on until it is stopped.
const Endless = -1

// Display shows states. Its methods may be called at once, and do not wait for the
// terminal but for lines that stay.
type Display struct {
	name  string // of the program, before lines
	out   io.Writer
	now   func() time.Time
	draws bool // there is a terminal

	mu     sync.Mutex
	all    *mpb.Progress // from the first state on
	bar    *mpb.Bar
	state  State
	began  time.Time
	from   float64 // the first share
	known  bool    // a state is known
	logged time.Time
	table  []string
}

// logEvery keeps logs short, drawEvery what is measured meanwhile alone.
const (
	logEvery  = 15 * time.Second
	drawEvery = time.Second / 2
)

// New is for the standard error of a program, or what stands for it.
func New(out io.Writer, name string) *Display {
	f, ok := out.(*os.File)
	return newDisplay(out, name, ok && namedfile.Drawable(f))
}

// The bar on a terminal: its cells, and its steps.
const (
	cells = 24
	steps = 10_000
)

func newDisplay(out io.Writer, name string, terminal bool) *Display {
	return &Display{name: name, out: out, now: time.Now, draws: terminal}
}

// start begins to draw, with a row above the bar for each line of the table.
func (d *Display) start() {
	d.all = mpb.New(mpb.WithOutput(d.out), mpb.WithAutoRefresh(), mpb.WithRefreshRate(drawEvery))
	var rows []mpb.BarFiller
	for i := len(d.table) - 1; i >= 0; i-- { // mpb has the row next to the bar first
		rows = append(rows, mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			_, err := fmt.Fprintln(w, d.row(i, s.AvailableWidth-1))
			return err
		}))
	}
	d.bar = d.all.New(steps, mpb.BarStyle().Lbound("[").Filler("#").Tip("").Padding(".").Rbound("]"), mpb.BarWidth(cells+2), mpb.BarTopExtender(rows...),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string { return d.text(s.AvailableWidth - cells - 5) })))
}

// Terminal says whether there is one: what a bar shows need not be logged too.
func (d *Display) Terminal() bool { return d.draws }

// Set shows a state.
func (d *Display) Set(s State) { d.set(s, false) }

// Step shows a state, and never skips its line.
func (d *Display) Step(s State) { d.set(s, true) }

func (d *Display) set(s State, always bool) {
	s.Share = min(s.Share, 1)
	if bar := d.store(s, always); bar != nil { // which calls text, so not under the lock; at its end mpb ends the bar
		bar.SetCurrent(int64(min(max(s.Share, 0)*steps, steps-1)))
	}
}

func (d *Display) store(s State, always bool) *mpb.Bar {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if !d.known {
		d.began, d.from, d.logged, d.known = now, s.Share, now, true
	}
	d.state = s
	switch {
	case d.draws && d.bar == nil:
		d.start()
	case !d.draws && (always || now.Sub(d.logged) >= logEvery):
		d.logged = now
		fmt.Fprintf(d.out, "%s: %s\n", d.name, d.words(now))
	}
	return d.bar
}

// Table shows lines above the bar, where there is a terminal: as many as there are at the
// first state.
func (d *Display) Table(lines []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.table = lines
}

// Say writes a line that stays.
func (d *Display) Say(format string, args ...any) {
	d.Print(d.name + ": " + fmt.Sprintf(format, args...))
}

// Print writes a line that stays, as it is.
func (d *Display) Print(line string) {
	d.mu.Lock()
	all := d.all
	d.mu.Unlock()
	if all != nil {
		if _, err := fmt.Fprintln(all, line); err == nil {
			return
		}
	}
	fmt.Fprintln(d.out, line)
}

// End takes the bar away. A terminal that is stopped is not waited for.
func (d *Display) End() {
	d.mu.Lock()
	all, bar := d.all, d.bar
	d.mu.Unlock()
	if all == nil {
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		bar.Abort(true)
		all.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(time.Second):
	}
}

// text is what stands behind the bar, in so many columns.
func (d *Display) text(width int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.known {
		return ""
	}
	return cut(d.words(d.now()), width)
}

func (d *Display) words(now time.Time) string {
	words := ""
	if d.state.Share >= 0 {
		words = fmt.Sprintf("%3.0f %%", 100*d.state.Share)
	}
	if left := d.left(now); left > time.Second/2 {
		about := "about"
		if d.state.AtMost {
			about = "at most"
		}
		words += fmt.Sprintf(", %s %s left", about, Brief(left))
	}
	if words != "" && d.state.Doing != "" {
		words += "; "
	}
	return strings.TrimSpace(words + d.state.Doing)
}

// left is the time left by the pace since the first state, if nobody knows better.
func (d *Display) left(now time.Time) time.Duration {
	if d.state.Left > 0 {
		return d.state.Left
	}
	did := d.state.Share - d.from
	if did <= 0 {
		return 0
	}
	return time.Duration(float64(now.Sub(d.began)) * (1 - d.state.Share) / did)
}

// row is a line of the table.
func (d *Display) row(i, width int) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if i >= len(d.table) {
		return ""
	}
	return cut(d.table[i], width)
}

// cut is text for a terminal, printable and of so many columns at the most.
func cut(s string, width int) string {
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s))
	return string(runes[:min(len(runes), max(width, 0))])
}

// Brief is a duration in a word or two.
func Brief(d time.Duration) string {
	switch {
	case d > time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d > time.Minute:
		return fmt.Sprintf("%d min", int((d + time.Minute/2).Minutes()))
	}
	return fmt.Sprintf("%d s", int((d + time.Second/2).Seconds()))
}
