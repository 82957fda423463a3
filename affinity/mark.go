// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"mllb/features"
	"mllb/topology"
)

// Marks reads what threads asked for: features.Thread.Asked. On kernels that keep
// it (6.2 and later) it says exactly whose a narrowed mask is. *bpf.Reader is one.
type Marks interface {
	// Look fills s with one thread as it is now, or with none if it has ended.
	Look(tid int32, s *features.Snapshot) error
	// Snapshot fills s with all.
	Snapshot(s *features.Snapshot) error
}

// mark marks the masks that mllb asks for. A hold asks for its CPU and for bits
// of the mask's last word that are no CPU's: the highest, and in the others a
// checksum of the owner's mask and of the enforcer. The kernel drops them from the
// mask that it applies, but keeps and inherits what was asked for. No other
// sched_setaffinity(2) leaves them there, and whoever asks for every bit has a
// checksum that mllb never uses.
//
//	63        62 ... nr_cpu_ids     nr_cpu_ids-1 ... 0
//	mark      checksum              the CPU
type mark struct {
	cpus   int // the greatest id of a possible CPU plus 1
	bits   int // of the checksum
	salt   [16]byte
	owners map[uint64]heritage // by checksum
}

// heritage is what a mask with a mark is to become: Owner and Full of the record.
// Where a checksum stands for several masks, it is what all of them allow.
type heritage struct {
	owner topology.CPUSet
	full  bool
}

// newMark marks for the enforcer that the journal's header names: another one,
// with its own state directory, has marks of its own.
func newMark(possible topology.CPUSet, h *header) mark {
	m := mark{owners: make(map[uint64]heritage)}
	for cpu := range possible.All() {
		m.cpus = cpu + 1
	}
	m.bits = topology.Spare(m.cpus).Count() - 1
	binary.LittleEndian.PutUint64(m.salt[:], h.Start)
	binary.LittleEndian.PutUint32(m.salt[8:], uint32(h.PID))
	return m
}

// works reports whether there are bits enough.
func (m *mark) works() bool { return m.bits > 0 }

// sum is the checksum for an owner's mask. All its bits are never set.
func (m *mark) sum(owner topology.CPUSet) uint64 {
	b := m.salt[:]
	for i, w := range owner {
		if w != 0 {
			b = binary.LittleEndian.AppendUint64(append(b, byte(i)), w)
		}
	}
	return uint64(crc32.Checksum(b, castagnoli)) % m.most()
}

func (m *mark) most() uint64 { return 1<<m.bits - 1 }

// ask returns what to ask for to have one CPU.
func (m *mark) ask(cpu int32, owner topology.CPUSet) topology.CPUSet {
	s := topology.NewCPUSet(int(cpu))
	if !m.works() {
		return s
	}
	s.Add(m.cpus + m.bits) // the last bit of the last word
	s[len(s)-1] |= m.sum(owner) << (m.cpus & 63)
	return s
}

// read returns the checksum in what a thread asked for, if that has a mark.
func (m *mark) read(asked topology.CPUSet) (sum uint64, ok bool) {
	if !m.works() || !asked.Has(m.cpus+m.bits) {
		return 0, false
	}
	sum = asked[m.cpus>>6] >> (m.cpus & 63) & m.most()
	return sum, sum != m.most()
}

// remember notes the owner's mask of a thread that is to be held, if holds are marked.
func (m *mark) remember(r *record) {
	if !m.works() {
		return
	}
	sum := m.sum(r.Owner)
	old, ok := m.owners[sum]
	switch {
	case !ok:
		m.owners[sum] = heritage{r.Owner, r.Full}
	case !old.owner.Equal(r.Owner):
		m.owners[sum] = heritage{old.owner.And(r.Owner), old.full && r.Full}
	case old.full && !r.Full:
		m.owners[sum] = heritage{r.Owner, false}
	}
}

// task reads a thread as it is now.
func (e *Enforcer) task(tgid, tid int32) (Task, error) {
	if !e.marked {
		return e.sys.Task(tgid, tid)
	}
	s := &e.now
	if err := e.cfg.Marks.Look(tid, s); err != nil {
		return Task{}, err
	}
	if len(s.Threads) == 0 || s.Threads[0].TGID != tgid {
		return Task{}, fmt.Errorf("look at thread %d of process %d: %w", tid, tgid, ErrGone)
	}
	return e.seen(s, &s.Threads[0]), nil
}

// seen is what a snapshot says of a thread.
func (e *Enforcer) seen(s *features.Snapshot, t *features.Thread) Task {
	k := Task{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, State: t.State, Flags: t.Flags, Mask: s.Masks[t.Allowed]}
	if t.Asked >= 0 {
		k.Asked = s.Masks[t.Asked]
		k.Sum, k.Marked = e.mark.read(k.Asked)
	}
	return k
}

// torn reports whether the thread was born while its parent was given back: it has
// the mask from before, and asks for the one from after (copy_process copies the
// thread, then user_cpus_ptr; kernel/fork.c, 6.12). A cpuset of one CPU looks the
// same, and then asking for it again changes nothing.
func (e *Enforcer) torn(t *Task) bool {
	return !t.Marked && single(t.Mask) >= 0 && t.Asked.Count() > 1
}

// findMarks marks the masks that were asked for by mllb, and those of several CPUs.
func (e *Enforcer) findMarks(s *features.Snapshot) {
	e.ours, e.wide = e.ours[:0], e.wide[:0]
	if !e.marked || !s.Asked {
		return
	}
	for _, m := range s.Masks {
		_, ok := e.mark.read(m)
		e.ours, e.wide = append(e.ours, ok), append(e.wide, m.Count() > 1)
	}
}

// isOurs reports whether the thread's mask has a mark.
func (e *Enforcer) isOurs(t *features.Thread) bool { return t.Asked >= 0 && e.ours[t.Asked] }

// suspect reports whether a thread that is not held may have a mask that mllb set.
func (e *Enforcer) suspect(s *features.Snapshot, t *features.Thread) bool {
	if !e.marked || !s.Asked {
		return e.narrow[t.Allowed]
	}
	return t.Asked >= 0 && (e.ours[t.Asked] || e.narrow[t.Allowed] && e.wide[t.Asked])
}

// heirs gives the masks back that a snapshot's threads inherited.
func (e *Enforcer) heirs(s *features.Snapshot, lost bool) []error {
	var errs []error
	traced := e.cfg.Forks != nil && !lost
	for _, i := range e.suspects {
		t := &s.Threads[i]
		n := e.known[t.TID]
		switch known := n != nil && n.ID == t.ID; {
		case known && n.state == pinned && !e.isOurs(t):
			continue // torn, and seen to
		case traced && !known:
			e.setAside(t, deferred) // Forked is to see to it
			continue
		case traced && n.state == deferred && n.waited < deferTicks:
			n.waited++
			continue
		}
		k := e.seen(s, t)
		switch r, o, err := e.inherited(k); o {
		case failed:
			e.setAside(t, deferred)
			errs = append(errs, fmt.Errorf("give thread %d the mask of its parent's owner: %w", t.TID, err))
		case notOurs, ended:
			e.setAside(t, pinned)
		default:
			t.Owner = s.Mask(r.Owner)
			t.Allowed = t.Owner
			if !k.Marked {
				e.setAside(t, pinned) // if it is as before, its cpuset is why
			}
		}
	}
	return errs
}

// inherited gives a thread whose mask has a mark, but that is not held, its
// owner's mask.
func (e *Enforcer) inherited(t Task) (r record, o outcome, err error) {
	c := suspect{ID: t.ID, TGID: t.TGID, PPID: t.PPID, Session: t.Session, CPU: int32(t.Asked.First())}
	if e.torn(&t) {
		r.Owner = t.Asked.Clone()
	} else if h, ok := e.mark.owners[t.Sum]; ok && h.owner.Has(int(c.CPU)) {
		r.Owner, r.Full = h.owner, h.full
	} else {
		return r, notOurs, nil // of another mllbd, or of a journal that was lost
	}
	o, err = e.restoreChild(&entry{record: r}, c)
	return r, o, err
}

// passMarks looks at every thread of the host once, for marks. Its error is as
// that of pass.
func (e *Enforcer) passMarks(report *Report, tried map[features.ID]bool, again *retry) (found int, err error) {
	var s features.Snapshot
	if err := e.cfg.Marks.Snapshot(&s); err != nil {
		return 0, err
	}
	e.findNarrow(&s)
	e.findMarks(&s)
	var lack error
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.TID <= 1 || t.Flags&(features.FlagKthread|flagExiting) != 0 || tried[t.ID] || tried[features.ID{TID: t.TID}] || !e.suspect(&s, t) {
			continue
		}
		k := e.seen(&s, t)
		_, o, err := e.inherited(k)
		tried[t.ID] = o == notOurs || !k.Marked
		switch {
		case o == restored:
			report.Inherited++
			found++
		case o == failed && again.worth(err):
			lack = err
			tried[t.ID] = false
		case o == failed:
			report.note("thread %d: %v", t.TID, err)
			report.Failed++
			tried[t.ID] = true
		case o == notOurs && k.Marked:
			e.strangers++
		}
	}
	return found, lack
}
