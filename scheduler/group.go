// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"math"

	"mllb/topology"
)

// unset is a quota not yet set.
const unset = math.MinInt64

// close reports whether the domain lies within one last-level cache.
func (d *domain) close() bool { return d.level <= topology.LLC }

// heavier compares load per CPU. Loads are at most 2^17 * 2^22 threads, times
// 2^13 CPUs: int64 holds every product here.
func heavier(a, b *group) bool {
	return a.load*int64(len(b.cpus)) > b.load*int64(len(a.cpus))
}

// shrinks reports whether moving weight w from a to b leaves a at least as
// loaded per CPU as b.
func shrinks(a, b *group, w int64) bool {
	return (a.load-w)*int64(len(b.cpus)) >= (b.load+w)*int64(len(a.cpus))
}

// exceeds reports whether a is busier than b by a margin in percent.
func exceeds(a, b *group, pct int64) bool {
	return 100*a.load*int64(len(b.cpus)) > pct*b.load*int64(len(a.cpus))
}

// setQuota sets the load that a group may be given in this tick: between nodes
// half of what makes it even with the busiest, but one thread at least.
func (d *domain) setQuota(here int) {
	h := &d.groups[here]
	if h.quota != unset {
		return
	}
	h.quota = math.MaxInt64
	if d.level != topology.Machine {
		return
	}
	for i := range d.groups {
		g := &d.groups[i]
		n, m := int64(len(h.cpus)), int64(len(g.cpus))
		if even := (g.load*n - h.load*m) / (n + m) / 2; i == 0 || even > h.quota {
			h.quota = even
		}
	}
}

// permits reports whether a group may still be given weight w.
func (g *group) permits(w int64) bool { return w <= g.quota || !g.moved }

// neediest returns the least loaded group that may still get something, or -1.
// Every group gets one thread at a time, so that none takes what the next one
// lacks more.
func (d *domain) neediest() int {
	best := -1
	for i := range d.groups {
		if !d.groups[i].done && (best < 0 || heavier(&d.groups[best], &d.groups[i])) {
			best = i
		}
	}
	return best
}

// margin is the imbalance_pct between two groups.
func (d *domain) margin(from, to int) int64 {
	if d.pct == nil {
		return levels[d.level].pct
	}
	return d.pct[from*len(d.groups)+to]
}
