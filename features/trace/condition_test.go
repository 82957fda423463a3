// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
)

// One case or more for each hard condition, on each side of the kernel that
// brought it, and for each way in which replay and counters can differ.
func TestCondition(t *testing.T) {
	old, mid, now := version{6, 12}, version{6, 16}, version{7, 2}
	ineligible := call{Facts: factHasLag | factDstQueued, LagAvg: -1, LagKey: 0, LagWeight: 1}
	failed := ineligible
	failed.BalanceFailed = 1
	failed.Facts |= factReturned
	empty := ineligible
	empty.Facts = factHasLag | factReturned
	for _, tt := range []struct {
		name string
		v    version
		c    call
		want features.Condition
		ok   bool
	}{
		{"allowed", old, call{Facts: factReturned}, features.Passed, true},
		{"allowed though hot", old, call{Facts: factReturned | factTaskHot}, features.Passed, true},
		{"hot", old, call{Hot: 1}, features.Passed, true},
		{"pinned, but allowed there", old, call{Facts: factReturned | factMigrationDisabled}, features.Passed, true},
		{"source throttled", old, call{Facts: factSrcThrottled}, features.Throttled, true},
		{"source throttled, 7.2 does not ask", now, call{Facts: factSrcThrottled | factReturned}, features.Passed, true},
		{"destination throttled", now, call{Facts: factDstThrottled}, features.Throttled, true},
		{"per-CPU kthread", old, call{Facts: factPerCPUKthread | factNotAllowed}, features.PerCPUKthread, true},
		{"throttled comes first", old, call{Facts: factPerCPUKthread | factSrcThrottled}, features.Throttled, true},
		{"delayed comes first", now, call{Facts: factDelayed | factDstThrottled, MigrationType: 2}, features.DelayedDequeue, true},
		{"delayed, for load", now, call{Facts: factDelayed | factReturned}, features.Passed, true},
		{"delayed, 6.12 does not ask", old, call{Facts: factDelayed | factReturned, MigrationType: 2}, features.Passed, true},
		{"ineligible", now, ineligible, features.Ineligible, true},
		{"ineligible, but failed before", now, failed, features.Passed, true},
		{"ineligible, but an empty destination", now, empty, features.Passed, true},
		{"ineligible, 6.12 does not ask", old, call{Facts: ineligible.Facts | factReturned, LagAvg: -1}, features.Passed, true},
		{"proxy", now, call{Facts: factBlocked | factOnCPU}, features.Proxy, true},
		{"proxy, 6.16 does not ask", mid, call{Facts: factBlocked | factOnCPU}, features.OnSourceCPU, true},
		{"not allowed", old, call{Facts: factNotAllowed | factOnCPU}, features.CPUsAllowed, true},
		{"not allowed while pinned", old, call{Facts: factNotAllowed | factMigrationDisabled}, features.MigrationBlocked, true},
		{"running", old, call{Facts: factOnCPU}, features.OnSourceCPU, true},
		{"running comes before active", old, call{Facts: factOnCPU, Flags: lbfActive}, features.OnSourceCPU, true},
		{"active", old, call{Facts: factReturned, Flags: lbfActive}, features.ActiveBalance, true},
		{"active, refused", old, call{Flags: lbfActive}, features.ActiveBalance, false},
		{"active, refused for the cache", now, call{Flags: lbfActive}, features.ActiveBalance, true},
		{"active, yet hot", now, call{Flags: lbfActive, Hot: 1}, features.ActiveBalance, false},
		{"cache", now, call{FlagsOut: lbfLLCPinned}, features.LLCRule, true},
		{"cache, pulled to it", now, call{MigrationType: 4}, features.LLCRule, true},
		{"cache, 6.12 has no such rule", old, call{FlagsOut: lbfLLCPinned}, features.Unexplained, false},
		{"nothing seen", old, call{}, features.Unexplained, false},
		{"nothing seen", now, call{}, features.Unexplained, false},
		{"allowed, yet running", old, call{Facts: factReturned | factOnCPU}, features.Passed, false},
		{"hot, yet not allowed", old, call{Hot: 1, Facts: factNotAllowed}, features.Passed, false},
	} {
		got, ok := tt.c.condition(tt.v)
		if got != tt.want || ok != tt.ok {
			t.Errorf("%s on %d.%d: %v, %v; want %v, %v", tt.name, tt.v.major, tt.v.minor, got, ok, tt.want, tt.ok)
		}
	}
}

// TestEligible holds the comparison against one that cannot overflow.
func TestEligible(t *testing.T) {
	if !(&call{LagAvg: -1}).eligible() {
		t.Error("a kernel without lag has no ineligible tasks")
	}
	rapid.Check(t, func(t *rapid.T) {
		c := call{
			Facts:  factHasLag,
			LagAvg: rapid.Int64().Draw(t, "avg"), LagKey: rapid.Int64().Draw(t, "key"),
			LagWeight: rapid.Int64Min(0).Draw(t, "weight"),
		}
		product := new(big.Int).Mul(big.NewInt(c.LagKey), big.NewInt(c.LagWeight))
		if rapid.Bool().Draw(t, "near") && product.IsInt64() {
			c.LagAvg = product.Int64() + rapid.Int64Range(-1, 1).Draw(t, "off")
		}
		if got, want := c.eligible(), big.NewInt(c.LagAvg).Cmp(product) >= 0; got != want {
			t.Errorf("%d >= %d * %d: %v, want %v", c.LagAvg, c.LagKey, c.LagWeight, got, want)
		}
	})
}
