// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/mlp"
)

// drawDecision draws facts as kernels have them, and such as none ever will.
func drawDecision(t *rapid.T) *features.Decision {
	load := rapid.OneOf(rapid.Uint64Range(0, 200_000), rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1, 499, 500, 1 << 51, math.MaxInt64, math.MaxUint64}))
	length := rapid.OneOf(rapid.Uint32Range(0, 40), rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1, 2, 3, 1<<20 + 1, 1<<20 + 2, math.MaxUint32}))
	node := rapid.Int32Range(-1, 3)
	ns := rapid.OneOf(rapid.Int64Range(-10, 1_000_000), rapid.Int64(), rapid.SampledFrom([]int64{499_999, 500_000, 500_001}))
	yes := func(name string) bool { return rapid.Bool().Draw(t, name) }
	faults := rapid.SliceOfN(rapid.OneOf(rapid.Uint64Range(0, 5000), rapid.Uint64(), rapid.SampledFrom([]uint64{0, 1 << 21, 1 << 63})), 0, 4)
	d := &features.Decision{
		SrcNode: node.Draw(t, "src"), DstNode: node.Draw(t, "dst"), PreferredNode: node.Draw(t, "preferred"),
		Idle:         rapid.SampledFrom([]features.IdleType{features.NotIdle, features.Idle, features.NewlyIdle}).Draw(t, "idle"),
		SrcNrRunning: length.Draw(t, "n"), SrcNrPreferredRunning: length.Draw(t, "n"), DstNrRunning: length.Draw(t, "n"),
		SrcLen: length.Draw(t, "n"), DstLen: length.Draw(t, "n"), SrcLoad: load.Draw(t, "load"), DstLoad: load.Draw(t, "load"),
		NrBalanceFailed: length.Draw(t, "failed"), CacheNiceTries: length.Draw(t, "tries"),
		NextBuddy: yes("buddy"), HasFaults: yes("faults"), HasGroup: yes("group"),
		Delta: ns.Draw(t, "delta"), MigrationCost: rapid.SampledFrom([]int64{-1, 0, 1, 500_000, math.MaxInt64}).Draw(t, "cost"),
		TaskFaults: faults.Draw(t, "faults"), GroupFaults: faults.Draw(t, "faults"),
		TaskTotalFaults: load.Draw(t, "total"), GroupTotalFaults: load.Draw(t, "total"),
	}
	if yes("smt") {
		d.Domain = features.ShareCPUCapacity
	}
	return d
}

// TestFacts holds the features that the C derives, and what it answers, against
// Go's, for both feature sets.
func TestFacts(t *testing.T) {
	d := startDriver(t)
	all, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		net, err := mlp.NewFixed(m)
		if err != nil {
			t.Skip("weights overflow")
		}
		bounds := m.Bounds()
		d.load(t, m)
		for range 10 {
			decision := drawDecision(t)
			var v, every features.Vector
			m.Set.Fill(&v, decision)
			all.Fill(&every, decision)
			var got cDecided
			d.ask(t, 'D', factsOf(decision), &got)
			if want := vectorOf(&every); got.Vector != want {
				t.Fatalf("features %+v, want %+v", got.Vector, want)
			}
			logit := net.Logit(&v)
			if got.Logit != logit || (got.Migrate != 0) != net.Migrate(logit) || (got.InRange != 0) != bounds.InRange(&v) {
				t.Fatalf("logit %d, migrate %d, in range %d; want %d, %v, %v", got.Logit, got.Migrate, got.InRange, logit, net.Migrate(logit), bounds.InRange(&v))
			}
		}
	})
}

// TestOrdinaryFacts does the same for decisions as kernels have them and models
// that were trained on such: whatever is in their ranges is summed in pairs,
// without a look at how large it is. Queues are longer than the tables, at times.
func TestOrdinaryFacts(t *testing.T) {
	d := startDriver(t)
	rng := rand.New(rand.NewPCG(10, 11))
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	var outside, short, long int
	for range 20 {
		m := ordinaryModel(set, rng)
		net, err := mlp.NewFixed(m)
		if err != nil {
			t.Fatal(err)
		}
		bounds := m.Bounds()
		d.load(t, m)
		for range 200 {
			decision := ordinaryDecision(rng)
			var v features.Vector
			set.Fill(&v, decision)
			var got cDecided
			d.ask(t, 'D', factsOf(decision), &got)
			if want := net.Logit(&v); got.Vector != vectorOf(&v) || got.Logit != want || (got.InRange != 0) != bounds.InRange(&v) || got.Small == 0 {
				t.Fatalf("%+v: %+v; want %+v, %d, %v", decision, got, vectorOf(&v), want, bounds.InRange(&v))
			}
			switch {
			case got.InRange == 0:
				outside++
			case decision.SrcLen >= 16 || decision.DstLen >= 16:
				long++
			default:
				short++
			}
		}
	}
	if t.Logf("%d outside, %d short, %d long", outside, short, long); min(outside, short, long) < 100 {
		t.Error("not every way was taken often enough")
	}
}

func ordinaryModel(set *features.Set, rng *rand.Rand) *mlp.Model {
	m := mlp.NewModel(set, 1+rng.IntN(10))
	for l := range m.Weights {
		for j, row := range m.Weights[l] {
			for i := range row {
				row[i] = rng.NormFloat64()
			}
			m.Biases[l][j] = rng.NormFloat64()
		}
	}
	for _, f := range set.Features {
		r, ok := map[string]mlp.Range{"src_len": {-2, 17}, "dst_len": {0, 17}, "src_load": {0, 19}, "dst_load": {0, 17}, "delta_faults": {-1, 1}}[f.Name]
		if !ok {
			r = mlp.Range{0, 1}
		}
		m.Ranges = append(m.Ranges, r)
	}
	return m
}

func ordinaryDecision(rng *rand.Rand) *features.Decision {
	return &features.Decision{
		SrcNode: rng.Int32N(2), DstNode: rng.Int32N(2), PreferredNode: rng.Int32N(3) - 1, Idle: features.IdleType(rng.IntN(3)),
		SrcNrRunning: rng.Uint32N(5), SrcNrPreferredRunning: rng.Uint32N(5), DstNrRunning: rng.Uint32N(2),
		SrcLen: rng.Uint32N(20), DstLen: rng.Uint32N(18), SrcLoad: rng.Uint64N(21_000), DstLoad: rng.Uint64N(19_000),
		NrBalanceFailed: rng.Uint32N(4), CacheNiceTries: rng.Uint32N(3), NextBuddy: rng.IntN(2) == 0, HasFaults: rng.IntN(2) == 0,
		Domain: features.DomainFlags(rng.IntN(2)), Delta: rng.Int64N(1_000_000), MigrationCost: 500_000,
		TaskFaults: []uint64{rng.Uint64N(50), rng.Uint64N(50)}, TaskTotalFaults: 100,
	}
}

// TestFloat holds the C in floating point against Go's, for facts as kernels
// have them: to 2^-20 of the sum of all magnitudes, and a 2048th for its rounding.
func TestFloat(t *testing.T) {
	d := startDriver(t)
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		net, err := mlp.NewFloat(m)
		if err != nil {
			t.Skip("weights overflow")
		}
		d.load(t, m)
		decision := drawDecision(t)
		x := make([]float32, len(m.Set.Features))
		m.Set.Floats(x, decision)
		want := float64(net.Logit(x))
		tolerance := 1.0/features.One + magnitude(m, x)*0x1p-20
		var got cDecided
		d.ask(t, 'D', factsOf(decision), &got)
		logit := features.ToFloat(got.FloatLogit)
		saturated := max(min(want, float64(math.MaxInt32)/features.One), -1<<20)
		if math.Abs(logit-saturated) > tolerance {
			t.Fatalf("logit %g, want %g within %g", logit, saturated, tolerance)
		}
		cut := m.Cut()
		if math.Abs(want-cut) > tolerance && (got.FloatMigrate != 0) != (want >= cut) {
			t.Fatalf("migrate %d, logit %g, threshold %g", got.FloatMigrate, want, cut)
		}
	})
}

// magnitude is the sum of all that is added up, without the signs.
func magnitude(m *mlp.Model, x []float32) float64 {
	sum := math.Abs(m.Biases[1][0])
	for j, row := range m.Weights[0] {
		h := math.Abs(m.Biases[0][j])
		for i, w := range row {
			h += math.Abs(w * float64(x[i]))
		}
		sum += h * math.Abs(m.Weights[1][0][j])
	}
	return sum
}

// TestSetsAgree holds the orders that the C relies on against the table: every
// set begins with paper15, and its 0/1 features and quotients are where
// enum mllb_bit and enum mllb_ratio have them.
func TestSetsAgree(t *testing.T) {
	all, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	var bits, ratios []string
	for _, f := range all.Features {
		if f.Kind == features.Binary {
			bits = append(bits, f.Name)
		} else {
			ratios = append(ratios, f.Name)
		}
	}
	wantBits, wantRatios := enumOf(t, "mllb_bit"), enumOf(t, "mllb_ratio")
	wantBits[len(wantBits)-1] = "has_numa_faults" // MLLB_HAS_FAULTS
	if !slices.Equal(bits, wantBits) || !slices.Equal(ratios, wantRatios) {
		t.Errorf("features %v and %v, the C has %v and %v", bits, ratios, wantBits, wantRatios)
	}
}
