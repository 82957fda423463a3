// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"mllb/features"
	"mllb/features/trace"
	"mllb/internal/number"
	"mllb/scheduler"
)

// decisions is what an agreement needs of a tracer.
type decisions interface {
	Read(recs []features.Record, limit int) ([]features.Record, error)
	Counters() (trace.Counters, error)
	Stop() error
}

// agreement puts each decision of the running kernel to the policy as well, and
// counts how the two answers compare. It changes nothing but schedstats, which
// the tracer needs and sets back.
type agreement struct {
	source  decisions
	policy  scheduler.Policy
	enough  uint64 // decisions after which to call done; 0: none is enough
	done    context.CancelFunc
	log     *slog.Logger
	recs    []features.Record
	stopped bool

	mu sync.Mutex
	c  compared
}

// compared is what an agreement counted.
type compared struct {
	Whose             string       // "": the kernel's
	By                [2][2]uint64 // by their answer, then the policy's: 0 stay, 1 migrate
	OutOfDistribution uint64       // of all of them: policy cfs answered for the model
	Drops             uint64       // calls that were lost
}

// openAgreement traces decisions where observe is asked to, and where it may.
func (s *session) openAgreement() error {
	want := s.cfg.Mode == "observe" && s.cfg.Root == "/"
	if s.cfg.Compare != nil {
		want = *s.cfg.Compare
	}
	if !want {
		return nil
	}
	// A rule never says stay in an SMT domain; they are compared all the same.
	tracer, err := trace.Open(trace.Options{AllDomains: true, Usable: true, Ring: compareRing(s.cfg.Interval)})
	if err != nil && s.cfg.Compare == nil {
		s.log.Info("the kernel's own decisions are not compared", "reason", oneLine(err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("--compare: %w", err)
	}
	s.tracer = tracer
	s.agreement = &agreement{source: tracer, policy: s.policy, enough: s.cfg.Decisions, log: s.log}
	return nil
}

// compareRing is how many bytes of decisions wait for the next tick: some 6,000 of a
// host with two nodes for each 100 ms. It is mapped twice, which of a collector's ring
// would be 32 MB.
func compareRing(interval time.Duration) int {
	ring := 2 << 20
	for ; ring < trace.DefaultRing && interval > 100*time.Millisecond; interval /= 2 {
		ring *= 2
	}
	return ring
}

// Tick compares what the kernel decided since the tick before.
func (a *agreement) Tick(*scheduler.Tick) {
	if a.stopped {
		return
	}
	if err := a.drain(); err != nil {
		a.log.Error("the kernel's decisions are no longer compared", "err", err)
		a.stopped = true
		if a.enough > 0 {
			a.done()
		}
	}
	if a.enough > 0 && a.read().total() >= a.enough {
		a.done()
	}
}

// agreeBatch is how many decisions are read at once.
const agreeBatch = 4096

func label(migrate bool) int {
	if migrate {
		return 1
	}
	return 0
}

// drain compares what is in the ring.
func (a *agreement) drain() error {
	for {
		var err error
		if a.recs, err = a.source.Read(a.recs[:0], agreeBatch); err != nil {
			return err
		}
		a.mu.Lock()
		for i := range a.recs {
			if r := &a.recs[i]; r.Condition == features.Passed {
				v := a.policy.Decide(&r.Decision)
				a.c.By[label(r.Migrate)][label(v.Migrate)]++
				if v.OutOfDistribution {
					a.c.OutOfDistribution++
				}
			}
		}
		a.mu.Unlock()
		if len(a.recs) < agreeBatch {
			break
		}
	}
	n, err := a.source.Counters()
	a.mu.Lock()
	a.c.Drops = n.Drops()
	a.mu.Unlock()
	return err
}

// finish takes the probes off and compares what is left in the ring.
func (a *agreement) finish() error {
	if a.stopped {
		return nil
	}
	a.stopped = true
	if err := errors.Join(a.source.Stop(), a.drain()); err != nil {
		return fmt.Errorf("compare decisions: %w", err)
	}
	return nil
}

// read returns the counts so far; a nil agreement has none.
func (a *agreement) read() *compared {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.c
	return &c
}

func (c *compared) total() uint64 {
	return c.By[0][0] + c.By[0][1] + c.By[1][0] + c.By[1][1]
}

// String is the confusion matrix in a line: what share of their decisions, and of
// each of the answers, the policy gave too.
func (c *compared) String() string {
	same, all := c.By[0][0]+c.By[1][1], c.total()
	whose := c.Whose
	if whose == "" {
		whose = "the kernel's"
	}
	text := fmt.Sprintf("%s of %s decisions (%d of %d)", number.Share(same, all).Percent(2), whose, same, all)
	stay, migrate := c.By[0][0]+c.By[0][1], c.By[1][0]+c.By[1][1]
	if stay > 0 && migrate > 0 {
		text += ", balanced " + ((number.Share(c.By[0][0], stay) + number.Share(c.By[1][1], migrate)) / 2).Percent(2)
	}
	text += fmt.Sprintf("; stay %d of %d, migrate %d of %d", c.By[0][0], stay, c.By[1][1], migrate)
	if c.OutOfDistribution > 0 {
		text += fmt.Sprintf("; out of distribution %d", c.OutOfDistribution)
	}
	if c.Drops > 0 {
		text += fmt.Sprintf("; lost %d", c.Drops)
	}
	return text
}

// agreements are those that there are.
func (c *counters) agreements() (list []*compared) {
	if c.Compared != nil {
		list = append(list, c.Compared)
	}
	if c.Rule != nil && c.Rule.total() > 0 {
		list = append(list, c.Rule)
	}
	return list
}
