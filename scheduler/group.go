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

// heavier compares load per speed. Loads are at most 88761 * 2^22 threads, and capacities
// 2^13 CPUs * 8: int64 holds every product here, and with percents uint64.
func heavier(a, b *group) bool {
	return a.load*int64(b.capacity) > b.load*int64(a.capacity)
}

// needier reports whether a has less load than b per speed or, if neither has, is faster.
func needier(a, b *group) bool {
	x, y := a.load*int64(b.capacity), b.load*int64(a.capacity)
	return x < y || x == y && slower(b, a)
}

// slower compares the speed per CPU.
func slower(a, b *group) bool {
	return int64(a.capacity)*int64(len(b.cpus)) < int64(b.capacity)*int64(len(a.cpus))
}

// shrinks reports whether moving weight w from a to b leaves a at least as
// loaded per speed as b.
func shrinks(a, b *group, w int64) bool {
	return (a.load-w)*int64(b.capacity) >= (b.load+w)*int64(a.capacity)
}

// contains reports whether moving weight w from a to b makes b no more loaded per speed
// than a was, and a no less than b was: their difference does not grow.
func contains(a, b *group, w int64) bool {
	return (b.load+w)*int64(a.capacity) <= a.load*int64(b.capacity) && (a.load-w)*int64(b.capacity) >= b.load*int64(a.capacity)
}

// narrows is the guard between two groups. An idle CPU may be slower than the one that it
// pulls from: see queue.spares.
func (pl *pull) narrows(a, b *group, w int64) bool {
	return shrinks(a, b, w) || pl.idle && contains(a, b, w)
}

// hopeless reports whether no CPU of a group can have a thread to spare: see spares.
func (pl *pull) hopeless(g *group) bool {
	w := int64(g.lightest)
	return (g.top-w)*pl.speed < (pl.load+w)*int64(g.slowest) && !(pl.idle && g.top > w)
}

// exceeds reports whether a is busier than b by a margin in percent.
func exceeds(a, b *group, pct int64) bool {
	return 100*uint64(a.load)*uint64(b.capacity) > uint64(pct)*uint64(b.load)*uint64(a.capacity)
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
		n, m := int64(h.capacity), int64(g.capacity)
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
func (d *domain) neediest(uniform bool) int {
	best := -1
	for i := range d.groups {
		if g := &d.groups[i]; !g.done && (best < 0 || heavier(&d.groups[best], g) || !uniform && needier(g, &d.groups[best])) {
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
