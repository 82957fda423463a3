// SPDX-License-Identifier: Apache-2.0

// Package scheduler decides: it holds the policies, the balance pass that asks
// them, and the loop that carries plans out.
package scheduler

import (
	"time"

	"mllb/features"
	"mllb/topology"
)

// Host is where snapshots come from: the real machine or a simulated one.
type Host interface {
	// Snapshot fills s with the host's state now.
	Snapshot(s *features.Snapshot) error
}

// AwakeHost is a Host that can also read no more than it takes to balance: its time
// grows with what runs or waits and with what is named in s.Keep, not with what
// sleeps.
type AwakeHost interface {
	// Awake fills s with those threads, and s.Partial says that it has; or with all.
	Awake(s *features.Snapshot) error
}

// Speeds knows what the CPUs are worth.
type Speeds interface {
	// Speeds sets the Speed of each runqueue of s whose CPU it knows. Which CPUs are
	// busy it takes from s.
	Speeds(s *features.Snapshot)
}

// Enforcer carries plans out. It knows the owner's mask of every thread that
// it narrowed and gives it back.
type Enforcer interface {
	// Sync brings the enforcer up to date with a snapshot and annotates the
	// snapshot: threads that ended are forgotten; a held thread whose mask is
	// no longer the one that was set is let go for good and marked not
	// Managed; threads forked by held ones get their owner's mask; leases that
	// ran out are ended. Owner and Hold of every thread are true afterwards.
	Sync(s *features.Snapshot) error

	// Apply holds each thread on its CPU, for lease or, if that is 0, until it
	// is released. One error for each hold, nil where it took effect. The
	// journal knows of a hold before the kernel does.
	Apply(s *features.Snapshot, holds []features.Hold, lease time.Duration) []error

	// Release gives the threads (indices into s.Threads) their owner's mask
	// back. One error for each, nil also where the thread has ended.
	Release(s *features.Snapshot, threads []int32) []error

	// Follow names in s.Keep the threads that the next snapshot must have because
	// something is known of them, and reports whether it must have all others, too.
	Follow(s *features.Snapshot) (whole bool)

	// Held returns how many threads are held now.
	Held() int
}

// Verdict is a policy's answer to one Decision.
type Verdict struct {
	Migrate bool
	Logit   int32 // Q21.11; 0 where the policy has none
	// OutOfDistribution: it is unlike anything in the model's training data, and
	// policy cfs answered.
	OutOfDistribution bool
}

// Policy judges one candidate move. It must not keep d or what it points to.
type Policy interface {
	Name() string
	Decide(d *features.Decision) Verdict
}

// Mode is who balances.
type Mode uint8

// The modes of the daemon.
const (
	Observe Mode = iota // the kernel balances; nothing is changed
	Assist              // the kernel, plus approved moves held for a lease
	Own                 // mllbd alone, for the threads it holds
)

// Reason says what became of one candidate.
type Reason uint8

// Why a candidate was moved or not. The hard conditions come first: a
// candidate that meets one is never put to the policy.
const (
	Moved      Reason = iota // the policy said migrate, or the move is active balance
	NotManaged               // out of scope, or not ours to move
	Affinity                 // its owner's mask excludes the destination
	OnCPU                    // it is running
	Disabled                 // migration is disabled
	CoolDown                 // it moved too recently
	TooHeavy                 // moving it would not shrink the imbalance
	OverBudget               // the tick's budget is spent
	Stay                     // the policy said stay
	NotBusy                  // own, but for --hold all: it mostly sleeps, so it is left free
	NumReasons
)

var reasons = [NumReasons]string{
	Moved: "moved", NotManaged: "not_managed", Affinity: "affinity", OnCPU: "on_cpu", Disabled: "disabled",
	CoolDown: "cool_down", TooHeavy: "too_heavy", OverBudget: "over_budget", Stay: "stay", NotBusy: "not_busy",
}

// String names the reason as the events file and the metrics do.
func (r Reason) String() string {
	if r < NumReasons {
		return reasons[r]
	}
	return "reason?"
}

// Candidate is one thread that the balance pass looked at.
type Candidate struct {
	Thread   int32 // index into Snapshot.Threads
	From, To int32 // CPUs
	Level    topology.Level
	Reason   Reason
	Hold     int32             // index into Plan.Holds of its move, or -1: not moved
	Asked    bool              // the policy was asked
	Active   bool              // active balance: a running thread pushed, without the policy
	Gain     int64             // of what was Asked or is Active: what the thread would get more, of 1024 of what it gets now
	Decision features.Decision // likewise
	Verdict  Verdict           // of what was Asked
}

// HoldPolicy says which managed threads `own` holds (--hold).
type HoldPolicy uint8

// What `own` holds.
const (
	HoldBusy  HoldPolicy = iota // threads that keep a CPU busy
	HoldAll                     // every managed thread
	HoldWorth                   // of the busy ones those whose place is worth it: see holdWorth
)

// Config is what a balancer is told once.
type Config struct {
	Mode     Mode
	Hold     HoldPolicy
	Budget   int           // moves per tick at the most; 0: half the CPUs, at least DefaultBudget
	CoolDown time.Duration // a thread that moved is left alone for this long; 0: DefaultCoolDown
	Newborn  time.Duration // a thread that is busy is not held before it is so old; 0: DefaultNewborn
}

// Plan is what one tick should change, and why. It and what it points to are
// valid until the next Plan of the same balancer.
type Plan struct {
	Candidates []Candidate     // every thread looked at, in order
	Holds      []features.Hold // to be applied, in order: moves, and in `own` threads held where they are
	Releases   []int32         // held threads to let go (indices into Snapshot.Threads): `own`, gone to sleep

	effect effect // what Commit makes of it
}
