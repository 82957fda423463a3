// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"slices"
	"time"

	"mllb/features"
	"mllb/internal/screen"
	"mllb/scheduler"
	"mllb/scx"
)

const (
	maxDecisions = 64 // kept for who looks
	followFor    = int64(time.Second)
)

// watchedDecision has a version, by which each looker is told only what it lacks.
type watchedDecision struct {
	screen.Decision
	version uint64
}

// followed is a thread that was moved less than followFor ago.
type followed struct {
	seq            uint64
	from           int32
	began, runtime int64 // then
	ran            int64 // since
	after          screen.After
}

// follow sees what became of threads that were moved.
func (w *watcher) follow(s *features.Snapshot) {
	if len(w.followed) == 0 {
		return
	}
	for i := range s.Threads {
		t := &s.Threads[i]
		f := w.followed[t.ID]
		if f == nil {
			continue
		}
		f.ran = int64(t.Runtime) - f.runtime
		f.after.Seen, f.after.CPU = true, t.CPU
		f.after.Undone = f.after.Undone || t.Hold < 0 && t.CPU == f.from
	}
	for id, f := range w.followed {
		if s.Time-f.began >= followFor {
			w.settle(id, s.Time)
		}
	}
}

// settle ends the following of a thread.
func (w *watcher) settle(id features.ID, now int64) {
	f := w.followed[id]
	if f == nil {
		return
	}
	delete(w.followed, id)
	f.after.Share = min(1, float64(f.ran)/float64(max(now-f.began, 1)))
	if d := w.find(f.seq); d != nil {
		w.version++
		d.After, d.version = &f.after, w.version
	}
}

func (w *watcher) find(seq uint64) *watchedDecision {
	i, found := slices.BinarySearchFunc(w.decisions, seq, func(d watchedDecision, seq uint64) int { return cmp.Compare(d.Seq, seq) })
	if !found {
		return nil
	}
	return &w.decisions[i]
}

// decide takes the decisions of a tick, the last ones if there are too many.
func (w *watcher) decide(t *scheduler.Tick) {
	made := func(c *scheduler.Candidate) bool { return c.Asked || c.Active }
	skip := -maxDecisions
	for i := range t.Plan.Candidates {
		if made(&t.Plan.Candidates[i]) {
			skip++
		}
	}
	for i := range t.Plan.Candidates {
		c := &t.Plan.Candidates[i]
		if !made(c) {
			continue
		}
		if skip--; skip >= 0 {
			continue
		}
		th := &t.Snapshot.Threads[c.Thread]
		d := screen.Decision{At: t.Start, TID: th.TID, TGID: th.TGID, Comm: th.Name(), From: c.From, To: c.To, Level: c.Level.String(), Active: c.Active}
		d.Gain = float64(c.Gain) / features.FullSpeed
		d.Moved, d.Why = outcome(t, c)
		w.add(d, &c.Decision, c.Verdict)
		if d.Moved {
			w.settle(th.ID, t.Snapshot.Time) // it was moved before
			w.followed[th.ID] = &followed{seq: w.seq, from: c.From, began: t.Snapshot.Time, runtime: int64(th.Runtime)}
		}
	}
}

// sample takes a decision of the sched_ext scheduler.
func (w *watcher) sample(at time.Time, s *scx.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lookers.Load() == 0 {
		return
	}
	d := screen.Decision{At: at, TID: s.ID.TID, TGID: s.TGID, Comm: s.Comm, From: s.Decision.SrcCPU, To: s.Decision.DstCPU, Level: s.Level.String()}
	d.Moved, d.Why = s.Moved, outcomeOfSample(s)
	w.add(d, &s.Decision, s.Verdict)
}

func (w *watcher) add(d screen.Decision, facts *features.Decision, v scheduler.Verdict) {
	w.seq++
	w.version++
	d.Seq = w.seq
	d.FromQueue, d.ToQueue = facts.SrcLen, facts.DstLen
	d.Migrate, d.Rule = v.Migrate, scheduler.CFS{}.Decide(facts).Migrate
	if d.Active {
		d.Migrate = true
	} else if d.Network = w.judge.model != nil && !v.OutOfDistribution; d.Network {
		d.Logit = features.ToFloat(v.Logit)
	}
	set := w.judge.set
	d.Values = make([]float32, len(set.Features))
	set.Floats(d.Values, facts)
	var vector features.Vector
	var q [features.MaxFeatures]int32
	set.Fill(&vector, facts)
	set.Unpack(q[:], &vector)
	for k := range w.low {
		if q[k] < w.low[k] || q[k] > w.high[k] {
			d.Outside = append(d.Outside, k)
		}
	}
	if len(w.decisions) == maxDecisions {
		w.decisions = slices.Delete(w.decisions, 0, 1)
	}
	w.decisions = append(w.decisions, watchedDecision{d, w.version})
}
