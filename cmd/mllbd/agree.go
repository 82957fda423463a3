// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"mllb/features"
	"mllb/features/trace"
	"mllb/scheduler"
)

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
	By      [2][2]uint64 // by the kernel's answer, then the policy's: 0 stay, 1 migrate
	Outside uint64       // of all of them: policy cfs answered for the model
	Drops   uint64       // calls that were lost
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
	tracer, err := trace.Open(trace.Options{AllDomains: true, Usable: true})
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

// drain compares what is in the ring.
func (a *agreement) drain() error {
	for {
		var err error
		if a.recs, err = a.source.Read(a.recs[:0], collectBatch); err != nil {
			return err
		}
		a.mu.Lock()
		for i := range a.recs {
			if r := &a.recs[i]; r.Condition == features.Passed {
				v := a.policy.Decide(&r.Decision)
				a.c.By[label(r.Migrate)][label(v.Migrate)]++
				if v.Outside {
					a.c.Outside++
				}
			}
		}
		a.mu.Unlock()
		if len(a.recs) < collectBatch {
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

// String is the confusion matrix in a line: what share of the kernel's
// decisions, and of each of its answers, the policy gave too.
func (c *compared) String() string {
	same, all := c.By[0][0]+c.By[1][1], c.total()
	text := fmt.Sprintf("%s of the kernel's decisions (%d of %d)", percent(same, all), same, all)
	stay, migrate := c.By[0][0]+c.By[0][1], c.By[1][0]+c.By[1][1]
	if stay > 0 && migrate > 0 {
		text += fmt.Sprintf(", balanced %.2f %%", 50*(float64(c.By[0][0])/float64(stay)+float64(c.By[1][1])/float64(migrate)))
	}
	text += fmt.Sprintf("; stay %d of %d, migrate %d of %d", c.By[0][0], stay, c.By[1][1], migrate)
	if c.Outside > 0 {
		text += fmt.Sprintf("; outside the model's data %d", c.Outside)
	}
	if c.Drops > 0 {
		text += fmt.Sprintf("; lost %d", c.Drops)
	}
	return text
}

func percent(n, of uint64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f %%", 100*float64(n)/float64(of))
}
