// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"mllb/topology"
)

// mechanism is how a thread is brought to one CPU and back.
type mechanism interface {
	// origin returns what the journal must know of where the thread is now.
	origin(tgid, tid int32) (string, error)
	// ready makes what a hold on the CPU needs.
	ready(cpu int32) error
	// narrow leaves the thread r.CPU.
	narrow(r *record) error
	// mine reports whether a thread with a narrowed mask may owe it to us.
	mine(tgid, tid int32) (bool, error)
	// widen gives the thread r's owner's mask, now that its mask is narrowed.
	widen(r *record, tgid, tid int32) error
	// close removes what ready made.
	close() error
}

// everyCPU asks for all CPUs that there are or will be.
var everyCPU = func() topology.CPUSet {
	s := make(topology.CPUSet, topology.MaxCPUs/64)
	for i := range s {
		s[i] = ^uint64(0)
	}
	return s
}()

// originMark is the Origin of a hold that asks for a mark. Older mllbds did not.
const originMark = "mark"

// masks is the mechanism that calls sched_setaffinity(2).
type masks struct {
	sys  Sys
	mark *mark
}

func (m *masks) origin(tgid, tid int32) (string, error) {
	if m.mark.works() {
		return originMark, nil
	}
	return "", nil
}
func (m *masks) ready(cpu int32) error              { return nil }
func (m *masks) mine(tgid, tid int32) (bool, error) { return true, nil }
func (m *masks) close() error                       { return nil }
func (m *masks) narrow(r *record) error {
	return m.sys.SetAffinity(r.TID, m.mark.ask(r.CPU, r.Owner))
}
func (m *masks) widen(r *record, _, tid int32) error { return setOwner(m.sys, r, tid) }

// setOwner sets the owner's mask. The kernel keeps what is asked for, not only
// what it grants (user_cpus_ptr, since 6.2, commit 8f9ea86fdf99), and applies
// it again whenever the cpuset or the CPUs change (__set_cpus_allowed_ptr in
// kernel/sched/core.c, 6.12). Two things follow. A thread that had all that
// its cpuset allowed is asked to have every CPU, or it would keep today's
// CPUs for good. And where none of the owner's CPUs is left in the cpuset,
// which is EINVAL here, the kernel would have ignored the owner's mask too.
func setOwner(sys Sys, r *record, tid int32) error {
	if r.Full {
		return sys.SetAffinity(tid, everyCPU)
	}
	err := sys.SetAffinity(tid, r.Owner)
	if errors.Is(err, unix.EINVAL) {
		if err = sys.SetAffinity(tid, everyCPU); err != nil {
			return fmt.Errorf("give up the owner's mask {%s}: %w", r.Owner, err)
		}
	}
	return err
}

// single returns the only CPU of a mask, or -1.
func single(m topology.CPUSet) int32 {
	if m.Count() != 1 {
		return -1
	}
	return int32(m.First())
}
