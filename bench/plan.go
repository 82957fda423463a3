// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
)

// Config is what is to be run. All of it but Runs decides which results may be
// put together: more runs may be asked for later.
type Config struct {
	Arms      []Arm             `json:"arms"` // stock first
	Workloads []Workload        `json:"workloads"`
	Runs      int               `json:"runs"`   // of each workload under each arm
	Warmup    int               `json:"warmup"` // rounds before them, thrown away
	Seed      uint64            `json:"seed"`   // of the order
	Interval  float64           `json:"interval_seconds"`
	Prepare   string            `json:"prepare,omitempty"`        // a command for sh before each run
	Steady    int               `json:"steady_percent,omitempty"` // how much slower than before a CPU may be around a run that counts; 0: any
	Programs  map[string]string `json:"programs"`                 // digests of mllb, mllbd and model files, by name
}

// Workload is one, as it is run.
type Workload struct {
	Name    string   `json:"name"`
	Argv    []string `json:"argv"`
	Threads int      `json:"threads,omitempty"`
	Unit    string   `json:"unit,omitempty"` // of its own figure; "": its wall time is what counts
}

// title is the name, with what is measured if that is no time in seconds.
func (w *Workload) title() string {
	if w.Unit == "" {
		return w.Name
	}
	return w.Name + ", " + w.Unit
}

// Slot is one run that is due.
type Slot struct {
	Round    int    `json:"round"` // from 1; 0 and below are warm-up
	Workload string `json:"workload"`
	Arm      string `json:"arm"`
}

// Warmup says that the run is thrown away.
func (s Slot) Warmup() bool { return s.Round <= 0 }

func (s Slot) String() string {
	if s.Warmup() {
		return fmt.Sprintf("warm-up, %s, %s", s.Workload, s.Arm)
	}
	return fmt.Sprintf("round %d, %s, %s", s.Round, s.Workload, s.Arm)
}

// pair is the slot without its round.
func (s Slot) pair() Slot { return Slot{Workload: s.Workload, Arm: s.Arm} }

// Digest names the configuration but for Runs.
func (c Config) Digest() string {
	c.Runs = 0
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return fmt.Sprintf("%x", sha256.Sum256(b))[:16]
}

// Slots returns every run in its order: in each round each workload once under
// each arm, the arms of a workload one after the other, so that what drifts
// drifts for all; both orders are drawn anew for each round, by the seed. A
// round's order does not depend on how many rounds there are.
func (c *Config) Slots() []Slot {
	var all []Slot
	for round := 1 - c.Warmup; round <= c.Runs; round++ {
		rng := rand.New(rand.NewPCG(c.Seed, uint64(round)))
		for _, w := range rng.Perm(len(c.Workloads)) {
			for _, a := range rng.Perm(len(c.Arms)) {
				all = append(all, Slot{round, c.Workloads[w].Name, c.Arms[a].Name})
			}
		}
	}
	return all
}

// Arm finds one by name; nil: there is none.
func (c *Config) Arm(name string) *Arm {
	for i := range c.Arms {
		if c.Arms[i].Name == name {
			return &c.Arms[i]
		}
	}
	return nil
}
