// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/scheduler"
	"mllb/scheduler/sim"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestPlansOfEqualCPUs holds plans against those that were recorded before CPUs had
// speeds: where all are as fast, or nothing is known, they are the same to the bit.
func TestPlansOfEqualCPUs(t *testing.T) {
	const path, runs = "testdata/plans.txt", 160
	for _, speed := range []uint32{0, features.FullSpeed, 700, 1} {
		var got bytes.Buffer
		for seed := range uint64(runs) {
			fmt.Fprintln(&got, goldenRun(t, seed, speed))
		}
		if *update {
			must(os.WriteFile(path, got.Bytes(), 0o644))
		}
		want, err := os.ReadFile(path)
		must(err)
		if diff := cmp.Diff(string(want), got.String()); diff != "" {
			t.Errorf("plans at speed %d (-want +got):\n%s", speed, diff)
		}
	}
}

// goldenRun plans for a host over some ticks, and sums the plans up in a line.
func goldenRun(t *testing.T, seed uint64, speed uint32) string {
	rng := rand.New(rand.NewPCG(seed, 7))
	desc := pick(rng, "1x2x1", "1x4x1", "1x4x2", "2x4x2", "2x2x4x1", "4x6x2", "8x2x4x2", "1x1x2", "2x1x2x2")
	topo := machine(t, desc)
	opt := sim.Options{
		Topology: topo, Seed: seed, Kernel: rng.IntN(2) == 0, NUMABalancing: rng.IntN(2) == 0, FailOneIn: rng.IntN(4),
		MigrationCost: pick(rng, -1, 0, 500*time.Microsecond, time.Second), Slice: 10 * time.Millisecond,
	}
	cfg := scheduler.Config{
		Mode: pick(rng, scheduler.Assist, scheduler.Own), Hold: pick(rng, scheduler.HoldBusy, scheduler.HoldAll),
		Budget: rng.IntN(6), CoolDown: time.Duration(1+rng.IntN(1000)) * time.Millisecond,
	}
	policy := pick[scheduler.Policy](rng, scheduler.CFS{}, scheduler.Always{}, coin{}, scheduler.Never{})
	r := newRig(opt, cfg, policy)
	if cfg.Mode == scheduler.Assist {
		r.lease = time.Duration(1+rng.IntN(1000)) * time.Millisecond
	}
	r.measure = func(s *features.Snapshot) {
		for i := range s.Runqueues {
			s.Runqueues[i].Speed = speed
		}
	}
	crowd(rng, 1+rng.IntN(8), r.host, len(topo.CPUs))
	sum, moves, holds := sha256.New(), 0, 0
	for range 25 {
		digest(sum, r.look())
		moves, holds = moves+r.moves(), holds+len(r.plan.Holds)
		r.act(time.Duration(10+rng.IntN(150)) * time.Millisecond)
	}
	return fmt.Sprintf("%d %s %s: %d moves, %d holds, %.8x", seed, desc, policy.Name(), moves, holds, sum.Sum(nil))
}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func digest(h hash.Hash, p *scheduler.Plan) {
	for i := range p.Candidates {
		c, d := &p.Candidates[i], &p.Candidates[i].Decision
		fmt.Fprintln(h, c.Thread, c.From, c.To, c.Level, c.Reason, c.Hold, c.Asked, c.Active, c.Verdict.Migrate)
		if c.Asked {
			fmt.Fprintln(h, d.SrcNrRunning, d.DstNrRunning, d.SrcLen, d.DstLen, d.SrcLoad, d.DstLoad, d.Idle, d.Domain, d.NrBalanceFailed)
		}
	}
	fmt.Fprintln(h, p.Holds, p.Releases)
}
