// SPDX-License-Identifier: Apache-2.0

package scheduler

import "time"

const (
	// maxSavings is for how long a daemon that takes less than its share saves
	// the rest, to spend it when there is more to do. It begins with as much: what
	// starts is misplaced most, and a tick tells most then.
	maxSavings = 30 * time.Second
	// maxThrottled is how long full ticks may be left out, whatever they cost.
	maxThrottled = 10 * time.Second
)

// cpuBudget keeps the CPU time of a daemon within a share of one CPU. A full tick
// walks over all threads of the host: with some thousands of them, or where
// everything is slow, ticks have to come less often.
type cpuBudget struct {
	at     time.Time     // of the last account; zero before the first tick
	used   time.Duration // CPU time then
	credit time.Duration // earned and not used; negative: to be earned yet
	cost   time.Duration // of the last full tick
}

// affords reports whether the daemon has earned another full tick, if it costs
// what the last one did. Each call needs one of paid if a tick was made.
func (d *Daemon) affords(now time.Time) bool {
	if d.MaxCPU <= 0 {
		return true
	}
	t, used := &d.cpuBudget, d.CPUTime()
	if t.at.IsZero() {
		t.credit = d.earned(maxSavings)
	} else {
		t.credit += d.earned(now.Sub(t.at)) - (used - t.used)
		t.credit = min(t.credit, max(d.earned(maxSavings), t.cost))
	}
	t.at, t.used = now, used
	return t.credit >= t.cost || now.Sub(d.full) >= maxThrottled
}

// paid notes what the full tick cost that began when affords was asked.
func (d *Daemon) paid() {
	if d.MaxCPU > 0 {
		d.cpuBudget.cost = d.CPUTime() - d.cpuBudget.used
	}
}

// leaveOut returns how many ticks after the one at now cannot be afforded whatever
// they find. To wake for each costs a share itself: where that is larger than
// MaxCPU, another full tick would never be earned.
func (d *Daemon) leaveOut(now time.Time) uint64 {
	t := &d.cpuBudget
	if d.MaxCPU <= 0 {
		return 0
	}
	credit := t.credit - (d.CPUTime() - t.used)
	wait := time.Duration(float64(t.cost-credit) / d.MaxCPU)
	wait = min(wait, maxThrottled-now.Sub(d.full), d.MaxNap)
	if wait <= d.Interval {
		return 0
	}
	return uint64((wait+d.Interval-1)/d.Interval) - 1
}

func (d *Daemon) earned(in time.Duration) time.Duration {
	return time.Duration(d.MaxCPU * float64(in))
}
