// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mllb/dataset"
	"mllb/features"
	"mllb/features/trace"
)

// decisions is what collect needs of a tracer.
type decisions interface {
	Read(recs []features.Record, limit int) ([]features.Record, error)
	Counters() (trace.Counters, error)
	Contradictions() [features.NumConditions]uint64
	Stop() error
}

const (
	collectEvery = 50 * time.Millisecond // far below what fills the ring
	collectBatch = 4096
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
	tick := time.NewTicker(collectEvery)
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
		if c.recs, err = c.source.Read(c.recs[:0], collectBatch); err != nil {
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
		if len(c.recs) < collectBatch {
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
