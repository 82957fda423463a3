// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"

	"mllb/internal/number"
	"mllb/internal/progress"
	"mllb/mlp"
)

// trainProgress tells a person how far a number of trainings is.
type trainProgress struct {
	*progress.Display
	what    string // a training is one of these
	jobs    int
	most    int         // epochs of a training
	running map[int]int // epochs so far, by training
	done    int         // trainings
	epochs  int         // of those that are done
}

func newTrainProgress(stderr io.Writer, what string, jobs, most int) *trainProgress {
	p := &trainProgress{progress.New(stderr, "mllb train"), what, jobs, most, make(map[int]int), 0, 0}
	p.Set(progress.State{Doing: number.Of(jobs, what)})
	return p
}

// epoch is a train.Progress.
func (p *trainProgress) epoch(job int, e mlp.Epoch, done bool) {
	p.running[job] = e.Number
	if done {
		delete(p.running, job)
		p.done++
		p.epochs += e.Number
	}
	p.Set(progress.State{Share: p.share(), AtMost: p.done == 0, Doing: fmt.Sprintf("%s %d of %d, epoch %d, loss %.5f, validation %.5f, balanced %s",
		p.what, job+1, p.jobs, e.Number, e.Loss, e.Validation.Loss, percent(e.Validation.Balanced()))})
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
