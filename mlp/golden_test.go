// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.json from the slow reference")

// reference is one layer in arbitrary precision, in the plainest order.
func reference(weights [][]int32, biases, in []int32, relu bool) []int32 {
	out := make([]int32, len(weights))
	for j, row := range weights {
		sum := new(big.Int).Lsh(big.NewInt(int64(biases[j])), features.FracBits)
		for i, w := range row {
			sum.Add(sum, new(big.Int).Mul(big.NewInt(int64(w)), big.NewInt(int64(in[i]))))
		}
		sum.Rsh(sum.Add(sum, big.NewInt(half)), features.FracBits) // Rsh is arithmetic
		switch {
		case sum.Cmp(big.NewInt(math.MaxInt32)) > 0:
			out[j] = math.MaxInt32
		case sum.Cmp(big.NewInt(math.MinInt32)) < 0:
			out[j] = math.MinInt32
		default:
			out[j] = int32(sum.Int64())
		}
		if relu {
			out[j] = max(out[j], 0)
		}
	}
	return out
}

func referenceCase(q *Quantised, in []int32) GoldenCase {
	hidden := reference(q.Weights[0], q.Biases[0], in, true)
	return GoldenCase{in, hidden, reference(q.Weights[1], q.Biases[1], hidden, false)[0]}
}

// extremes returns models at the edges of the arithmetic, by what they show.
func extremes(rng *rand.Rand, set *features.Set) map[string]*Model {
	models := map[string]*Model{
		"ordinary weights":        randomModel(rng, set, 10),
		"another hidden layer":    randomModel(rng, set, 3),
		"wider than any fast one": randomModel(rng, set, 13),
	}
	scaled := func(w, b float64) *Model {
		m := randomModel(rng, set, 10)
		for l := range m.Weights {
			for j, row := range m.Weights[l] {
				for i := range row {
					row[i] = math.Copysign(w, row[i])
				}
				m.Biases[l][j] = math.Copysign(b, m.Biases[l][j])
			}
		}
		return m
	}
	models["saturating weights"] = scaled(1<<16, 1<<15)
	models["saturating biases"] = scaled(1, 1<<20-1)
	models["smallest weights"] = scaled(1.0/features.One, 1.0/features.One)
	return models
}

func makeGolden(t *testing.T) Golden {
	g := Golden{Schema: GoldenSchema}
	rng := rand.New(rand.NewPCG(3, 4))
	notes := []string{"ordinary weights", "another hidden layer", "wider than any fast one", "saturating weights", "saturating biases", "smallest weights"}
	for _, name := range []string{"paper15", "locality17"} {
		set, err := features.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		models := extremes(rng, set)
		for _, note := range notes {
			q, err := models[note].Quantise()
			if err != nil {
				t.Fatalf("%s: %v", note, err)
			}
			n := GoldenNetwork{Note: note, FeatureSet: name, Weights: q.Weights, Biases: q.Biases}
			for _, in := range goldenInputs(rng, set, 24) {
				n.Cases = append(n.Cases, referenceCase(q, in))
			}
			g.Networks = append(g.Networks, n)
		}
	}
	return g
}

// TestNewGolden holds what is exported of a model against the slow reference.
func TestNewGolden(t *testing.T) {
	rng := rand.New(rand.NewPCG(16, 17))
	for s := range features.Sets() {
		for _, hidden := range []int{1, 10, 64} {
			m := randomModel(rng, &features.Sets()[s], hidden)
			m.Threshold = 0.75
			g, err := NewGolden(m, "a note", 40, 7)
			if err != nil {
				t.Fatal(err)
			}
			q, _ := m.Quantise()
			n := g.Networks[0]
			if len(n.Cases) != 40 || *n.Threshold != 2250 { // log(3)
				t.Errorf("%d cases, threshold %d", len(n.Cases), *n.Threshold)
			}
			for i, c := range n.Cases {
				if diff := cmp.Diff(referenceCase(q, c.Inputs), c); diff != "" {
					t.Errorf("%s, %d hidden, case %d differs from the reference:\n%s", n.FeatureSet, hidden, i, diff)
				}
			}
			var b bytes.Buffer
			if err := g.Write(&b); err != nil {
				t.Fatal(err)
			}
			var read Golden
			if err := json.Unmarshal(b.Bytes(), &read); err != nil || !cmp.Equal(g, read) {
				t.Errorf("written and read again: %v\n%s", err, cmp.Diff(g, read))
			}
		}
	}
}

// TestGolden holds the integer network against the file, the file against the
// slow reference, and the file's reach: it must saturate at every place.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "golden.json")
	if *update {
		var b bytes.Buffer
		g := makeGolden(t)
		if err := g.Write(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g Golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if g.Schema != GoldenSchema || len(g.Networks) == 0 {
		t.Fatalf("schema %d, %d networks", g.Schema, len(g.Networks))
	}
	reached := map[string]bool{}
	for _, n := range g.Networks {
		set, err := features.Lookup(n.FeatureSet)
		if err != nil {
			t.Fatal(err)
		}
		q := &Quantised{Set: set, Weights: n.Weights, Biases: n.Biases}
		f := q.Fixed()
		for i, c := range n.Cases {
			if diff := cmp.Diff(referenceCase(q, c.Inputs), c); diff != "" {
				t.Errorf("%s, %s, case %d differs from the reference:\n%s", n.FeatureSet, n.Note, i, diff)
			}
			var v features.Vector
			if err := set.Pack(&v, c.Inputs); err != nil {
				t.Fatal(err)
			}
			got := GoldenCase{c.Inputs, make([]int32, len(c.Hidden)), f.Logit(&v)}
			f.Hidden(got.Hidden, &v)
			if diff := cmp.Diff(c, got); diff != "" {
				t.Errorf("%s, %s, case %d (-want +got):\n%s", n.FeatureSet, n.Note, i, diff)
			}
			if slow := f.full.logit(&v); slow != c.Output {
				t.Errorf("%s, %s, case %d: the slow path gives %d, want %d", n.FeatureSet, n.Note, i, slow, c.Output)
			}
			reached["output high"] = reached["output high"] || c.Output == math.MaxInt32
			reached["output low"] = reached["output low"] || c.Output == math.MinInt32
			for _, h := range c.Hidden {
				reached["hidden high"] = reached["hidden high"] || h == math.MaxInt32
				reached["hidden low"] = reached["hidden low"] || h == 0
			}
		}
	}
	for _, edge := range []string{"output high", "output low", "hidden high", "hidden low"} {
		if !reached[edge] {
			t.Errorf("no case of the golden file reaches %s", edge)
		}
	}
}
