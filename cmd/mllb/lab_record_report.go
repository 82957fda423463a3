// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"mllb/internal/number"
	"mllb/lab/record"
)

// recordReport prints a line for each run, and between them how far those are
// that are under way.
type recordReport struct {
	out   output
	start time.Time

	mu    sync.Mutex
	now   map[string]record.Progress // of the runs under way
	order []string
	last  time.Time
	until string // time left, once it can be told
}

// reportEvery keeps logs short.
const reportEvery = 20 * time.Second

func (r *recordReport) say(format string, args ...any) {
	fmt.Fprintf(r.out.stderr, "mllb lab: "+format+"\n", args...)
}

func (r *recordReport) Skipped(run record.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say("%s: already recorded", run.Name())
}

func (r *recordReport) Started(run record.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, run.Name())
	r.now[run.Name()] = record.Progress{}
}

func (r *recordReport) Progress(run record.Run, p record.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now[run.Name()] = p
	if time.Since(r.last) < reportEvery {
		return
	}
	r.last = time.Now()
	var parts []string
	for _, name := range r.order {
		if p, ok := r.now[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %d usable, %d stay", name, p.Usable, p.Stay))
		}
	}
	r.say("%v: %s%s", time.Since(r.start).Round(time.Second), strings.Join(parts, "; "), r.until)
}

func (r *recordReport) Ended(run record.Run, o record.Outcome, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, run.Name())
	if err != nil {
		r.say("%s: %v", run.Name(), err)
		return
	}
	fmt.Fprintf(r.out.stdout, "%s: %d rows, %d migrate, %d stay; %d calls = %d records + %d filtered + %d drops\n", o.Path, o.Rows,
		o.Labels[1], o.Labels[0], o.Counters.Calls, o.Counters.Records, o.Counters.Filtered, o.Counters.Drops)
}

func (r *recordReport) Notice(run record.Run, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say("%s: %s", run.Name(), what)
}

func (r *recordReport) Output(run record.Run, stderr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.say("stderr of %s:\n    %s", run.Name(), strings.ReplaceAll(stderr, "\n", "\n    "))
}

// Remaining estimates the time left from how long runs took so far.
func (r *recordReport) Remaining(runs int, took []record.Took) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := time.Since(r.start) / time.Duration(len(took)) * time.Duration(runs)
	r.until = fmt.Sprintf("; %s, about %v left", number.Of(runs, "run"), left.Round(time.Minute))
}
