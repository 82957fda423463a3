// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/internal/progress"
	"mllb/lab/record"
)

// recordReport prints a line for each run, and shows how far those are that are
// under way.
type recordReport struct {
	out   output
	bar   *progress.Display
	total int // runs
	start time.Time

	mu    sync.Mutex
	now   map[string]record.Progress // of the runs under way
	order []string
	done  int
	left  time.Duration // once it can be told
}

func newRecordReport(out output, runs int) *recordReport {
	return &recordReport{out: out, bar: progress.New(out.stderr, "mllb lab"), total: runs, start: time.Now(), now: make(map[string]record.Progress)}
}

// line writes a result to standard output, above the bar if both are on a terminal.
func (r *recordReport) line(text string) {
	if f, ok := r.out.stdout.(*os.File); ok && r.bar.Terminal() && namedfile.Drawable(f) {
		r.bar.Print(text)
		return
	}
	fmt.Fprintln(r.out.stdout, text)
}

func (r *recordReport) Skipped(run record.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bar.Say("%s: already recorded", run.Name())
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
	r.show()
}

func (r *recordReport) show() {
	var parts []string
	for _, name := range r.order {
		if p, ok := r.now[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %d usable, %d stay", name, p.Usable, p.Stay))
		}
	}
	r.bar.Set(progress.State{Share: float64(r.done) / float64(max(r.total, 1)), Left: r.left,
		Doing: fmt.Sprintf("%d of %s; %s", r.done, number.Of(r.total, "run"), strings.Join(parts, "; "))})
}

func (r *recordReport) Ended(run record.Run, o record.Outcome, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.now, run.Name())
	if err != nil {
		r.bar.Say("%s: %v", run.Name(), err)
		return
	}
	r.line(fmt.Sprintf("%s: %d rows, %d migrate, %d stay; %d calls = %d records + %d filtered + %d drops", o.Path, o.Rows,
		o.Labels[1], o.Labels[0], o.Counters.Calls, o.Counters.Records, o.Counters.Filtered, o.Counters.Drops))
}

func (r *recordReport) Notice(run record.Run, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bar.Say("%s: %s", run.Name(), what)
}

func (r *recordReport) Output(run record.Run, stderr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bar.Say("stderr of %s:\n    %s", run.Name(), strings.ReplaceAll(stderr, "\n", "\n    "))
}

// Remaining estimates the time left from how long runs took so far.
func (r *recordReport) Remaining(runs int, took []record.Took) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done = r.total - runs
	r.left = time.Since(r.start) / time.Duration(len(took)) * time.Duration(runs)
	r.show()
}
