// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"math/bits"
	"time"

	"mllb/features"
	"mllb/topology"
)

// A mask that nobody narrowed has every CPU that ordinary threads have here.
// Those are not all that are online: init may have fewer (isolcpus=, systemd's
// CPUAffinity=) and hands that down, a cpuset may allow fewer, and CPUs that
// are left out count for nobody.

// believed is how long what a cpuset allows is believed. When that changes the
// kernel changes the masks as well: until it is read again a thread that lost
// CPUs looks narrowed, and one that got some does not.
const believed = 5 * time.Second

// width is what a mask must cover.
type width struct {
	usable  topology.CPUSet // online and not left out
	base    topology.CPUSet // of these, what ordinary threads have
	wide    []bool          // by mask index: it covers base
	cpusets map[uint64]allowed
}

// allowed is what a cpuset allows.
type allowed struct {
	cpus topology.CPUSet // nil: it is not known, or it bounds nothing
	at   int64
}

// measure finds out, once for each distinct mask, which are wide.
func (f *Filter) measure(s *features.Snapshot) {
	w := &f.width
	for words := (len(s.Runqueues) + 63) / 64; len(w.usable) < words; {
		w.usable, w.base = append(w.usable, 0), append(w.base, 0)
	}
	clear(w.usable)
	for cpu := range s.Runqueues {
		if s.Runqueues[cpu].Online && !f.LeftOut.Has(cpu) {
			w.usable.Add(cpu)
		}
	}
	copy(w.base, w.usable)
	base := f.Baseline
	if base == nil {
		base = f.ofInit(s)
	}
	for i := range w.base {
		if base != nil {
			w.base[i] &= word(base, i)
		}
	}
	w.wide = w.wide[:0]
	some := !w.base.Empty()
	for _, m := range s.Masks {
		w.wide = append(w.wide, some && w.base.SubsetOf(m))
	}
}

// ofInit returns the mask of init, if it is narrower than the host and its
// cpuset: what it starts has that too.
func (f *Filter) ofInit(s *features.Snapshot) topology.CPUSet {
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.TID != 1 {
			continue
		}
		mask := s.Masks[t.Owner]
		if f.width.usable.SubsetOf(mask) {
			return nil
		}
		if set := f.cpuset(s, t); set != nil && covers(mask, set, f.width.usable) > 0 {
			return nil
		}
		return mask
	}
	return nil
}

// whole reports whether nobody narrowed a thread's mask: it covers the base, or
// of a base and a cpuset that overlap all of both, or all of the cpuset.
func (f *Filter) whole(s *features.Snapshot, t *features.Thread) bool {
	w := &f.width
	if w.wide[t.Owner] {
		return true
	}
	set := f.cpuset(s, t)
	if set == nil {
		return false
	}
	mask, within := s.Masks[t.Owner], w.base
	if !set.Intersects(within) {
		within = w.usable
	}
	return covers(mask, set, within) > 1 // of one CPU there is no choice
}

// covers returns how many CPUs of set are within, 0 if mask lacks any of them.
func covers(mask, set, within topology.CPUSet) (n int) {
	for i := range within {
		want := word(set, i) & within[i]
		if want&^word(mask, i) != 0 {
			return 0
		}
		n += bits.OnesCount64(want)
	}
	return n
}

func word(s topology.CPUSet, i int) uint64 {
	if i < len(s) {
		return s[i]
	}
	return 0
}

// cpuset returns what a thread's cpuset allows, nil if that cannot be told. It
// asks once for each cgroup, or process where cgroups say nothing of cpusets.
func (f *Filter) cpuset(s *features.Snapshot, t *features.Thread) topology.CPUSet {
	if f.Cpuset == nil {
		return nil
	}
	w := &f.width
	key := t.Cgroup
	if !f.ByCgroup || key == 0 {
		key = 1<<63 | uint64(t.TGID)
	}
	a, ok := w.cpusets[key]
	if ok && s.Time-a.at < int64(believed) {
		return a.cpus
	}
	if w.cpusets == nil || len(w.cpusets) > 4096 { // what years leave behind
		w.cpusets = make(map[uint64]allowed)
	}
	a = allowed{f.Cpuset(t), s.Time}
	w.cpusets[key] = a
	return a.cpus
}
