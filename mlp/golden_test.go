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

// golden is testdata/golden.json, which the tests of every implementation of
// the integer network read. Every number is Q21.11.
type golden struct {
	Schema   int             `json:"schema"`
	Networks []goldenNetwork `json:"networks"`
}

type goldenNetwork struct {
	Note       string       `json:"note"`
	FeatureSet string       `json:"feature_set"`
	Weights    [2][][]int32 `json:"weights"` // by layer, neuron, input
	Biases     [2][]int32   `json:"biases"`
	Cases      []goldenCase `json:"cases"`
}

type goldenCase struct {
	Inputs []int32 `json:"inputs"` // in the order of the set; 0/1 features are 0 or 2048
	Hidden []int32 `json:"hidden"` // after ReLU
	Output int32   `json:"output"`
}

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

func referenceCase(q *Quantised, in []int32) goldenCase {
	hidden := reference(q.Weights[0], q.Biases[0], in, true)
	return goldenCase{in, hidden, reference(q.Weights[1], q.Biases[1], hidden, false)[0]}
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

// inputs returns vectors of a set, the first ones at the edges.
func inputs(rng *rand.Rand, set *features.Set, n int) [][]int32 {
	edges := []int32{0, 1, -1, features.One, -features.One, half, -half, math.MaxInt32, math.MinInt32}
	qs := make([][]int32, n)
	for i := range qs {
		v := randomVector(rng, set)
		for k := range v.Ratios {
			if i < n/2 && v.Ratios[k] != 0 {
				v.Ratios[k] = edges[rng.IntN(len(edges))]
			}
		}
		if i < 2 {
			v.Bits = uint32(-i) // none and, cut to the set by Unpack, all
		}
		qs[i] = make([]int32, len(set.Features))
		set.Unpack(qs[i], &v)
	}
	return qs
}

func makeGolden(t *testing.T) golden {
	g := golden{Schema: 1}
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
			n := goldenNetwork{Note: note, FeatureSet: name, Weights: q.Weights, Biases: q.Biases}
			for _, in := range inputs(rng, set, 24) {
				n.Cases = append(n.Cases, referenceCase(q, in))
			}
			g.Networks = append(g.Networks, n)
		}
	}
	return g
}

func writeGolden(t *testing.T, path string, g golden) {
	// One case or one neuron a line: indenting every number would hide them.
	var b bytes.Buffer
	b.WriteString("{\"schema\": 1, \"networks\": [\n")
	for i, n := range g.Networks {
		line, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, cut := range []string{`"weights":`, `"biases":`, `"cases":`, `{"inputs"`} {
			line = bytes.ReplaceAll(line, []byte(cut), []byte("\n"+cut))
		}
		b.Write(line)
		if i < len(g.Networks)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]}\n")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestGolden holds the integer network against the file, the file against the
// slow reference, and the file's reach: it must saturate at every place.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "golden.json")
	if *update {
		writeGolden(t, path, makeGolden(t))
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if g.Schema != 1 || len(g.Networks) == 0 {
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
			got := goldenCase{c.Inputs, make([]int32, len(c.Hidden)), f.Logit(&v)}
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
