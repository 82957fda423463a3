// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"time"
)

// Reactions tell how long CPUs were idle while threads of the tree waited for
// others: reaction.h says what begins and what ends such an episode.
type Reactions struct {
	// Pulled are those that ended because the CPU ran a thread that came from
	// another CPU's queue, whoever moved it there.
	Pulled Histogram `json:"pulled"`
	// Newidle are those of them in which the CPU pulled the thread itself when it
	// ran out of others, before it was idle.
	Newidle uint64 `json:"newidle"`
	// Otherwise are those that ended without, or were interrupted: a thread woke on
	// the CPU, or none waited any more.
	Otherwise uint64 `json:"otherwise"`
	Open      uint64 `json:"open"` // had not ended when the measurement did
	// Wasted is the time of all of them: of CPUs that were idle, but no more than
	// threads waited.
	Wasted time.Duration `json:"wasted_ns"`
}

// resetReactions forgets those of the measurement before; CPUs are reset with their places.
func (t *tree) resetReactions() error {
	if err := t.objs.Starved.Put(uint32(0), samplerMllbStarved{}); err != nil {
		return fmt.Errorf("reset the episodes: %w", err)
	}
	if err := t.objs.Reactions.Put(uint32(0), make([]samplerMllbReaction, len(t.places))); err != nil {
		return fmt.Errorf("reset the reactions: %w", err)
	}
	return nil
}

func (t *tree) readReactions(s *Sample) error {
	var all samplerMllbStarved
	if err := t.objs.Starved.Lookup(uint32(0), &all); err != nil {
		return fmt.Errorf("read the episodes: %w", err)
	}
	var cpus []samplerMllbReaction
	if err := t.objs.Reactions.Lookup(uint32(0), &cpus); err != nil {
		return fmt.Errorf("read the reactions: %w", err)
	}
	s.Reactions = reactionsOf(&all, cpus)
	return nil
}

func reactionsOf(all *samplerMllbStarved, cpus []samplerMllbReaction) *Reactions {
	var count, sum, longest uint64
	var buckets [numBuckets]uint64
	for i := range cpus {
		c := &cpus[i]
		count += c.Count
		sum += c.Sum
		longest = max(longest, c.Max)
		for b, n := range c.Buckets {
			buckets[b] += n
		}
	}
	r := &Reactions{Pulled: histogram(count, sum, longest, &buckets), Newidle: all.Newidle, Open: uint64(all.Open), Wasted: time.Duration(all.Wasted)}
	if ended := all.Begun - r.Open; ended > count {
		r.Otherwise = ended - count
	}
	return r
}
