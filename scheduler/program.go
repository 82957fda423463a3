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
	exe   func(pid int32) string // name of a process's executable, "" if that cannot be told
	names map[string]struct{}
	comms map[[16]byte]struct{} // the same, as the kernel keeps them
	known map[int32]process
}

// process is what is known of one.
type process struct {
	start uint64
	comm  [16]byte
	at    int64 // when its executable was asked for
	in    bool
}

// NewPrograms returns the programs of these names. exe tells the name of a
// process's executable, "" if it cannot.
func NewPrograms(names []string, exe func(pid int32) string) *Programs {
	p := &Programs{
		exe: exe, known: make(map[int32]process),
		names: make(map[string]struct{}), comms: make(map[[16]byte]struct{}),
	}
	for _, n := range names {
		p.names[n] = struct{}{}
		p.comms[features.Comm(n)] = struct{}{}
	}
	return p
}

// look brings p up to date with a snapshot. A process is known by the thread
// that leads it, which stays as a zombie where it ends before the others.
func (p *Programs) look(s *features.Snapshot) {
	led := 0
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.TID != t.TGID || t.Flags&features.FlagKthread != 0 {
			continue
		}
		led++
		k, ok := p.known[t.TGID]
		if ok && k.start == t.Start && k.comm == t.Comm && s.Time-k.at < int64(recheck) {
			continue
		}
		p.known[t.TGID] = process{t.Start, t.Comm, s.Time, p.is(t)}
	}
	if len(p.known) > 2*led+64 {
		clear(p.known) // most have ended
		p.look(s)
	}
}

func (p *Programs) is(leader *features.Thread) bool {
	if _, ok := p.comms[leader.Comm]; ok {
		return true
	}
	_, ok := p.names[p.exe(leader.TGID)]
	return ok
}

// has reports whether a thread belongs to one of the programs.
func (p *Programs) has(t *features.Thread) bool {
	if p.known[t.TGID].in {
		return true
	}
	_, ok := p.comms[t.Comm]
	return ok
}
