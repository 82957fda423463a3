// SPDX-License-Identifier: Apache-2.0

// Package screen draws what an mllbd does: a map of the machine, how imbalance went,
// the last decisions and why. States and keys go in, and lines of text come out; what
// terminals are it does not know.
package screen

import (
	"cmp"
	"slices"
	"time"

	"mllb/topology"
)

// State is what an mllbd tells of itself. As a line of JSON it is what the socket in its
// state directory sends.
type State struct {
	Setup *Setup `json:"setup,omitempty"` // nil: as before

	Sent      time.Time     `json:"sent"`
	Read      time.Time     `json:"read"` // when the queues were, or were known to be as before
	Interval  time.Duration `json:"interval"`
	Throttled bool          `json:"throttled"` // the last tick was, by --max-cpu

	Mode      string        `json:"mode"`
	Policy    string        `json:"policy"`
	Snapshots string        `json:"snapshots"`
	Enforcer  string        `json:"enforcer"`
	Up        time.Duration `json:"up"`
	Share     float64       `json:"share"` // of one CPU, that mllbd itself takes

	Queue []uint32 `json:"queue"`           // of each of Setup.CPUs
	Speed []uint32 `json:"speed,omitempty"` // likewise, of 1024; 0: not known

	// The largest imbalance, and the moves, in each Slot until now; -1: not known.
	Imbalance []int32 `json:"imbalance"`
	Moves     []int32 `json:"moves"`

	Rows      []Row      `json:"rows"`
	Decisions []Decision `json:"decisions,omitempty"` // that are new, or of which more is known
}

// Slot is a step of the timeline.
const Slot = 500 * time.Millisecond

// Setup is what hardly ever changes.
type Setup struct {
	CPUs     []Place   `json:"cpus"` // neighbours beside each other
	Features []Feature `json:"features"`
	Cut      float64   `json:"cut"` // the logit from which the network says migrate
}

// Place is where a CPU is. LLC and Core are indices.
type Place struct {
	CPU     int  `json:"cpu"`
	Node    int  `json:"node"`
	LLC     int  `json:"llc"`
	Core    int  `json:"core"`
	LeftOut bool `json:"left_out,omitempty"` // nobody balances it
}

// Feature is one that decisions have a value of.
type Feature struct {
	Name  string      `json:"name"`
	Range *[2]float64 `json:"range,omitempty"` // in training; nil: not known
}

// Row is a line of text about the run.
type Row struct {
	Name    string `json:"name"`
	Text    string `json:"text"`
	Warning bool   `json:"warning,omitempty"`
}

// Decision is one move that was considered.
type Decision struct {
	Seq  uint64    `json:"seq"` // tells it from others
	At   time.Time `json:"at"`
	TID  int32     `json:"tid"`
	TGID int32     `json:"tgid"`
	Comm string    `json:"comm"`
	From int32     `json:"from"`
	To   int32     `json:"to"`

	Level   string  `json:"level"`
	Active  bool    `json:"active,omitempty"` // a running thread is pushed: no policy is asked
	Migrate bool    `json:"migrate"`
	Network bool    `json:"network,omitempty"` // it answered, with Logit
	Logit   float64 `json:"logit"`
	Rule    bool    `json:"rule"` // what the kernel's rule would have said: migrate
	Gain    float64 `json:"gain"` // expected, as a share of what it got

	FromQueue uint32 `json:"from_queue"`
	ToQueue   uint32 `json:"to_queue"`

	Moved bool   `json:"moved"`
	Why   string `json:"why"`             // it was not, or was
	After *After `json:"after,omitempty"` // of a move: nil until known

	Values  []float32 `json:"values,omitempty"`  // of Setup.Features
	Outside []int     `json:"outside,omitempty"` // which of them were out of their ranges
}

// After is what became of a moved thread within a second.
type After struct {
	Seen   bool    `json:"seen"` // false: it slept, or ended
	CPU    int32   `json:"cpu"`
	Share  float64 `json:"share"`            // of that time, in which it ran
	Undone bool    `json:"undone,omitempty"` // the kernel put it back
}

// Places lists the CPUs of a topology that are online, neighbours beside each other.
func Places(t *topology.Topology) []Place {
	out := topology.AllLeftOut(t.LeftOut)
	var places []Place
	for cpu := range t.Online.All() {
		c := &t.CPUs[cpu]
		places = append(places, Place{CPU: cpu, Node: c.Node, LLC: c.LLC, Core: c.Core, LeftOut: out.Has(cpu)})
	}
	slices.SortFunc(places, func(a, b Place) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.LLC, b.LLC), cmp.Compare(a.Core, b.Core), cmp.Compare(a.CPU, b.CPU))
	})
	return places
}

// maxDecisions are kept.
const maxDecisions = 500

// take merges what is told of decisions into those that are known, in order of Seq.
func take(known, told []Decision) []Decision {
	for i := range told {
		d := &told[i]
		at, found := slices.BinarySearchFunc(known, d.Seq, func(k Decision, seq uint64) int { return cmp.Compare(k.Seq, seq) })
		if found {
			known[at] = *d
		} else {
			known = slices.Insert(known, at, *d)
		}
	}
	return known[max(0, len(known)-maxDecisions):]
}

// stale says whether a state is older than two ticks, what it takes to send it aside.
func (s *State) stale(now time.Time) bool {
	return s.Throttled || now.Sub(s.Read) > 2*s.Interval+Every
}

// Every is how often a state is sent and drawn at the most.
const Every = 500 * time.Millisecond
