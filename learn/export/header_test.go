// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mllb/features"
	"mllb/internal/cc"
	"mllb/mlp"
)

// models are one of each set and size, and one at the edges of Q21.11.
func models(t testing.TB) map[string]*mlp.Model {
	rng := rand.New(rand.NewPCG(1, 2))
	fill := func(m *mlp.Model, next func() float64) *mlp.Model {
		for l := range m.Weights {
			for j, row := range m.Weights[l] {
				for i := range row {
					row[i] = next()
				}
				m.Biases[l][j] = next()
			}
		}
		return m
	}
	list := make(map[string]*mlp.Model)
	for s := range features.Sets() {
		set := &features.Sets()[s]
		for _, hidden := range []int{1, 10, 13} {
			m := fill(mlp.NewModel(set, hidden), rng.NormFloat64)
			m.Threshold = 0.25
			list[fmt.Sprintf("%s-%d", set.Name, hidden)] = m
		}
	}
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	list["saturating"] = fill(mlp.NewModel(set, 10), func() float64 { return math.Copysign(1<<16, rng.NormFloat64()) })
	edge := mlp.NewModel(set, 1)
	edge.Biases[0][0], edge.Weights[0][0][9], edge.Weights[1][0][0] = -1<<20, -1<<20, 1
	list["lowest"] = edge
	ranged := fill(mlp.NewModel(set, 10), rng.NormFloat64)
	for k := range set.Features {
		ranged.Ranges = append(ranged.Ranges, mlp.Range{0, float64(k % 3)})
	}
	ranged.Ranges[5] = mlp.Range{1, 1}
	list["ranges"] = ranged
	m, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	list["default"] = m
	return list
}

var cflags = []string{"-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-const-variable", "-Werror"}

// TestHeaderInC compiles each header into a plain network and holds that against
// the golden vectors of the same model.
func TestHeaderInC(t *testing.T) {
	compiler := cc.Find(t, cflags...)
	for name, m := range models(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program := compile(t, compiler, m)
			g, err := mlp.NewGolden(m, name, 100, 3)
			if err != nil {
				t.Fatal(err)
			}
			var in, want strings.Builder
			net := g.Networks[0]
			for _, c := range net.Cases {
				var v features.Vector
				if err := m.Set.Pack(&v, c.Inputs); err != nil {
					t.Fatal(err)
				}
				write(&in, c.Inputs, "\n")
				write(&want, c.Hidden, " ")
				fmt.Fprintf(&want, "%d %d %d\n", c.Output, one(c.Output >= *net.Threshold), one(m.Bounds().InRange(&v)))
			}
			cmd := exec.Command(program)
			cmd.Stdin = strings.NewReader(in.String())
			got, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			gotLines, wantLines := strings.Split(string(got), "\n"), strings.Split(want.String(), "\n")
			if len(gotLines) != len(wantLines) {
				t.Fatalf("%d lines, want %d", len(gotLines), len(wantLines))
			}
			for i := range wantLines {
				if gotLines[i] != wantLines[i] {
					t.Errorf("case %d: C gives %q, want %q", i, gotLines[i], wantLines[i])
				}
			}
		})
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}

func write(b *strings.Builder, xs []int32, end string) {
	b.WriteString(strings.Trim(fmt.Sprint(xs), "[]") + end)
}

func compile(t *testing.T, compiler string, m *mlp.Model) string {
	dir := t.TempDir()
	var b bytes.Buffer
	if err := Header(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "model.h"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "infer")
	args := append(slices.Clip(cflags), "-I", dir, "-o", program, "testdata/infer.c")
	out, err := exec.Command(compiler, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, b.Bytes())
	}
	return program
}

// TestHeaderHoldsItsComments has a provenance that would end the comment.
func TestHeaderHoldsItsComments(t *testing.T) {
	m := models(t)["paper15-1"]
	m.Provenance = mlp.Provenance{Source: "a */ int x; /*\n#define y", Kernel: "6.12"}
	var b bytes.Buffer
	if err := Header(&b, m); err != nil {
		t.Fatal(err)
	}
	top, _, _ := strings.Cut(b.String(), "#ifndef")
	if n := strings.Count(top, "*/"); n != 2 || !strings.Contains(top, " * learned from: a * / int x; / * #define y\n * kernel: 6.12\n *\n") {
		t.Errorf("%d ends of comments in\n%s", n, top)
	}
	if err := Header(&b, &mlp.Model{}); err == nil {
		t.Error("no model, no error")
	}
}
