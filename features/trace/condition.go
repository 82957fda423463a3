// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"math/bits"

	"mllb/features"
)

// Bits of mllb_call.facts (call.h).
const (
	factReturned = 1 << iota
	factTaskHot
	factSrcThrottled
	factDstThrottled
	factPerCPUKthread
	factDelayed
	factDstQueued
	factBlocked
	factNotAllowed
	factOnCPU
	factMigrationDisabled
	factHasFaults
	factHasGroup
	factFair
	factNextBuddy
	factOtherCookie
	factHasLag
	factEnd
)

// Bits of env.flags (kernel/sched/fair.c, 6.1 to 7.2).
const (
	lbfActive    = 0x10 // LBF_ACTIVE_LB
	lbfLLCPinned = 0x20 // LBF_LLC_PINNED, 7.2
)

// llcRule is the first kernel whose rule may refuse a task for its last-level
// cache after every hard condition has passed (migrate_degrades_llc).
var llcRule = version{7, 2}

// hard are the conditions that can_migrate_task() tests before the rule, in
// its order, each with the first kernel that tests it and the first that no
// longer does. 6.12's come in the same order as 7.2's.
var hard = []struct {
	condition    features.Condition
	since, until version
	failed       func(c *call) bool
}{
	{features.DelayedDequeue, version{6, 14}, version{}, func(c *call) bool { // 61b82dfb6b7e
		return c.has(factDelayed) && features.MigrationType(c.MigrationType) != features.MigrateLoad
	}},
	{features.Throttled, version{}, version{6, 18}, func(c *call) bool { return c.has(factSrcThrottled) }}, // 5b726e9bf954
	{features.Throttled, version{}, version{}, func(c *call) bool { return c.has(factDstThrottled) }},
	{features.Ineligible, version{6, 14}, version{}, func(c *call) bool {
		return c.BalanceFailed == 0 && c.has(factDstQueued) && !c.eligible()
	}},
	{features.PerCPUKthread, version{}, version{}, func(c *call) bool { return c.has(factPerCPUKthread) }},
	{features.Proxy, version{6, 17}, version{}, func(c *call) bool { return c.has(factBlocked) }}, // be41bde4c3a8
	// While migration is disabled cpus_ptr allows one CPU only: the kernel does
	// not ask which of the two it was.
	{features.MigrationBlocked, version{}, version{}, func(c *call) bool { return c.has(factNotAllowed) && c.has(factMigrationDisabled) }},
	{features.CPUsAllowed, version{}, version{}, func(c *call) bool { return c.has(factNotAllowed) }},
	{features.OnSourceCPU, version{}, version{}, func(c *call) bool { return c.has(factOnCPU) }},
	{features.ActiveBalance, version{}, version{}, func(c *call) bool { return c.Flags&lbfActive != 0 }},
}

// call is a call as the program saw it (call.h).
type call fentryMllbCall

func (c *call) has(fact uint32) bool { return c.Facts&fact != 0 }

// eligible is entity_eligible(): whether the task's lag is not negative, or
// true where the kernel has no lag. The product may need 128 bits.
func (c *call) eligible() bool {
	if !c.has(factHasLag) {
		return true
	}
	key := uint64(c.LagKey)
	if c.LagKey < 0 {
		key = -key
	}
	hi, lo := bits.Mul64(key, uint64(c.LagWeight))
	switch {
	case hi != 0 || lo > 1<<63-1: // beyond any average, so its sign decides
		return c.LagKey < 0
	case c.LagKey < 0:
		return c.LagAvg >= -int64(lo)
	}
	return c.LagAvg >= int64(lo)
}

// reached says by the kernel's own counters whether the rule decided: it
// allowed the move, unless that was active balance, or it counted a failed
// migration of a hot task.
func (c *call) reached() bool {
	return c.Flags&lbfActive == 0 && (c.has(factReturned) || c.Hot != 0)
}

// firstFailed replays the hard conditions from the facts.
func (c *call) firstFailed(v version) features.Condition {
	for i := range hard {
		h := &hard[i]
		if v.before(h.since) || h.until != (version{}) && !v.before(h.until) {
			continue
		}
		if h.failed(c) {
			return h.condition
		}
	}
	return features.Passed
}

// condition tells how far the call came. The counters say whether the rule was
// reached, the replay says what stopped the call where it was not; ok is false
// where the two contradict each other, or nothing that was seen explains it.
func (c *call) condition(v version) (_ features.Condition, ok bool) {
	failed := c.firstFailed(v)
	switch {
	case c.reached():
		return features.Passed, failed == features.Passed
	case failed == features.ActiveBalance: // 7.2 may refuse it
		return failed, c.Hot == 0 && (c.has(factReturned) || !v.before(llcRule))
	case failed != features.Passed:
		return failed, !c.has(factReturned)
	case !v.before(llcRule) && (c.FlagsOut&lbfLLCPinned != 0 || features.MigrationType(c.MigrationType) == features.MigrateLLC):
		return features.LLCRule, true
	}
	return features.Unexplained, false
}
