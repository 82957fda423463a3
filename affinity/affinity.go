// SPDX-License-Identifier: Apache-2.0

// Package affinity enforces: it holds threads on single CPUs for a while and
// gives each its owner's mask back, however mllb ends.
//
// A mask is only ever made narrower than its owner's, the journal knows of a
// hold before the kernel does, and a thread is given back only while its mask
// is still one that mllb set: whoever changed it meanwhile keeps the change.
//
// The words: a thread is held on one CPU, moved to another while it is held,
// and released, which gives its owner's mask back. It is foreign once its owner
// changed its mask while it was held. A thread that was not held and has a
// narrowed mask is pinned, by its owner, or has inherited a held thread's: its
// lineage says which. state.go has the states of a thread and how they change,
// record.go the lines of the journal.
package affinity

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"mllb/features"
	"mllb/internal/number"
	"mllb/topology"
)

// The kinds of enforcer.
const (
	KindAffinity = "affinity" // sched_setaffinity(2) of each thread
	KindCPUSet   = "cpuset"   // one cpuset cgroup per CPU below Config.Cgroup
)

// Errors that a caller may want to tell apart; they come wrapped.
var (
	ErrBusy    = errors.New("another mllbd is running")           // its pid is in the message
	ErrJournal = errors.New("the journal is refused")             // Restore moves it aside
	ErrDamaged = errors.New("lines of the journal are damaged")   // what they held is not known
	ErrGone    = errors.New("the thread has ended")               // between snapshot and hold
	ErrChanged = errors.New("its owner changed its mask")         // between snapshot and hold
	ErrForeign = errors.New("the thread is no longer ours")       // its owner changed its mask while it was held
	ErrCPU     = errors.New("the cpu is not in its owner's mask") // a hold may only narrow
	ErrSystem  = errors.New("not a thread that may be held")      // pid 1, a kernel thread, mllbd itself
	ErrOutside = errors.New("the thread is outside of --cgroup")  // cpuset: never reparent such a thread
	ErrClosed  = errors.New("the enforcer is closed")

	// ErrNamespace: its thread ids and times mean nothing here.
	ErrNamespace = errors.New("the journal is of another namespace")
)

// Config is what an enforcer is told once.
type Config struct {
	Root     string       // where /proc and /sys are; "" is "/"
	StateDir string       // of journal and lock, created with mode 0700; "" is "/run/mllb"
	Kind     string       // KindAffinity or KindCPUSet; "" is KindAffinity
	Cgroup   string       // KindCPUSet: absolute directory of a v1 cpuset or a v2 hierarchy
	Marks    Marks        // what threads asked for; nil: lineage says whose a narrowed mask is
	Forks    ForkSource   // exact fork following; nil: children are found in snapshots
	Log      *slog.Logger // nil: nothing is logged
	Sys      Sys          // the kernel; nil: the real one
}

// ForkSource reports the forks of the threads that it is told to track, to
// Enforcer.Forked. Its methods are called with the enforcer's lock held, so
// they must not wait for a call of Forked to return.
type ForkSource interface {
	Track(tid int32) error
	Untrack(tid int32) error // of a thread that is not tracked (any more): nil
	Lost() (uint64, error)   // forks that were not reported so far
	Pinned(tid int32) bool   // anybody else is known to have given it a mask since it was tracked
	// Guard returns a function that tells which mask anybody else is known to have last
	// given the thread since it was called, nil if nobody is, and one that ends the guard.
	Guard(tid int32) (given func() topology.CPUSet, done func(), err error)
}

// Fork is one fork, as a ForkSource saw it.
type Fork struct {
	Parent int32       // tid of the thread that forked
	Child  features.ID // thread or process
	TGID   int32       // the child's process
}

// Report says what became of the threads that were held, by Close, by Restore
// or by Open of those that a killed predecessor left.
type Report struct {
	Restored  int      // threads that got their owner's mask back
	Inherited int      // children of held threads that got the owner's mask, not in Restored
	Unchanged int      // had their owner's mask already
	Gone      int      // have ended
	Foreign   int      // left alone: their mask was changed meanwhile
	Failed    int      // could not be given back; a note says why
	Notes     []string // what was healed, discarded or failed, a line each: the first maxNotes
	Unsaid    int      // notes beyond those
}

const maxNotes = 20

// String is the report in one line, without the notes.
func (r Report) String() string {
	var b strings.Builder
	b.WriteString(number.Of(r.Restored+r.Inherited, "mask") + " restored")
	for _, p := range []struct {
		n    int
		what string
	}{
		{r.Inherited, "of them inherited by children"}, {r.Unchanged, "already their owner's"},
		{r.Gone, "of ended threads"}, {r.Foreign, "left as their owner changed them"}, {r.Failed, "failed"},
	} {
		if p.n > 0 {
			fmt.Fprintf(&b, ", %d %s", p.n, p.what)
		}
	}
	return b.String()
}

func (r *Report) note(format string, args ...any) {
	if len(r.Notes) >= maxNotes {
		r.Unsaid++
		return
	}
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Lines are the notes, and how many there are beyond them.
func (r *Report) Lines() []string {
	if r.Unsaid == 0 {
		return r.Notes
	}
	return append(slices.Clip(r.Notes), fmt.Sprintf("and %d more like these", r.Unsaid))
}

// Stats are counts since Open, but for Held.
type Stats struct {
	Held     int    // threads held now
	Holds    uint64 // threads narrowed
	Restored uint64 // owner's masks given back, of any thread
	Forks    uint64 // of these, children that had inherited a narrowed mask
	BackOffs uint64 // held threads left to their owner, who changed their mask
	Gone     uint64 // threads that ended before or while they were changed (ESRCH)
	Failed   uint64 // system calls and journal writes that failed otherwise
	Strays   uint64 // masks set on a thread id that was reused at that very moment
}
