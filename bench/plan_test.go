// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// newConfig has so many arms and workloads.
func newConfig(arms, workloads, runs, warmup int, seed uint64) Config {
	c := Config{Runs: runs, Warmup: warmup, Seed: seed}
	for i := range arms {
		a := Arm{Name: fmt.Sprintf("arm%d", i), Kind: Daemon, Mode: "own", Policy: "mlp"}
		if i == 0 {
			a = Arm{Name: StockName, Kind: Stock}
		}
		c.Arms = append(c.Arms, a)
	}
	for i := range workloads {
		c.Workloads = append(c.Workloads, Workload{Name: fmt.Sprintf("work%d", i), Argv: []string{"true"}})
	}
	return c
}

var genConfig = rapid.Custom(func(t *rapid.T) Config {
	n := func(name string, low, high int) int { return rapid.IntRange(low, high).Draw(t, name) }
	return newConfig(n("arms", 2, 6), n("workloads", 1, 5), n("runs", 1, 12), n("warmup", 0, 2), rapid.Uint64().Draw(t, "seed"))
})

// Each round has each workload once under each arm, and its arms in one stretch.
func TestSlotsAreBalanced(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := genConfig.Draw(t, "config")
		slots := c.Slots()
		each := len(c.Arms) * len(c.Workloads)
		if len(slots) != each*(c.Runs+c.Warmup) {
			t.Fatalf("%d slots", len(slots))
		}
		for round := 1 - c.Warmup; round <= c.Runs; round++ {
			part := slots[:each]
			slots = slots[each:]
			seen := make(map[Slot]bool)
			for i, s := range part {
				if s.Round != round || seen[s] || s.Warmup() != (round <= 0) {
					t.Fatalf("round %d: %v", round, part)
				}
				if seen[s] = true; i%len(c.Arms) > 0 && s.Workload != part[i-1].Workload {
					t.Fatalf("round %d: the arms of %s are not together: %v", round, s.Workload, part)
				}
			}
		}
	})
}

// The order is the seed's, does not change with the number of rounds, and is no
// one order for all rounds.
func TestSlotsOrder(t *testing.T) {
	c := newConfig(4, 3, 40, 1, 7)
	slots := c.Slots()
	if !slices.Equal(slots, c.Slots()) {
		t.Error("two calls differ")
	}
	more := c
	more.Runs = 60
	if !slices.Equal(slots, more.Slots()[:len(slots)]) {
		t.Error("more runs change the order of the first")
	}
	other := c
	other.Seed = 8
	if slices.Equal(slots, other.Slots()) {
		t.Error("another seed has the same order")
	}
	// Each of the four arms is first in a quarter of 120 stretches: 30, and below 12
	// or above 48 with a probability of 1e-4.
	first := make(map[string]int)
	for i := 0; i < len(slots); i += len(c.Arms) {
		if !slots[i].Warmup() {
			first[slots[i].Arm]++
		}
	}
	for arm, n := range first {
		if n < 12 || n > 48 {
			t.Errorf("%s is first %d times of 120", arm, n)
		}
	}
	if len(first) != 4 {
		t.Errorf("first: %v", first)
	}
}

func TestDigest(t *testing.T) {
	c := newConfig(2, 1, 20, 1, 1)
	more := c
	more.Runs = 40
	if c.Digest() != more.Digest() {
		t.Error("more runs of the same are another configuration")
	}
	for name, change := range map[string]func(*Config){
		"seed":     func(c *Config) { c.Seed++ },
		"warm-up":  func(c *Config) { c.Warmup++ },
		"interval": func(c *Config) { c.Interval++ },
		"arm":      func(c *Config) { c.Arms[1].Flags = []string{"--interval=1s"} },
		"workload": func(c *Config) { c.Workloads[0].Argv = []string{"false"} },
		"program":  func(c *Config) { c.Programs = map[string]string{"mllbd": "sha256:0"} },
	} {
		other := newConfig(2, 1, 20, 1, 1)
		change(&other)
		if other.Digest() == c.Digest() {
			t.Errorf("another %s is the same configuration", name)
		}
	}
}
