// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"mllb/features"
	"mllb/topology"
)

// LoadOf returns what a thread adds to its CPU's load.
func LoadOf(t *features.Thread) int64 {
	if !t.Queued() || fair(t.Policy) && t.Runnable < momentary {
		return 0
	}
	return int64(weight(t))
}

// Margin returns imbalance_pct between two groups of a domain.
func (b *Balancer) Margin(domain, from, to int) int64 {
	return b.layout.domains[domain].margin(from, to)
}

// Speed returns what a CPU counted for in the last plan.
func (b *Balancer) Speed(cpu int) int64 { return b.pass.queues[cpu].speed }

// Budget returns the most moves of a tick.
func (b *Balancer) Budget() int { return b.budget }

// Cooling returns how many cool-downs are remembered.
func (b *Balancer) Cooling() int { return len(b.state.cool) }

// Topology returns the machine that is planned for.
func (b *Balancer) Topology() *topology.Topology { return b.layout.topo }

// Exceeds compares the loads of two groups of one capacity by a margin.
func Exceeds(load, other, capacity, pct int64) bool {
	return exceeds(&group{load: load, capacity: int32(capacity)}, &group{load: other, capacity: int32(capacity)}, pct)
}
