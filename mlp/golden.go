// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"mllb/features"
)

// Golden is what every implementation of the integer network has to give to
// the bit, as JSON. Every number is Q21.11.
type Golden struct {
	Schema   int             `json:"schema"`
	Networks []GoldenNetwork `json:"networks"`
}

// GoldenSchema is the version of a Golden.
const GoldenSchema = 1

// GoldenNetwork is one network and what it answers.
type GoldenNetwork struct {
	Note       string       `json:"note"`
	FeatureSet string       `json:"feature_set"`
	Weights    [2][][]int32 `json:"weights"` // by layer, neuron, input
	Biases     [2][]int32   `json:"biases"`
	Threshold  *int32       `json:"threshold,omitempty"` // migrate if the output is at least this
	Cases      []GoldenCase `json:"cases"`
}

// GoldenCase is one decision.
type GoldenCase struct {
	Inputs []int32 `json:"inputs"` // in the order of the set; 0/1 features are 0 or 2048
	Hidden []int32 `json:"hidden"` // after ReLU
	Output int32   `json:"output"`
}

// NewGolden answers n cases drawn by seed, the first half of which have
// features at the edges of Q21.11, by the network in integers.
func NewGolden(m *Model, note string, n int, seed uint64) (Golden, error) {
	q, err := m.Quantise()
	if err != nil {
		return Golden{}, err
	}
	f := q.Fixed()
	net := GoldenNetwork{Note: note, FeatureSet: m.Set.Name, Weights: q.Weights, Biases: q.Biases, Threshold: &q.Threshold}
	var v features.Vector
	for _, in := range goldenInputs(rand.New(rand.NewPCG(seed, streamGolden)), m.Set, n) {
		if err := m.Set.Pack(&v, in); err != nil {
			return Golden{}, err
		}
		c := GoldenCase{Inputs: in, Hidden: make([]int32, m.Hidden()), Output: f.Logit(&v)}
		f.Hidden(c.Hidden, &v)
		net.Cases = append(net.Cases, c)
	}
	return Golden{GoldenSchema, []GoldenNetwork{net}}, nil
}

// Write writes a case or a layer a line: one number a line would hide them.
func (g *Golden) Write(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\"schema\": %d, \"networks\": [\n", g.Schema)
	for i, n := range g.Networks {
		line, err := json.Marshal(n)
		if err != nil {
			return fmt.Errorf("golden: %w", err)
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
	_, err := w.Write(b.Bytes())
	return err
}

// goldenInputs returns decisions of a set, the first ones at the edges.
func goldenInputs(rng *rand.Rand, set *features.Set, n int) [][]int32 {
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

// randomVector is a plausible decision.
func randomVector(rng *rand.Rand, set *features.Set) (v features.Vector) {
	bit, ratio := 0, 0
	for _, f := range set.Features {
		if f.Kind == features.Binary {
			v.Bits |= rng.Uint32() & 1 << bit
			bit++
			continue
		}
		v.Ratios[ratio] = int32(rng.NormFloat64() * 4 * features.One)
		ratio++
	}
	return v
}
