// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// genRecord makes any record that a file can hold, however unlikely.
var genRecord = rapid.Custom(func(t *rapid.T) features.Record {
	var r features.Record
	row := Row{Record: r, Run: &Run{}}
	for i := range columns {
		c := &columns[i]
		low, high := c.low, c.high
		if low == 0 && high == 0 {
			low, high = math.MinInt64, math.MaxInt64
		}
		switch p := c.field(&row).(type) {
		case *bool:
			*p = rapid.Bool().Draw(t, c.name)
		case *features.DomainFlags:
			if rapid.Bool().Draw(t, c.name) {
				*p |= c.flag
			}
		case *int8:
			*p = int8(rapid.Int64Range(low, high).Draw(t, c.name))
		case *uint8:
			*p = rapid.Uint8().Draw(t, c.name)
		case *int32:
			*p = int32(rapid.Int64Range(max(low, math.MinInt32), min(high, math.MaxInt32)).Draw(t, c.name))
		case *uint32:
			*p = rapid.Uint32().Draw(t, c.name)
		case *int64:
			*p = rapid.Int64Range(low, high).Draw(t, c.name)
		case *uint64:
			*p = rapid.Uint64().Draw(t, c.name)
		case *[]uint64:
			*p = rapid.SliceOfN(rapid.Uint64(), 0, 9).Draw(t, c.name)
		case *[16]byte:
			copy(p[:], rapid.SliceOfN(rapid.ByteRange(1, 255), 0, 16).Draw(t, c.name))
		case *features.IdleType:
			*p = features.IdleType(rapid.IntRange(0, 2).Draw(t, c.name))
		case *features.Condition:
			*p = features.Condition(rapid.IntRange(0, int(features.NumConditions)-1).Draw(t, c.name))
		case *features.MigrationType:
			*p = features.MigrationType(rapid.IntRange(0, int(features.NumMigrationTypes)-1).Draw(t, c.name))
		case *string: // of the run
		default:
			panic(fmt.Sprintf("%s: %T", c.name, p))
		}
	}
	return row.Record
})

var twoNodes = &topology.NUMA{Type: topology.NUMADirect, MaxDistance: 21, Distance: [][]int{{10, 21}, {21, 10}}}

// testRun is a run of that name on the paper's machine.
func testRun(id string) Run {
	return Run{
		ID: id, Load: "100", Tag: "paper", Host: "guest", Kernel: "6.12.48+deb13-amd64", Topology: "2x14x2", NUMA: twoNodes,
		Command: []string{"mllbd", "collect", "--out", "x.parquet"}, Seed: 7, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		MigrationCostSource: "debugfs", Counters: Counters{Calls: 12, Records: 7, Filtered: 4, Drops: 1},
	}
}

// plausible makes n records like those of a loaded 2x14x2 host, labelled by the
// kernel's rule; hard conditions fail in one of ten.
func plausible(n int, seed uint64) []features.Record {
	rng := rand.New(rand.NewPCG(seed, 1))
	recs := make([]features.Record, n)
	now := int64(60e9)
	for i := range recs {
		now += rng.Int64N(20e6)
		recs[i] = plausibleRecord(rng, now)
	}
	return recs
}

func plausibleRecord(rng *rand.Rand, now int64) features.Record {
	var r features.Record
	r.Time = now
	task := rng.IntN(120) // a task has its own number, load and faults
	r.TID, r.TGID = int32(1000+task), int32(1000+task)
	copy(r.Comm[:], fmt.Sprintf("stress-ng-%d", task%4))
	r.Fair, r.Eligible = true, true
	r.TaskLoad, r.TaskUtil = uint64(900+rng.IntN(124)), uint64(100+rng.IntN(500))
	level := rng.IntN(3)
	r.SrcCPU = int32(rng.IntN(56))
	r.DstCPU = []int32{r.SrcCPU ^ 1, r.SrcCPU/28*28 + int32(rng.IntN(28)), int32(rng.IntN(56))}[level]
	r.SrcNode, r.DstNode = r.SrcCPU/28, r.DstCPU/28
	r.SameCore, r.SameLLC = r.SrcCPU/2 == r.DstCPU/2, r.SrcNode == r.DstNode
	r.Domain = []features.DomainFlags{features.ShareCPUCapacity | features.ShareLLC, features.ShareLLC, features.SDNUMA}[level]
	copy(r.DomainName[:], []string{"SMT", "MC", "NUMA"}[level])
	r.DomainLevel, r.DomainRaw = uint8(level), []uint32{0x1a7, 0x2a7, 0x4a07}[level]
	r.DomainWeight, r.ImbalancePct = []uint32{2, 28, 56}[level], []uint32{110, 117, 117}[level]
	r.Idle = features.IdleType(rng.IntN(3))
	r.SrcNrRunning = uint32(2 + rng.IntN(4))
	r.SrcLen, r.SrcNrPreferredRunning = r.SrcNrRunning, uint32(rng.IntN(int(r.SrcNrRunning)+1))
	r.SrcLoad = uint64(r.SrcNrRunning)*1000 + uint64(rng.IntN(200))
	if r.Idle == features.NotIdle {
		r.DstNrRunning = uint32(1 + rng.IntN(2))
	}
	r.DstLen, r.DstLoad = r.DstNrRunning, uint64(r.DstNrRunning)*1000+uint64(rng.IntN(100))
	r.NrBalanceFailed, r.CacheNiceTries = uint32(rng.IntN(4)), uint32(level)
	r.MigrationType, r.Imbalance = features.MigrationType(rng.IntN(3)), int64(1+rng.IntN(2000))
	r.Loop, r.LoopMax = uint32(rng.IntN(8)), uint32(r.SrcNrRunning)
	r.Delta, r.MigrationCost = rng.Int64N(40e6), 500_000
	if rng.IntN(4) == 0 {
		r.Delta = rng.Int64N(1e6)
	}
	r.NUMABalancing, r.PreferredNode = true, features.NoNode
	r.NUMA = twoNodes
	if task%3 > 0 {
		r.HasFaults, r.PreferredNode = true, int32(task&1)
		r.TaskFaults = []uint64{uint64(rng.IntN(4000)), uint64(rng.IntN(4000))}
		r.TaskTotalFaults = r.TaskFaults[0] + r.TaskFaults[1]
	}
	if rng.IntN(10) == 0 {
		r.Condition = features.Condition(1 + rng.IntN(int(features.NumConditions)-1))
		r.Migrate = r.Condition == features.ActiveBalance
		return r
	}
	r.Migrate = scheduler.CFS{}.Decide(&r.Decision).Migrate
	return r
}

// writeFile records recs as a run into a new file.
func writeFile(t testing.TB, run Run, recs []features.Record) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), run.ID+".parquet")
	w, err := Create(path, Meta{CreatedBy: "test", Runs: []Run{run}})
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

// readFile returns a file's rows, which share nothing.
func readFile(t testing.TB, path string) (Meta, []Row) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var rows []Row
	for row, err := range r.Rows() {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, clone(row))
	}
	return r.Meta(), rows
}

func clone(row *Row) Row {
	c := *row
	c.TaskFaults = append([]uint64(nil), row.TaskFaults...)
	c.GroupFaults = append([]uint64(nil), row.GroupFaults...)
	return c
}

func records(rows []Row) []features.Record {
	recs := make([]features.Record, len(rows))
	for i := range rows {
		recs[i] = rows[i].Record
	}
	return recs
}
