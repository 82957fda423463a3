// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mllb/features"
	"mllb/internal/screen"
	"mllb/scheduler"
	"mllb/topology"
)

// watcher collects what people who look at mllbd are shown. While nobody does it keeps
// the queues and the timeline, and nothing of threads.
type watcher struct {
	stats   *stats
	lookers atomic.Int32
	wakeup  chan struct{} // a state is due

	mu       sync.Mutex
	id       identity
	interval time.Duration
	judge    judge
	low      []int32 // ranges of the features, in Q21.11; nil: not known
	high     []int32
	topology *topology.Topology
	setup    *screen.Setup // of these; it is replaced, never changed

	told      time.Time // when a state was due last
	read      time.Time
	throttled bool
	queue     []uint32 // by CPU
	speed     []uint32
	slot      time.Time // begin of the timeline's last step
	imbalance [slots]int32
	moves     [slots]int32
	moved     uint64 // so far
	seq       uint64 // of the last decision
	version   uint64 // of the last that was made or changed
	decisions []watchedDecision
	followed  map[features.ID]*followed

	rowsMu sync.Mutex
	rows   []screen.Row
	rowsAt time.Time
	before counters
	cpu    time.Duration
	share  float64
}

const slots = 240 // of the timeline: two minutes

func newWatcher(st *stats) *watcher {
	w := &watcher{stats: st, wakeup: make(chan struct{}, 1), followed: make(map[features.ID]*followed)}
	for i := range w.imbalance {
		w.imbalance[i], w.moves[i] = -1, -1
	}
	return w
}

// identify says what runs from now on.
func (w *watcher) identify(id identity, j judge, interval time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.id, w.judge, w.interval = id, j, interval
	w.low, w.high, w.setup, w.decisions = nil, nil, nil, nil
	if j.model != nil {
		w.low, w.high = j.model.Limits()
	}
}

// Tick implements scheduler.Observer, after stats.
func (w *watcher) Tick(t *scheduler.Tick) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.throttled = t.Throttled; !t.Throttled && t.Err == nil {
		w.read = t.Start
	}
	w.step(t)
	if t.Snapshot != nil {
		w.queues(t)
	}
	if w.lookers.Load() == 0 {
		clear(w.followed)
		return
	}
	if t.Snapshot != nil {
		w.follow(t.Snapshot)
		w.decide(t)
	}
	if t.Start.Sub(w.told) >= screen.Every-screen.Every/10 { // ticks jitter
		w.told = t.Start
		w.wake()
	}
}

func (w *watcher) wake() {
	select {
	case w.wakeup <- struct{}{}:
	default:
	}
}

// step brings the timeline up to date.
func (w *watcher) step(t *scheduler.Tick) {
	steps := int(min(t.Start.Sub(w.slot)/screen.Slot, slots))
	if w.slot.IsZero() {
		w.slot, steps = t.Start, 1
	} else if steps > 0 {
		w.slot = w.slot.Add(t.Start.Sub(w.slot).Truncate(screen.Slot))
	}
	for range steps {
		copy(w.imbalance[:], w.imbalance[1:])
		copy(w.moves[:], w.moves[1:])
		w.imbalance[slots-1], w.moves[slots-1] = -1, 0
	}
	w.stats.mu.Lock()
	imbalance, moved := w.stats.c.Imbalance, uint64(0)
	for _, n := range w.stats.c.Moves {
		moved += n
	}
	w.stats.mu.Unlock()
	if !t.Throttled && t.Err == nil {
		w.imbalance[slots-1] = max(w.imbalance[slots-1], int32(imbalance))
	}
	w.moves[slots-1] += int32(moved - w.moved)
	w.moved = moved
}

func (w *watcher) queues(t *scheduler.Tick) {
	if w.topology != t.Topology {
		w.topology, w.setup = t.Topology, nil
	}
	w.queue, w.speed = w.queue[:0], w.speed[:0]
	for i := range t.Snapshot.Runqueues {
		rq := &t.Snapshot.Runqueues[i]
		w.queue, w.speed = append(w.queue, rq.NrQueued), append(w.speed, rq.Speed)
	}
}

// look returns all that whoever has the setup and the decisions up to a version lacks.
func (w *watcher) look(known *screen.Setup, version uint64) (screen.State, *screen.Setup, uint64) {
	rows, share := w.summarise()
	w.mu.Lock()
	defer w.mu.Unlock()
	st := screen.State{
		Sent: time.Now(), Read: w.read, Interval: w.interval, Throttled: w.throttled,
		Mode: w.id.Mode, Policy: w.id.policy(), Snapshots: w.id.Backend, Enforcer: w.id.Enforcer,
		Up: time.Since(w.stats.start), Share: share, Rows: rows,
		Imbalance: slices.Clone(w.imbalance[:]), Moves: slices.Clone(w.moves[:]),
	}
	if w.setup == nil && w.topology != nil {
		w.setup = w.describe()
	}
	if w.setup == nil {
		return st, known, version
	}
	if known != w.setup {
		st.Setup, version = w.setup, 0
	}
	speeds := false
	for _, p := range w.setup.CPUs {
		queue, speed := uint32(0), uint32(0)
		if p.CPU < len(w.queue) {
			queue, speed = w.queue[p.CPU], w.speed[p.CPU]
		}
		st.Queue, st.Speed = append(st.Queue, queue), append(st.Speed, speed)
		speeds = speeds || speed > 0
	}
	if !speeds {
		st.Speed = nil
	}
	for i := range w.decisions {
		if w.decisions[i].version > version {
			st.Decisions = append(st.Decisions, w.decisions[i].Decision)
		}
	}
	return st, w.setup, w.version
}

func (w *watcher) describe() *screen.Setup {
	s := &screen.Setup{CPUs: screen.Places(w.topology)}
	for k := range w.judge.set.Features {
		f := &w.judge.set.Features[k]
		s.Features = append(s.Features, screen.Feature{Name: f.Name})
		if w.judge.model != nil && w.judge.model.Ranges != nil {
			r := [2]float64(w.judge.model.Ranges[k])
			s.Features[k].Range = &r
		}
	}
	if w.judge.model != nil {
		s.Cut = w.judge.model.Cut()
	}
	return s
}

// summarise reads the counters once a second.
func (w *watcher) summarise() ([]screen.Row, float64) {
	w.rowsMu.Lock()
	defer w.rowsMu.Unlock()
	now := time.Now()
	if now.Sub(w.rowsAt) < reportEvery {
		return w.rows, w.share
	}
	c, cpu := w.stats.read(), cpuTime()
	if !w.rowsAt.IsZero() {
		w.share = (cpu - w.cpu).Seconds() / now.Sub(w.rowsAt).Seconds()
	}
	w.rows = rows(&c, &w.before)
	w.before, w.cpu, w.rowsAt = c, cpu, now
	return w.rows, w.share
}
