// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/mlp"
)

// A network that reads one feature alone: that one matters, by as much as
// permuting it must cost, and no other does.
func TestImportanceOfTheOnlyFeature(t *testing.T) {
	recs := records(2000, 5)
	stay := 0
	for i := range recs {
		d := &recs[i].Decision
		if recs[i].Migrate = d.Delta >= d.MigrationCost; !recs[i].Migrate {
			stay++
		}
	}
	for _, name := range []string{"delta_hot", "cpu_idle"} {
		if name == "cpu_idle" {
			stay = 0
			for i := range recs {
				if recs[i].Migrate = recs[i].Idle != features.Idle; !recs[i].Migrate {
					stay++
				}
			}
		}
		set, err := features.Lookup("locality17")
		if err != nil {
			t.Fatal(err)
		}
		m := mlp.NewModel(set, 1)
		m.Weights[0][0][slices.Index(set.Names(), name)] = 1
		m.Weights[1][0][0], m.Biases[1][0] = -10, 5
		r := run(t, Config{Model: m, Importance: true, Seed: 1}, write(t, dataset.Run{ID: "r"}, recs))
		if r.Scores[judgeFixed].Accuracy != 1 {
			t.Fatalf("%s: accuracy %v", name, r.Scores[judgeFixed].Accuracy)
		}
		p := float64(stay) / float64(len(recs))
		for _, f := range r.Importance.Features {
			if f.Name == name || f.Name == "idleness" && name == "cpu_idle" {
				// The answer is then drawn at random with the label's share.
				if !near(float64(f.Accuracy.Mean), 2*p*(1-p), 0.03) || !near(float64(f.StayRecall.Mean), 1-p, 0.03) || !near(f.Changed, 2*p*(1-p), 0.03) || !(f.Accuracy.SD > 0) || f.Loss.Mean <= 0 {
					t.Errorf("%s, stay in %.3f: %+v", name, p, f)
				}
				continue
			}
			if f.Accuracy.Mean != 0 || f.Balanced.Mean != 0 || f.Changed != 0 || !near(float64(f.Loss.Mean), 0, 1e-9) {
				t.Errorf("%s alone matters, but: %+v", name, f)
			}
		}
		if first := r.Importance.ranked()[0].Name; first != name && first != "idleness" {
			t.Errorf("%s ranks first", first)
		}
	}
}

func near(x, want, tolerance float64) bool { return x >= want-tolerance && x <= want+tolerance }

// Each feature of a set has its own part of a vector, all of them the whole.
func TestMasks(t *testing.T) {
	sets := features.Sets()
	for i := range sets {
		set := &sets[i]
		full, none := features.Vector{Bits: 1<<features.MaxBinary - 1}, features.Vector{}
		for k := range full.Ratios {
			full.Ratios[k] = 7
		}
		names := set.Names()
		for k, m := range masks(set)[:len(names)] {
			v := none
			m.mix(&v, &full)
			q := make([]int32, len(names))
			set.Unpack(q, &v)
			for j, x := range q {
				if (x != 0) != (j == k) || m.name != names[k] {
					t.Errorf("%s: mask %s touches %s: %d", set.Name, m.name, names[j], x)
				}
			}
		}
	}
}

func TestImportanceIsReproducible(t *testing.T) {
	path := write(t, dataset.Run{ID: "r"}, records(500, 9))
	a, b := run(t, Config{Importance: true, Seed: 4}, path), run(t, Config{Importance: true, Seed: 4}, path)
	if diff := cmp.Diff(a.Importance, b.Importance, sameFigures); diff != "" {
		t.Error(diff)
	}
	if c := run(t, Config{Importance: true, Seed: 5}, path); cmp.Equal(a.Importance, c.Importance) {
		t.Error("another seed gives the same permutations")
	}
}
