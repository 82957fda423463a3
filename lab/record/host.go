// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"mllb/lab"
	"mllb/learn/dataset"
)

// Recorder carries out a plan: each run in a guest of its own, the files in one
// directory. Runs whose file is there are skipped, so that whatever stopped a
// plan, the same command goes on with it.
type Recorder struct {
	Dir    string
	Guest  lab.Config // all but shape, command and output
	Jobs   int        // guests at a time
	Report Report

	run func(context.Context, lab.Config) (lab.Result, error) // nil: lab.Run; tests have no guests
}

// Report is told what happens, from several goroutines.
type Report interface {
	Skipped(Run)                     // its file is there
	Started(Run)                     // its guest boots
	Progress(Run, Progress)          // now and then
	Ended(Run, Outcome, error)       // the file is there, or why not
	Notice(r Run, what string)       // a guest that died and is started afresh
	Output(r Run, stderr string)     // what the guest said on stderr, if the run failed
	Remaining(runs int, took []Took) // after each run
}

// Outcome is what a run gave.
type Outcome struct {
	Path     string
	Rows     int64
	Labels   [2]int64 // stay, migrate
	Counters dataset.Counters
}

// Took is how long a run took by the host's clock, boot and all.
type Took struct {
	Run  Run
	Time time.Duration
}

// RunError is a run that gave no file.
type RunError struct {
	Run string
	Err error
}

func (e *RunError) Error() string { return fmt.Sprintf("run %s: %v", e.Run, e.Err) }
func (e *RunError) Unwrap() error { return e.Err }

// Path is where a run's file is or goes. One that was recorded under the run's
// former name counts: merged with another of the same run, it would count twice.
func (r *Recorder) Path(run Run) string {
	path, former := filepath.Join(r.Dir, run.Name()+".parquet"), filepath.Join(r.Dir, run.formerName()+".parquet")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(former); err == nil {
			return former
		}
	}
	return path
}

// All does the runs that are not done and returns what failed: a run that
// fails does not keep others from being made.
func (r *Recorder) All(ctx context.Context, runs []Run) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	var todo []Run
	for _, run := range runs {
		_, err := os.Stat(r.Path(run))
		if errors.Is(err, fs.ErrNotExist) {
			todo = append(todo, run)
			continue
		}
		if err == nil {
			_, err = inspect(ctx, r.Path(run))
		}
		if err != nil {
			return fmt.Errorf("%w (remove it to record it again)", err)
		}
		r.Report.Skipped(run)
	}
	var (
		mu   sync.Mutex
		errs []error
		took []Took
		all  sync.WaitGroup
	)
	next := make(chan Run)
	for range max(1, r.Jobs) {
		all.Go(func() {
			for run := range next {
				start := time.Now()
				err := r.one(ctx, run)
				mu.Lock()
				if err != nil {
					errs = append(errs, &RunError{run.Name(), err})
				}
				took = append(took, Took{run, time.Since(start)})
				r.Report.Remaining(len(todo)-len(took), took)
				mu.Unlock()
			}
		})
	}
	for _, run := range todo {
		select {
		case next <- run:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	all.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(errs...)
}

// one makes one run: to a directory of its own first, so that a file in Dir is
// always whole.
func (r *Recorder) one(ctx context.Context, run Run) (err error) {
	r.Report.Started(run)
	var out Outcome
	defer func() {
		if ctx.Err() == nil {
			r.Report.Ended(run, out, err)
		}
	}()
	dir, err := os.MkdirTemp(r.Dir, ".run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := run.encode()
	if err != nil {
		return err
	}
	var said bytes.Buffer
	cfg := r.Guest
	cfg.Shape, cfg.OutDir = run.Shape, dir
	cfg.Args = []string{"mllb", "lab", "record-run", text}
	cfg.Stdout = &lines{each: func(line []byte) {
		var p Progress
		if json.Unmarshal(line, &p) == nil {
			r.Report.Progress(run, p)
		}
	}}
	cfg.Stderr = &said
	cfg.Notice = func(s string) { r.Report.Notice(run, s) }
	boot := r.run
	if boot == nil {
		boot = lab.Run
	}
	if _, err := boot(ctx, cfg); err != nil {
		r.Report.Output(run, strings.TrimSpace(said.String()))
		return err
	}
	file := filepath.Join(dir, recordFile)
	if out, err = inspect(ctx, file); err != nil {
		return err
	}
	if err := os.Rename(file, r.Path(run)); err != nil {
		return err
	}
	out.Path = r.Path(run)
	return nil
}

// inspect reads a file from end to end: it must be whole, and no call lost.
func inspect(ctx context.Context, path string) (Outcome, error) {
	out := Outcome{Path: path}
	err := dataset.Each(ctx, []string{path}, func(_ string, _ int64, row *dataset.Row) error {
		out.Rows++
		if row.Migrate {
			out.Labels[1]++
		} else {
			out.Labels[0]++
		}
		out.Counters = row.Run.Counters
		return nil
	})
	if c := out.Counters; err == nil && c.Calls != c.Records+c.Filtered+c.Drops {
		err = fmt.Errorf("%s: %d calls are not %d records + %d filtered + %d drops", path, c.Calls, c.Records, c.Filtered, c.Drops)
	}
	return out, err
}

// lines calls each with every whole line.
type lines struct {
	part []byte
	each func([]byte)
}

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		l.part = append(l.part, line...)
		if !whole {
			return n, nil
		}
		l.each(l.part)
		l.part, p = l.part[:0], rest
	}
}
