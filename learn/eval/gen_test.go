// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

// samples are recordings that package dataset keeps.
var samples = []string{"../dataset/testdata/a.parquet", "../dataset/testdata/b.parquet", "../dataset/testdata/newer.parquet"}

// likely makes a decision as a loaded host of two nodes has them.
func likely(rng *rand.Rand) features.Decision {
	d := features.Decision{
		SrcNode: 0, DstNode: int32(rng.IntN(2)), Fair: true, PreferredNode: int32(rng.IntN(3)) - 1, Idle: features.IdleType(rng.IntN(3)),
		NUMABalancing: true, HasFaults: rng.IntN(3) > 0, CacheNiceTries: 1, NrBalanceFailed: uint32(rng.IntN(3)),
		SrcNrRunning: uint32(2 + rng.IntN(4)), SrcLoad: uint64(rng.IntN(9000)), DstLoad: uint64(rng.IntN(3000)),
		Delta: rng.Int64N(1_500_000), MigrationCost: 500_000,
	}
	d.SrcLen, d.SrcNrPreferredRunning = d.SrcNrRunning, uint32(rng.IntN(int(d.SrcNrRunning)+1))
	if d.SrcNode != d.DstNode {
		d.Domain = features.SDNUMA
	} else if rng.IntN(3) == 0 {
		d.Domain, d.SameCore = features.ShareCPUCapacity, true
	}
	if d.Idle == features.NotIdle {
		d.DstNrRunning = 1 + uint32(rng.IntN(2))
		d.DstLen = d.DstNrRunning
	}
	if d.HasFaults {
		d.TaskFaults = []uint64{uint64(rng.IntN(3000)), uint64(rng.IntN(3000))}
		d.TaskTotalFaults = d.TaskFaults[0] + d.TaskFaults[1]
	}
	return d
}

// recorded is a decision that the rule of 6.12 decided.
func recorded(d features.Decision) features.Record {
	r := features.Record{Decision: d, Migrate: scheduler.CFS{}.Decide(&d).Migrate}
	copy(r.DomainName[:], "MC")
	if d.Domain == features.SDNUMA {
		r.DomainLevel = 1
		copy(r.DomainName[:], "NUMA")
	}
	return r
}

func records(n int, seed uint64) []features.Record {
	rng := rand.New(rand.NewPCG(seed, 0))
	recs := make([]features.Record, n)
	for i := range recs {
		recs[i] = recorded(likely(rng))
	}
	return recs
}

// write makes a dataset of one run.
func write(t testing.TB, run dataset.Run, recs []features.Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), run.ID+".parquet")
	w, err := dataset.Create(path, dataset.Meta{Runs: []dataset.Run{run}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(recs); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// builtIn is the built-in network, stripped of what it says of its training.
func builtIn(t testing.TB) *mlp.Model {
	t.Helper()
	m, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	m.Ranges, m.Provenance = nil, mlp.Provenance{}
	return m
}

func run(t testing.TB, cfg Config, paths ...string) *Report {
	t.Helper()
	if cfg.Model == nil {
		cfg.Model = builtIn(t)
	}
	r, err := Run(context.Background(), cfg, paths...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// genModel makes models whose weights fit every width that is tried.
var genModel = rapid.Custom(func(t *rapid.T) *mlp.Model {
	sets := features.Sets()
	m := mlp.NewModel(&sets[rapid.IntRange(0, len(sets)-1).Draw(t, "set")], rapid.IntRange(1, 16).Draw(t, "hidden"))
	weight := rapid.Float64Range(-100, 100)
	for l := range m.Weights {
		for j := range m.Weights[l] {
			for i := range m.Weights[l][j] {
				m.Weights[l][j][i] = weight.Draw(t, "w")
			}
			m.Biases[l][j] = weight.Draw(t, "b")
		}
	}
	m.Threshold = rapid.Float64Range(0.01, 0.99).Draw(t, "threshold")
	return m
})

// genDecision makes decisions that reach the limits of every feature.
var genDecision = rapid.Custom(func(t *rapid.T) features.Decision {
	d := likely(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
	d.SrcLen, d.DstLen = rapid.Uint32().Draw(t, "src len"), rapid.Uint32Range(0, 5000).Draw(t, "dst len")
	d.SrcLoad, d.DstLoad = rapid.Uint64().Draw(t, "src load"), rapid.Uint64().Draw(t, "dst load")
	d.HasFaults, d.TaskFaults, d.TaskTotalFaults = true, rapid.SliceOfN(rapid.Uint64(), 2, 2).Draw(t, "faults"), rapid.Uint64().Draw(t, "total")
	return d
})

// sameFigures makes cmp take two undefined figures for the same.
var sameFigures = cmp.Comparer(func(a, b number.Num) bool { return a == b || !a.Known() && !b.Known() })
