// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/mlp"
	"mllb/scheduler"
)

// inGuest: emulated CPUs are slow, so that there is less of everything.
var inGuest = os.Getenv("MLLB_LAB") == "1"

// judge runs the policies in BPF.
type judge struct {
	objs  judgeObjects
	cases judgeMllbCases
}

func openJudge(t testing.TB) *judge {
	t.Helper()
	j := new(judge)
	err := rlimit.RemoveMemlock()
	if err == nil {
		err = loadJudgeObjects(&j.objs, nil)
	}
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) && (errors.Is(err, os.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { _ = j.objs.Close() })
	return j
}

func (j *judge) load(t testing.TB, policy string, m *mlp.Model) *net {
	t.Helper()
	n, err := newNet(policy, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.objs.Net.Put(uint32(0), n); err != nil {
		t.Fatal(err)
	}
	return n
}

// ask judges the first n of the cases.
func (j *judge) ask(t testing.TB, n int) {
	t.Helper()
	j.cases.N = uint32(n)
	err := j.objs.Cases.Put(uint32(0), &j.cases)
	if err != nil {
		t.Fatal(err)
	}
	if ret, err := j.objs.JudgeAll.Run(&ebpf.RunOptions{}); err != nil || ret != 0 {
		t.Fatalf("%d, %v", ret, err)
	}
	if err := j.objs.Cases.Lookup(uint32(0), &j.cases); err != nil {
		t.Fatal(err)
	}
}

// The Go side of the network is what the C side says.
func TestNetLayout(t *testing.T) {
	ours, theirs := reflect.TypeFor[net](), reflect.TypeFor[judgeMllbNet]()
	if ours.Size() != theirs.Size() || binary.Size(net{}) != int(theirs.Size()) || ours.NumField() != theirs.NumField()-1 {
		t.Fatalf("%d bytes and %d fields, want %d and %d", ours.Size(), ours.NumField(), theirs.Size(), theirs.NumField()-1)
	}
	for i := range ours.NumField() {
		a := ours.Field(i)
		if a.Name == "_" {
			continue
		}
		b, ok := theirs.FieldByName(a.Name)
		if !ok || a.Offset != b.Offset || a.Type.Size() != b.Type.Size() {
			t.Errorf("%s: %d bytes at %d; scx.h: %+v", a.Name, a.Type.Size(), a.Offset, b)
		}
	}
}

// TestGolden holds the network in BPF against the golden vectors.
func TestGolden(t *testing.T) {
	j := openJudge(t)
	data, err := os.ReadFile("../mlp/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g mlp.Golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, n := range g.Networks {
		m := modelOf(t, &n)
		j.load(t, "mlp", m)
		for len(n.Cases) > 0 {
			batch := n.Cases[:min(len(n.Cases), len(j.cases.C))]
			n.Cases = n.Cases[len(batch):]
			for i, c := range batch {
				var v features.Vector
				if err := m.Set.Pack(&v, c.Inputs); err != nil {
					t.Fatal(err)
				}
				j.cases.C[i] = judgeMllbCase{Given: 1}
				j.cases.C[i].Vector.Bits = v.Bits
				copy(j.cases.C[i].Vector.Ratio[:], v.Ratios[:])
			}
			j.ask(t, len(batch))
			for i, c := range batch {
				if got := j.cases.C[i].Verdict.Logit; got != c.Output {
					t.Errorf("%s, %s: %v: %d, want %d", n.FeatureSet, n.Note, c.Inputs, got, c.Output)
				}
				asked++
			}
		}
	}
	if asked < 100 {
		t.Errorf("%d golden cases", asked)
	}
	t.Logf("%d cases", asked)
}

// modelOf is the model that quantises to these integers.
func modelOf(t *testing.T, n *mlp.GoldenNetwork) *mlp.Model {
	t.Helper()
	set, err := features.Lookup(n.FeatureSet)
	if err != nil {
		t.Fatal(err)
	}
	m := mlp.NewModel(set, len(n.Weights[0]))
	for l := range n.Weights {
		for j, row := range n.Weights[l] {
			for i, w := range row {
				m.Weights[l][j][i] = features.ToFloat(w)
			}
			m.Biases[l][j] = features.ToFloat(n.Biases[l][j])
		}
	}
	return m
}

// TestSameBits holds every policy in BPF against Go's: random models and hostile
// decisions, all verdicts, logits and features.
func TestSameBits(t *testing.T) {
	models := 4000 // of 256 decisions each: a million
	if testing.Short() {
		models = 400
	}
	if inGuest {
		models /= 10
	}
	j := openJudge(t)
	rng := rand.New(rand.NewPCG(16, 1))
	locality, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	var asked, moved, unknown, cut int
	for range models {
		policy := policies[max(0, rng.IntN(8)-4)]
		m := randomModel(rng)
		p, err := scheduler.NewPolicy(policy, m)
		if err != nil {
			continue // its sums could overflow: refused everywhere
		}
		n := j.load(t, policy, m)
		var decisions [len(j.cases.C)]features.Decision
		for i := range decisions {
			decisions[i] = randomDecision(rng)
			j.cases.C[i] = judgeMllbCase{Facts: factsOf(&decisions[i])}
		}
		j.ask(t, len(decisions))
		bounds := m.Bounds()
		for i := range decisions {
			d, got := &decisions[i], &j.cases.C[i]
			var all, v features.Vector
			locality.Fill(&all, d)
			m.Set.Fill(&v, d)
			if got.Vector.Bits != all.Bits || got.Vector.Ratio != [ratios]int32(all.Ratios[:ratios]) {
				t.Fatalf("features %+v, want %+v of %+v", got.Vector, all, d)
			}
			want := p.Decide(d)
			if policy == "mlp" && (got.InRange != 0) != bounds.InRange(&v) {
				t.Fatalf("in range: %d, want %t: %+v of %+v", got.InRange, bounds.InRange(&v), v, m.Ranges)
			}
			if got.Verdict.Logit != want.Logit || (got.Verdict.Migrate != 0) != want.Migrate || (got.Verdict.Unknown != 0) != want.OutOfDistribution {
				t.Fatalf("%s: %+v, want %+v of %+v", policy, got.Verdict, want, d)
			}
			asked++
			if want.Migrate {
				moved++
			}
			if want.OutOfDistribution {
				unknown++
			}
			if policy == "mlp" && (want.Logit == math.MaxInt32 || want.Logit == math.MinInt32) {
				cut++
			}
		}
		if n.Checksum == 0 {
			t.Error("no checksum")
		}
	}
	t.Logf("%d decisions, %d moves, %d unlike what the model learned from, %d saturated", asked, moved, unknown, cut)
	if asked < models*len(j.cases.C)/2 || min(moved, unknown, cut) < asked/100 {
		t.Error("not every way was taken often enough")
	}
}

// randomModel draws weights from tiny ones to such as saturate everything.
func randomModel(rng *rand.Rand) *mlp.Model {
	set := &features.Sets()[rng.IntN(2)]
	m := mlp.NewModel(set, 1+rng.IntN(MaxHidden))
	scale := math.Exp2(rng.Float64()*26 - 11)
	for l := range m.Weights {
		for j, row := range m.Weights[l] {
			for i := range row {
				row[i] = rng.NormFloat64() * scale
			}
			m.Biases[l][j] = rng.NormFloat64() * scale
		}
	}
	m.Threshold = 0.001 + 0.998*rng.Float64()
	if rng.IntN(2) == 0 {
		for _, f := range set.Features {
			r := mlp.Range{0, 1}
			if f.Kind == features.Ratio {
				r = []mlp.Range{{-2, 40}, {-3, 9.5}, {0, 1e6}}[rng.IntN(3)]
			} else if rng.IntN(40) == 0 {
				r[rng.IntN(2)] = float64(rng.IntN(2))
				r[0], r[1] = min(r[0], r[1]), max(r[0], r[1])
			}
			m.Ranges = append(m.Ranges, r)
		}
	}
	return m
}

// randomDecision draws facts as kernels have them, and such as none ever will.
func randomDecision(rng *rand.Rand) features.Decision {
	hostile := rng.IntN(3) == 0
	pick := func(usual uint64, edges ...uint64) uint64 {
		switch {
		case !hostile || rng.IntN(3) > 0:
			return rng.Uint64N(usual)
		case rng.IntN(2) == 0:
			return rng.Uint64()
		}
		return edges[rng.IntN(len(edges))]
	}
	length := func() uint32 { return uint32(pick(40, 0, 1, 2, 3, 1<<20, 1<<20+1, 1<<20+2, math.MaxUint32)) }
	load := func() uint64 {
		return pick(200_000, 0, 1, 499, 500, 1<<40-1, 1<<40, 1<<51-1, 1<<51, math.MaxInt64, math.MaxUint64)
	}
	node := func() int32 { return int32(rng.IntN(5)) - 1 }
	yes := func() bool { return rng.IntN(2) == 0 }
	faults := func() (f []uint64) {
		for range rng.IntN(5) {
			f = append(f, pick(5000, 0, 1<<21, 1<<51, math.MaxInt64, 1<<63))
		}
		return f
	}
	d := features.Decision{
		SrcNode: node(), DstNode: node(), PreferredNode: node(),
		Idle:         features.IdleType(rng.IntN(3)),
		SrcNrRunning: length(), SrcNrPreferredRunning: length(), DstNrRunning: length(),
		SrcLen: length(), DstLen: length(), SrcLoad: load(), DstLoad: load(),
		NrBalanceFailed: uint32(rng.IntN(4)), CacheNiceTries: uint32(1 + rng.IntN(3)),
		Fair: rng.IntN(8) > 0, IdlePolicy: rng.IntN(8) == 0, NextBuddy: yes(), CookieMismatch: rng.IntN(8) == 0,
		NUMABalancing: rng.IntN(4) > 0, HasFaults: yes(), HasGroup: yes(),
		Delta:         int64(pick(1_000_000, 0, 499_999, 500_000, 500_001, math.MaxUint64)),
		MigrationCost: []int64{500_000, 500_000, -1, 0, 1, math.MaxInt64, -2}[rng.IntN(7)],
		TaskFaults:    faults(), GroupFaults: faults(),
		TaskTotalFaults: load(), GroupTotalFaults: load(),
	}
	switch rng.IntN(3) {
	case 0:
		d.Domain = features.ShareCPUCapacity
	case 1:
		d.Domain = features.SDNUMA
	}
	return d
}

// factsOf is what BPF would have of a decision.
func factsOf(d *features.Decision) judgeMllbFacts {
	faults, total := d.TaskFaults, d.TaskTotalFaults
	if d.HasGroup {
		faults, total = d.GroupFaults, d.GroupTotalFaults
	}
	at := func(node int32) uint64 {
		if node < 0 || int(node) >= len(faults) {
			return 0
		}
		return faults[node]
	}
	one := func(b bool) uint8 {
		if b {
			return 1
		}
		return 0
	}
	return judgeMllbFacts{
		SrcLoad: d.SrcLoad, DstLoad: d.DstLoad, Delta: d.Delta, MigrationCost: d.MigrationCost,
		SrcFaults: at(d.SrcNode), DstFaults: at(d.DstNode), TotalFaults: total,
		SrcNrRunning: d.SrcNrRunning, DstNrRunning: d.DstNrRunning, SrcNrPreferred: d.SrcNrPreferredRunning,
		SrcLen: d.SrcLen, DstLen: d.DstLen, NrBalanceFailed: d.NrBalanceFailed, CacheNiceTries: d.CacheNiceTries,
		SrcNid: d.SrcNode, DstNid: d.DstNode, PreferredNid: d.PreferredNode,
		Idle: uint8(d.Idle), SameSmt: one(d.Domain&features.ShareCPUCapacity != 0),
		Numa:      one(d.Domain&features.SDNUMA != 0 && d.NUMABalancing),
		HasFaults: one(d.HasFaults), NextBuddy: one(d.NextBuddy), Fair: one(d.Fair),
		IdlePolicy: one(d.IdlePolicy), CookieMismatch: one(d.CookieMismatch),
	}
}

// TestNetRefused: what does not fit BPF is refused by name.
func TestNetRefused(t *testing.T) {
	set := &features.Sets()[1]
	large := mlp.NewModel(set, MaxHidden+1)
	heavy := mlp.NewModel(set, 1)
	heavy.Weights[0][0][0] = math.Inf(1)
	for _, tt := range []struct {
		policy string
		model  *mlp.Model
		want   string
	}{
		{"best", nil, `scx: no policy "best"`},
		{"mlp", nil, "scx: policy mlp: no model"},
		{"mlp", large, "scx: layers: 17 hidden neurons, but at most 16 run in BPF"},
		{"mlp", heavy, "scx: weights[0][0][0]"},
	} {
		if _, err := newNet(tt.policy, tt.model); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.policy, err, tt.want)
		}
	}
}

// BenchmarkJudge asks the built-in network, whatever the decision is like. By the
// kernel's own clock of programs; in a guest whose clock counts instructions
// (mllb lab run --icount) those are what it costs, in machine instructions.
func BenchmarkJudge(b *testing.B) {
	j := openJudge(b)
	m, err := mlp.Default()
	if err != nil {
		b.Fatal(err)
	}
	m.Ranges = nil
	j.load(b, "mlp", m)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range j.cases.C {
		d := randomDecision(rng)
		j.cases.C[i] = judgeMllbCase{Facts: factsOf(&d)}
	}
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		b.Fatal(err)
	}
	defer stats.Close()
	var spent []time.Duration
	var before time.Duration
	for b.Loop() {
		j.ask(b, len(j.cases.C))
		s, err := j.objs.JudgeAll.Stats()
		if err != nil {
			b.Fatal(err)
		}
		spent, before = append(spent, s.Runtime-before), s.Runtime
	}
	slices.Sort(spent) // the median is free of interrupts
	b.ReportMetric(float64(spent[len(spent)/2])/float64(len(j.cases.C)), "ns/decision")
	b.ReportMetric(0, "ns/op")
}
