// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"time"

	"mllb/features"
)

// What a held thread starts has one CPU for the moment until Forked gives it its
// owner's mask, and may size itself by that. So a process that starts another while
// it is held, and a thread that starts a thread, are left free for a while, and the
// longer the more often that happens.
const (
	firstPause   = 3 * time.Second
	longestPause = 5 * time.Minute
)

// pause is for how long a process or thread is left free.
type pause struct {
	until int64 // Snapshot.Time
	next  time.Duration
}

// pauses are those of processes, or of threads, by id. A reused id has an
// undeserved pause.
type pauses struct {
	of     map[int32]pause
	filter filter
}

func (p *pauses) begin(id int32, now int64) {
	if p.of == nil {
		p.of = make(map[int32]pause)
	}
	next := max(p.of[id].next, firstPause)
	p.of[id] = pause{now + int64(next), min(2*next, longestPause)}
	p.filter.add(id)
}

func (p *pauses) active(id int32, now int64) bool { return p.filter.has(id) && now < p.of[id].until }

// prune forgets who has not forked for as long as the next pause would be.
func (p *pauses) prune(now int64) {
	if len(p.of) == 0 {
		return
	}
	p.filter = filter{}
	for id, q := range p.of {
		if now > q.until+int64(q.next) {
			delete(p.of, id)
			continue
		}
		p.filter.add(id)
	}
}

// leave ends the holds of whoever forked: of the thread, or of its whole process if
// it started another.
func (e *Enforcer) leave(from *entry, f Fork) {
	if f.TGID == from.TGID {
		e.freeThreads.begin(from.TID, e.time)
		e.letGo(from)
	} else {
		e.freeProcesses.begin(from.TGID, e.time)
		for _, n := range e.known {
			if n.TGID == from.TGID {
				e.letGo(n)
			}
		}
	}
	if err := e.flush(); err != nil {
		e.log.Warn("threads that fork stay in the journal", "err", err)
	}
}

func (e *Enforcer) letGo(n *entry) {
	if !n.state.holds() {
		return
	}
	if _, err := e.release(n); err != nil {
		e.log.Warn("a thread that forks stays held until the next tick", "tid", n.TID, "err", err)
	}
}

// free reports whether a thread is left free for a while.
func (e *Enforcer) free(t *features.Thread) bool {
	return e.freeProcesses.active(t.TGID, e.time) || e.freeThreads.active(t.TID, e.time)
}
