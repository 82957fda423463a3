// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"mllb/internal/namedfile"
	"mllb/mlp"
)

// trainProgress tells a person how far a number of trainings is: on a terminal
// one line that is drawn over, elsewhere a log line now and then.
type trainProgress struct {
	what    string // a training is one of these
	jobs    int
	most    int         // epochs of a training
	running map[int]int // epochs so far, by training
	done    int         // trainings
	epochs  int         // of those that are done
	started time.Time
	next    time.Time
	every   time.Duration
	show    func(job int, e *mlp.Epoch)
	end     func()
}

func newTrainProgress(stderr io.Writer, what string, jobs, most int) *trainProgress {
	p := &trainProgress{what: what, jobs: jobs, most: most, running: make(map[int]int), started: time.Now(), end: func() {}}
	f, ok := stderr.(*os.File)
	if !ok || !namedfile.Drawable(f) {
		p.every, p.show = 5*time.Second, p.logTo(stderr)
		p.next = p.started.Add(p.every)
		return p
	}
	p.every = time.Second / 4
	p.show = func(job int, e *mlp.Epoch) {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil || width == 0 { // a pseudo-terminal of no size
			width = 80
		}
		line := []rune(p.bar(job, e))
		fmt.Fprintf(f, "\r%s\x1b[K", string(line[:min(len(line), width-1)]))
	}
	p.end = func() { fmt.Fprint(f, "\r\x1b[K") }
	return p
}

// epoch is a train.Progress.
func (p *trainProgress) epoch(job int, e mlp.Epoch, done bool) {
	p.running[job] = e.Number
	if done {
		delete(p.running, job)
		p.done++
		p.epochs += e.Number
		return
	}
	if now := time.Now(); !now.Before(p.next) {
		p.next = now.Add(p.every)
		p.show(job, &e)
	}
}

// share estimates how much of the work is done: a training that has not ended
// is taken to be as long as those that have, or as it may be at the most.
func (p *trainProgress) share() float64 {
	each := float64(p.most)
	if p.done > 0 {
		each = float64(p.epochs) / float64(p.done)
	}
	did, all := float64(p.epochs), float64(p.epochs)
	for _, n := range p.running {
		did += float64(n)
		all += max(each, float64(n))
	}
	all += each * float64(p.jobs-p.done-len(p.running))
	return did / max(all, 1)
}

// left is the time until the end, and whether it may well be less.
func (p *trainProgress) left() (time.Duration, string) {
	share := max(p.share(), 1e-6)
	most := ""
	if p.done == 0 {
		most = "at most "
	}
	left := time.Duration(float64(time.Since(p.started)) * (1 - share) / share)
	return left.Round(time.Second), most
}

func (p *trainProgress) bar(job int, e *mlp.Epoch) string {
	const cells = 20
	full := int(cells * p.share())
	left, most := p.left()
	return fmt.Sprintf("[%s%s] %s %d/%d  epoch %d  loss %.5f  validation %.5f  balanced %s  %s%v left",
		strings.Repeat("#", full), strings.Repeat(".", cells-full), p.what, job+1, p.jobs, e.Number, e.Loss,
		e.Validation.Loss, percent(e.Validation.Balanced()), most, left)
}

func (p *trainProgress) logTo(w io.Writer) func(job int, e *mlp.Epoch) {
	log := slog.New(slog.NewTextHandler(w, nil))
	return func(job int, e *mlp.Epoch) {
		left, most := p.left()
		log.Info("training", p.what, fmt.Sprintf("%d/%d", job+1, p.jobs), "epoch", e.Number, "loss", fmt.Sprintf("%.5f", e.Loss),
			"validation", fmt.Sprintf("%.5f", e.Validation.Loss), "balanced", percent(e.Validation.Balanced()), "left", most+left.String())
	}
}
