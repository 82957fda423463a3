// SPDX-License-Identifier: Apache-2.0

// Package collect records what the running kernel's balancer decides, and
// writes a dataset of it.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"mllb/features"
	"mllb/features/trace"
	"mllb/internal/namedfile"
	"mllb/learn/dataset"
)

// Options say what is recorded, for how long, and where to.
type Options struct {
	Out       string
	Force     bool          // Out may be a file that is not empty
	Records   uint64        // usable ones to stop after; 0: no limit
	Duration  time.Duration // 0: no limit
	JSON      bool          // the log, where nobody looks
	Trace     trace.Options
	CreatedBy string      // program and version, for the file's metadata
	Run       dataset.Run // what the caller knows of it: load, tag, command, seed
}

// Run records until it has enough, the time is over or ctx ends; in each case the
// file is finished. What is wrong with the host is found out before the file is
// made. The summary is printed once the kernel is as it was.
func Run(ctx context.Context, o Options, stdout, stderr io.Writer) error {
	if err := namedfile.CheckNew(o.Out, o.Force); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	tracer, err := trace.Open(o.Trace)
	if err != nil {
		return err
	}
	c := &collector{source: tracer, want: o.Records, duration: o.Duration, start: time.Now()}
	if err := errors.Join(c.into(ctx, o, tracer, stderr), tracer.Close()); err != nil || c.out == nil {
		return err
	}
	if err := c.summary(stdout, o.Out, tracer.Backend); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// into makes the file and fills it.
func (c *collector) into(ctx context.Context, o Options, t *trace.Tracer, stderr io.Writer) (err error) {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	run := o.Run
	run.Host, run.Kernel, run.Started, run.MigrationCostSource = host, t.Kernel, time.Now(), t.CostSource
	run.Topology, run.NUMA = t.Topology.String(), &t.Topology.NUMA
	if err := o.removeOld(ctx); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	if c.out, err = dataset.Create(o.Out, dataset.Meta{CreatedBy: o.CreatedBy, Runs: []dataset.Run{run}}); err != nil {
		return err
	}
	if o.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Duration)
		defer cancel()
	}
	lossy, flush := newLossy(stderr)
	defer flush()
	c.progress = newProgress(stderr, lossy, o.JSON)
	return c.collect(ctx)
}

// removeOld makes room for what is recorded, which nobody is to take the old file for.
func (o *Options) removeOld(ctx context.Context) error {
	old, err := namedfile.CreateNew(ctx, o.Out, o.Force)
	if err != nil {
		return err
	}
	defer old.Abort()
	return old.RemoveOld()
}

// decisions is what collect needs of a tracer.
type decisions interface {
	Read(recs []features.Record, limit int) ([]features.Record, error)
	Counters() (trace.Counters, error)
	Contradictions() [features.NumConditions]uint64
	Stop() error
}

const (
	every = 50 * time.Millisecond // far below what fills the ring
	batch = 4096
)

// collector moves records from the kernel to a file.
type collector struct {
	source   decisions
	out      *dataset.Writer
	want     uint64        // usable records; 0: no limit
	duration time.Duration // for the bar only; 0: no limit
	progress progress

	start    time.Time
	elapsed  time.Duration // until the probes were taken off
	recs     []features.Record
	by       [features.NumConditions]uint64 // records, by how far the call came
	labels   [2]uint64                      // usable ones: stay, migrate
	counters trace.Counters
}

func (c *collector) usable() uint64 { return c.by[features.Passed] }

func (c *collector) records() (n uint64) {
	for _, k := range c.by {
		n += k
	}
	return n
}

// collect runs until ctx ends or there are enough records, and finishes the
// file in every case.
func (c *collector) collect(ctx context.Context) error {
	err := c.loop(ctx)
	c.elapsed = time.Since(c.start)
	c.progress.end()
	err = errors.Join(err, c.finish())
	if err != nil {
		return fmt.Errorf("collect: %w", err)
	}
	return nil
}

func (c *collector) loop(ctx context.Context) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for c.want == 0 || c.usable() < c.want {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.drain(); err != nil {
			return err
		}
		if c.progress.due() {
			if err := c.count(); err != nil {
				return err
			}
			c.progress.show(c)
		}
	}
	return nil
}

// drain writes what is in the ring. Writing nothing, too, lets the writer
// close a segment that is old enough.
func (c *collector) drain() error {
	for {
		var err error
		if c.recs, err = c.source.Read(c.recs[:0], batch); err != nil {
			return err
		}
		for i := range c.recs {
			r := &c.recs[i]
			c.by[r.Condition]++
			if r.Condition == features.Passed {
				c.labels[label(r.Migrate)]++
			}
		}
		if err := c.out.Write(c.recs); err != nil {
			return err
		}
		if len(c.recs) < batch {
			return nil
		}
	}
}

func label(migrate bool) int {
	if migrate {
		return 1
	}
	return 0
}

func (c *collector) count() (err error) {
	c.counters, err = c.source.Counters()
	n := &c.counters
	c.out.SetCounters(dataset.Counters{Calls: n.Calls, Records: n.Records, Filtered: n.Filtered, Drops: n.Drops()})
	return err
}

// finish takes the probes off, writes what is left in the ring and closes the
// file; then it checks that no call is unaccounted for.
func (c *collector) finish() error {
	err := c.source.Stop()
	err = errors.Join(err, c.drain(), c.count(), c.out.Close())
	if err != nil {
		return err
	}
	if err := c.counters.Check(); err != nil {
		return err
	}
	if n := c.records(); n != c.counters.Records {
		return fmt.Errorf("the kernel recorded %d calls, %d were read", c.counters.Records, n)
	}
	return nil
}
