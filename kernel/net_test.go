// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
	"mllb/mlp"
)

// golden reads the vectors that every implementation has to give.
func golden(t *testing.T) []mlp.GoldenNetwork {
	t.Helper()
	data, err := os.ReadFile("../mlp/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var g mlp.Golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if g.Schema != mlp.GoldenSchema || len(g.Networks) == 0 {
		t.Fatalf("schema %d, %d networks", g.Schema, len(g.Networks))
	}
	return g.Networks
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

// TestGolden holds the kernel's C against the golden vectors, layer by layer.
func TestGolden(t *testing.T) {
	d := startDriver(t)
	cases := 0
	for _, n := range golden(t) {
		m := modelOf(t, &n)
		d.load(t, m)
		for i, c := range n.Cases {
			var v features.Vector
			if err := m.Set.Pack(&v, c.Inputs); err != nil {
				t.Fatal(err)
			}
			var got cInferred
			d.ask(t, 'V', vectorOf(&v), &got)
			if got.Logit != c.Output || got.Wide != c.Output || !slices.Equal(got.Hidden[:len(c.Hidden)], c.Hidden) {
				t.Errorf("%s, %s, case %d: %d, the wide way %d, of %v; want %d of %v", n.FeatureSet, n.Note, i, got.Logit, got.Wide, got.Hidden, c.Output, c.Hidden)
			}
			cases++
		}
	}
	t.Logf("%d cases", cases)
}

// edges are where arithmetic goes wrong.
var edges = []int32{0, 1, -1, 1024, -1024, 2048, -2048, 1 << 14, -1 << 14, 1 << 20, -1 << 20, math.MaxInt32, math.MinInt32}

// drawModel draws weights from tiny ones to such as saturate everything.
func drawModel(t *rapid.T) *mlp.Model {
	set := &features.Sets()[rapid.IntRange(0, 1).Draw(t, "set")]
	m := mlp.NewModel(set, rapid.IntRange(1, maxHidden).Draw(t, "hidden"))
	scale := math.Exp2(rapid.Float64Range(-11, 15).Draw(t, "scale"))
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "weights"), 0))
	next := func() float64 { return rng.NormFloat64() * scale }
	for l := range m.Weights {
		for j, row := range m.Weights[l] {
			for i := range row {
				row[i] = next()
			}
			m.Biases[l][j] = next()
		}
	}
	m.Threshold = rapid.Float64Range(0.001, 0.999).Draw(t, "threshold")
	if rapid.Bool().Draw(t, "ranges") {
		for range set.Features {
			m.Ranges = append(m.Ranges, [][]mlp.Range{{{0, 1}}, {{0, 0}}, {{1, 1}}, {{-3, 9.5}}}[rng.IntN(4)]...)
		}
	}
	return m
}

func drawVector(t *rapid.T, limit uint32) (v features.Vector) {
	v.Bits = rapid.Uint32Range(0, 1<<12-1).Draw(t, "bits")
	near := int32(min(limit, math.MaxInt32-2))
	for k := range 5 {
		v.Ratios[k] = rapid.OneOf(rapid.SampledFrom(edges), rapid.Int32Range(-1<<15, 1<<15), rapid.Int32(),
			rapid.SampledFrom([]int32{near - 1, near, -near, -near - 1})).Draw(t, "ratio")
	}
	return v
}

// TestSameBits holds the C against Go's integers, for any model and any vector.
// Both of its ways to sum have to be taken, and the limits between them met.
func TestSameBits(t *testing.T) {
	d := startDriver(t)
	var fast, slow int
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		net, err := mlp.NewFixed(m)
		if err != nil {
			t.Skip("weights overflow")
		}
		bounds := m.Bounds()
		p := d.load(t, m)
		for range 20 {
			v := drawVector(t, p.Limit)
			if m.Set.Name == "paper15" {
				v.Bits &= 1<<10 - 1
			}
			var got cInferred
			d.ask(t, 'V', vectorOf(&v), &got)
			want := make([]int32, m.Hidden())
			net.Hidden(want, &v)
			if logit := net.Logit(&v); got.Logit != logit || got.Wide != logit || !slices.Equal(got.Hidden[:len(want)], want) {
				t.Fatalf("%+v: %d, the wide way %d, of %v; want %d of %v", v, got.Logit, got.Wide, got.Hidden, logit, want)
			}
			if (got.InRange != 0) != bounds.InRange(&v) {
				t.Fatalf("%+v: in range %d, want %v", v, got.InRange, bounds.InRange(&v))
			}
		}
		if p.Limit != 0 {
			fast++
		} else {
			slow++
		}
	})
	if fast == 0 || slow == 0 {
		t.Errorf("%d models had small sums, %d had not: both are to be seen", fast, slow)
	}
}

// TestPairsAreExact puts features at the limits of the sums in pairs, where one
// more would overflow: all 4,096 sets of 0/1 features of a model made to reach them.
func TestPairsAreExact(t *testing.T) {
	d := startDriver(t)
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for _, sign := range []float64{1, -1, 0} {
		m := mlp.NewModel(set, 10)
		for j, row := range m.Weights[0] {
			for i := range row {
				row[i] = 3 + rng.Float64()
				if s := sign; s < 0 || s == 0 && rng.IntN(2) == 0 {
					row[i] = -row[i]
				}
			}
			m.Biases[0][j] = sign
			m.Weights[1][0][j] = rng.NormFloat64()
		}
		net, err := mlp.NewFixed(m)
		if err != nil {
			t.Fatal(err)
		}
		p := d.load(t, m)
		if p.Limit < 1<<14 {
			t.Fatalf("limit %d", p.Limit)
		}
		at := int32(p.Limit)
		for _, x := range []int32{at - 1, -at, at, -at - 1} {
			v := features.Vector{Ratios: [features.MaxRatio]int32{x, x, x, x, 2 * features.One}}
			if x < 0 { // loads are not, in pairs
				v.Ratios = [features.MaxRatio]int32{x, 0, at - 1, x, -2 * features.One}
			}
			for first := uint32(0); first < 1<<12; first += 256 {
				got := make([]cInferred, 256)
				for i := range got {
					v.Bits = first + uint32(i)
					d.send(t, 'V', vectorOf(&v))
				}
				d.flush(t)
				d.receive(t, got)
				for i, g := range got {
					v.Bits = first + uint32(i)
					if want := net.Logit(&v); g.Logit != want || g.Wide != want {
						t.Fatalf("%+v: %d, the wide way %d, want %d", v, g.Logit, g.Wide, want)
					}
				}
			}
		}
	}
}

// TestQuotient holds mllb_quotient against FromRatio, and where nothing is scaled
// down against the exact quotient.
func TestQuotient(t *testing.T) {
	d := startDriver(t)
	term := rapid.OneOf(rapid.Uint64Range(0, math.MaxInt64), rapid.Uint64Range(0, 1<<12), rapid.SampledFrom([]uint64{
		0, 1, 2, 999, 1000, 1001, 1 << 20, 1<<20 - 1, 1 << 31, 1<<51 - 1, 1 << 51, 1<<51 + 1, 1 << 62, math.MaxInt64}))
	rapid.Check(t, func(t *rapid.T) {
		for range 50 {
			q := cQuotient{term.Draw(t, "num"), term.Draw(t, "den"), uint32(rapid.IntRange(0, 1).Draw(t, "negative"))}
			num := int64(q.Num)
			if q.Negative != 0 {
				num = -num
			}
			var got int32
			d.ask(t, 'Q', q, &got)
			if want := features.FromRatio(num, int64(q.Den)); got != want {
				t.Fatalf("%d/%d: %d, want %d", num, q.Den, got, want)
			}
			if q.Den != 0 && q.Num|q.Den < 1<<51 && got != exact(num, q.Den) {
				t.Fatalf("%d/%d: %d, exactly %d", num, q.Den, got, exact(num, q.Den))
			}
		}
	})
}

func exact(num int64, den uint64) int32 {
	q := new(big.Int).Abs(big.NewInt(num))
	q.Lsh(q, features.FracBits+1)
	q.Add(q, new(big.Int).SetUint64(den))
	q.Div(q, new(big.Int).SetUint64(2*den))
	if num < 0 {
		q.Neg(q)
	}
	if q.Cmp(big.NewInt(math.MaxInt32)) > 0 {
		return math.MaxInt32
	}
	if q.Cmp(big.NewInt(math.MinInt32)) < 0 {
		return math.MinInt32
	}
	return int32(q.Int64())
}
