// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// undoneWithin is how soon after a thread was let go the kernel undoes a move, if it
// puts the thread back where it was.
const undoneWithin = int64(time.Second)

// undone finds moves that the kernel undid: its own balancer goes on beside mllbd's, and
// the two should not fight. It costs nothing while nothing was moved lately.
type undone struct {
	moves map[features.ID]lately
	from  topology.CPUSet // of all of them
}

// lately is a move.
type lately struct {
	from int32
	free int64 // when the thread was last seen held
}

// tick returns how many moves of earlier ticks were seen undone.
func (u *undone) tick(t *scheduler.Tick) (n uint64) {
	s := t.Snapshot
	if len(u.moves) > 0 {
		n = u.look(s)
	}
	for i := range t.Plan.Candidates {
		if c := &t.Plan.Candidates[i]; t.Moved(c) {
			if u.moves == nil {
				u.moves = make(map[features.ID]lately)
			}
			u.moves[s.Threads[c.Thread].ID] = lately{c.From, s.Time}
			u.from.Add(int(c.From))
		}
	}
	return n
}

func (u *undone) look(s *features.Snapshot) (n uint64) {
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.Hold < 0 && !u.from.Has(int(t.CPU)) {
			continue // most
		}
		m, ok := u.moves[t.ID]
		switch {
		case !ok:
		case t.Hold >= 0:
			m.free = s.Time
			u.moves[t.ID] = m
		case t.CPU == m.from:
			if s.Time-m.free <= undoneWithin {
				n++
			}
			delete(u.moves, t.ID)
		}
	}
	clear(u.from)
	for id, m := range u.moves {
		if s.Time-m.free > undoneWithin {
			delete(u.moves, id)
			continue
		}
		u.from.Add(int(m.from))
	}
	return n
}
