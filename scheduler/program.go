// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"time"

	"mllb/features"
)

// recheck is how long the name of an executable is believed where nothing else
// of a process changed: execve(2) mostly changes its own name too.
const recheck = 5 * time.Second

// Programs are programs by name: a process that is called so, or whose
// executable is, with all its threads, whatever those are called. A thread
// that is called so itself belongs to them as well.
type Programs struct {
	ask   func(pid int32) (exe, comm string) // names of a process and its executable, "" if they cannot be told
	names map[string]struct{}
	comms map[[16]byte]struct{} // the same, as the kernel keeps them
	known map[int32]process
	swept int64 // when those that ended were forgotten
}

// process is what is known of one.
type process struct {
	start uint64 // of the thread that leads it; 0: only others were seen
	comm  [16]byte
	at    int64 // when it was asked for
	in    bool
}

// NewPrograms returns the programs of these names. ask tells the name of a process and
// that of its executable, "" if it cannot.
func NewPrograms(names []string, ask func(pid int32) (exe, comm string)) *Programs {
	p := &Programs{
		ask: ask, known: make(map[int32]process),
		names: make(map[string]struct{}), comms: make(map[[16]byte]struct{}),
	}
	for _, n := range names {
		p.names[n] = struct{}{}
		p.comms[features.Comm(n)] = struct{}{}
	}
	return p
}

// look brings p up to date with a snapshot. A process is known by the thread that
// leads it, which stays as a zombie where it ends before the others. Where that is not
// in a partial snapshot it is asked for, and believed for a while.
func (p *Programs) look(s *features.Snapshot) {
	for i := range s.Threads {
		t := &s.Threads[i]
		leads := t.TID == t.TGID
		if t.Flags&features.FlagKthread != 0 || !leads && !s.Partial {
			continue
		}
		k, ok := p.known[t.TGID]
		if ok && s.Time-k.at < int64(recheck) && (!leads || k.start == t.Start && k.comm == t.Comm) {
			continue
		}
		k = process{at: s.Time, in: p.is(t.TGID, t.Comm, leads)}
		if leads {
			k.start, k.comm = t.Start, t.Comm
		}
		p.known[t.TGID] = k
	}
	if s.Time-p.swept >= int64(recheck) {
		p.swept = s.Time
		for pid, k := range p.known {
			if s.Time-k.at >= 2*int64(recheck) {
				delete(p.known, pid)
			}
		}
	}
}

// is reports whether a process is one of the programs; leader is what the thread that
// leads it is called, if that is known.
func (p *Programs) is(pid int32, leader [16]byte, known bool) bool {
	if _, ok := p.comms[leader]; ok && known {
		return true
	}
	exe, comm := p.ask(pid)
	if _, ok := p.names[exe]; ok {
		return true
	}
	_, ok := p.comms[features.Comm(comm)]
	return ok && !known && comm != ""
}

// has reports whether a thread belongs to one of the programs.
func (p *Programs) has(t *features.Thread) bool {
	if p.known[t.TGID].in {
		return true
	}
	_, ok := p.comms[t.Comm]
	return ok
}
