// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"mllb/features"
	"mllb/topology"
)

// state is what a thread is to the enforcer. These are all the changes there
// are, and what makes each; TestStates reads them here and reaches every one.
//
//	none      -> narrowing  Apply writes the hold to the journal
//	narrowing -> held       its mask is narrowed
//	narrowing -> none       its mask cannot be narrowed, or the journal not be written
//	held      -> moving     Apply writes a hold on another CPU to the journal
//	moving    -> held       its mask is changed, or cannot be and is as it was
//	held      -> released   it has its owner's mask, or the owner's new one, or has ended
//	narrowing -> released   Close, after a panic in Apply
//	moving    -> released   likewise, and Restore after a kill in Apply
//	none      -> held       Restore: the journal has its hold
//	none      -> moving     Restore: the journal has a hold that followed another
//	none      -> released   Restore: the journal has that its hold ended
//	none      -> foreign    its owner changed its mask while it was held
//	none      -> deferred   its mask is narrowed, and the ForkSource has not said of whom it is the child
//	none      -> pinned     its mask is narrowed, by its owner
//	deferred  -> pinned     the ForkSource has not said so in time
//	foreign   -> none       it has ended, or execve(2) gave it the narrowed mask of another thread
//	deferred  -> none       it has ended, or it is a child after all
//	pinned    -> none       as foreign, or it is to be held
//	none      -> inherited  it had a narrowed mask by birth or execve(2), and has the owner's now
//	released  -> none       keepTicks later
//	inherited -> none       keepTicks later
type state uint8

const (
	none      state = iota // nothing is known of it
	narrowing              // in the journal, perhaps not yet in the kernel
	held                   // its mask is one CPU, set here
	moving                 // held, and in the journal on another CPU than perhaps in the kernel
	foreign                // was held, until its owner changed its mask: left alone while it lives
	deferred               // has a narrowed mask, and the ForkSource will tell whose child it is
	pinned                 // has a narrowed mask that is its owner's doing: nothing to look into again
	released               // was held: kept for a few ticks, for its children
	inherited              // had a held thread's mask: kept likewise, and never in the journal
	numStates
)

// holds reports whether the journal has the thread as held.
func (s state) holds() bool { return s == narrowing || s == held || s == moving }

// past reports whether the thread is kept for the lineage of others only. It
// may have another entry, that says what it is now.
func (s state) past() bool { return s == released || s == inherited }

// entry is what the enforcer knows of one thread.
type entry struct {
	record
	state   state
	prev    int32   // while moving, the CPU it was held on before
	trail   []int32 // CPUs it was held on of late, CPU last
	moved   uint32  // tick of the last change of CPU
	until   int64   // end of its lease in Snapshot.Time, 0 for none
	at      int64   // Snapshot.Time of the plan that held it: older snapshots say nothing
	task    uint64  // Thread.Task, 0 until a snapshot has shown it
	seen    uint32  // tick that last saw it alive; once past, in which it became so
	tracked bool    // the ForkSource reports the children of this hold
	waited  uint8   // ticks since it was deferred
	from    *entry  // deferred: whose mask it has, if that is known, but could not be given back

	masks      *features.Snapshot // whose indices these are
	owner, set int32
}

// ours reports whether the thread's mask is one that mllb set.
func (n *entry) ours(mask topology.CPUSet) bool {
	cpu := single(mask)
	return cpu >= 0 && (cpu == n.CPU || n.state == moving && cpu == n.prev)
}

// become changes a thread's state, and with it where the thread is found: in
// known, in the lineage, or nowhere.
func (e *Enforcer) become(n *entry, to state) {
	from := n.state
	n.state = to
	if e.changed != nil {
		e.changed(from, to)
	}
	switch {
	case to.past():
		n.seen = e.tick
		e.remove(n)
		e.lineage.add(n)
	case to == none:
		e.remove(n)
		e.lineage.remove(n)
	case from == none:
		e.add(n)
	}
	if from.holds() {
		e.stats.Held--
	}
	if to.holds() {
		e.stats.Held++
	}
}

// add makes a thread known. What was known of it before no longer counts.
func (e *Enforcer) add(n *entry) {
	if old := e.known[n.TID]; old != nil {
		e.become(old, none)
	}
	e.known[n.TID] = n
	e.filter.add(n.TID)
}

// remove undoes add. The filter keeps its bit until Sync rebuilds it.
func (e *Enforcer) remove(n *entry) {
	if e.known[n.TID] == n {
		delete(e.known, n.TID)
	}
}

// filter answers for most threads that they are not known, without a look at
// the map: one bit for each value of a tid's low bits.
type filter [1 << 16 / 64]uint64

func (f *filter) add(tid int32)      { f[tid>>6&(1<<10-1)] |= 1 << (tid & 63) }
func (f *filter) has(tid int32) bool { return f[tid>>6&(1<<10-1)]&(1<<(tid&63)) != 0 }
