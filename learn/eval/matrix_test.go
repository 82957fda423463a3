// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

func quick() *Recipe {
	r := &Recipe{Name: "quick", Train: mlp.PaperConfig(), Balanced: true}
	r.Train.LearningRate, r.Train.Epochs, r.Train.Scale = 2e-2, 20, true
	return r
}

// Two loads of opposite rules: each network is right on its own load, wrong on
// the other, and none was judged on what it learned from.
func TestMatrix(t *testing.T) {
	var paths []string
	for load, hotStays := range map[string]bool{"50": true, "200": false} {
		for k := range 4 {
			recs := records(400, uint64(k))
			for i := range recs {
				d := &recs[i].Decision
				recs[i].Migrate = (d.Delta < d.MigrationCost) != hotStays
			}
			paths = append(paths, write(t, dataset.Run{ID: fmt.Sprintf("%s-%d", load, k), Load: load}, recs))
		}
	}
	one := records(100, 9)
	for i := range one {
		one[i].Migrate = true
	}
	paths = append(paths, write(t, dataset.Run{ID: "one", Load: "idle"}, one), write(t, dataset.Run{ID: "row", Load: "lone"}, one[:1]))
	var log []string
	cfg := Config{Matrix: quick(), Seed: 3, Log: func(line string) { log = append(log, line) }}
	cfg.Matrix.Train.Progress = nil
	m := run(t, cfg, paths...).Matrix
	if len(m.Loads) != 4 || m.Loads[0].Load != "50" || m.Loads[1].Load != "200" || m.Loads[2].Load != "idle" {
		t.Fatalf("loads %+v", m.Loads)
	}
	for i, l := range m.Loads[:2] {
		if !l.Runs || l.Train != 1200 || l.Test != 400 {
			t.Errorf("load %d: %+v, want one of four runs held out whole", i, l)
		}
		for j := range 2 {
			balanced := m.Rows[i].Cells[j].Balanced
			if i == j && balanced < 0.97 || i != j && balanced > 0.03 {
				t.Errorf("trained on %s, judged on %s: balanced accuracy %v", l.Load, m.Loads[j].Load, balanced)
			}
		}
	}
	if l := m.Loads[2]; l.Runs || l.Train+l.Test != 100 || l.Test < 25 {
		t.Errorf("%+v", l)
	}
	if row := m.Rows[2]; row.Trained != "idle" || !strings.Contains(row.Problem, "every label is the same") || row.Cells[0].Accuracy.Known() {
		t.Errorf("one label: %+v", row)
	}
	if m.Rows[3].Problem == "" || m.Loads[3].Test != 0 || m.Rows[0].Cells[3].Accuracy.Known() {
		t.Errorf("one row: %+v, %+v", m.Loads[3], m.Rows[3])
	}
	if m.Rows[4].Trained != "all" || m.Rows[4].Problem != "" || m.Rows[5].Trained != "this model" || len(m.Rows) != 6 {
		t.Errorf("%+v", m.Rows[4:])
	}
	if len(log) != 3 {
		t.Errorf("log %q", log)
	}
	for _, row := range m.Rows {
		for j, c := range row.Cells {
			l := m.Loads[j]
			if c.Accuracy.Known() && c.Majority != number.Share(max(l.Stay, l.Test-l.Stay), l.Test) {
				t.Errorf("trained on %s, judged on %s: majority %v is not that of %+v", row.Trained, l.Load, c.Majority, l)
			}
		}
	}
	plain := quick()
	plain.Balanced = false
	if other := run(t, Config{Matrix: plain, Seed: 3}, paths...).Matrix; cmp.Equal(fmt.Sprint(m.Rows), fmt.Sprint(other.Rows)) {
		t.Error("the weights of labels change nothing")
	}
	if again := run(t, Config{Matrix: quick(), Seed: 3}, paths...).Matrix; !cmp.Equal(fmt.Sprint(m), fmt.Sprint(again)) {
		t.Errorf("the same seed gives %v, then %v", m, again)
	}
}

// A network of a load that knows no SMT domains takes hot tasks among siblings
// for too hot to move; the guard has the kernel's rule decide those.
func TestMatrixGuarded(t *testing.T) {
	var paths []string
	for load, smt := range map[string]bool{"10": false, "200": true} {
		for k := range 4 {
			recs := records(400, uint64(k))
			for i := range recs {
				d := &recs[i].Decision
				if d.Domain &^= features.ShareCPUCapacity; smt && i%2 == 0 {
					d.Domain |= features.ShareCPUCapacity
				}
				recs[i].Migrate = scheduler.CFS{}.Decide(d).Migrate
			}
			paths = append(paths, write(t, dataset.Run{ID: load + strconv.Itoa(k), Load: load}, recs))
		}
	}
	m := run(t, Config{Matrix: quick(), Seed: 1}, paths...).Matrix
	if c := m.Rows[0].Cells[1]; !(c.Balanced < 0.9 && c.Guarded > 0.97) || math.Abs(float64(c.Outside)-0.5) > 0.1 {
		t.Errorf("trained without SMT domains, judged half on them: %+v", c)
	}
	if c := m.Rows[0].Cells[0]; c.Outside > 0.05 || c.Guarded < c.Balanced-0.001 {
		t.Errorf("on its own load: %+v", c)
	}
}

// What is judged on was not learned from, not even its run.
func TestMatrixHoldsRunsOut(t *testing.T) {
	set := builtIn(t).Set
	column := slices.Index(set.Names(), "src_load") // says which run a row is of
	l := newLoadData(set)
	for _, load := range []string{"50", "200"} {
		for k := range 6 {
			r := &dataset.Run{ID: fmt.Sprint(load, k), Load: load}
			for _, rec := range records(50, uint64(k)) {
				rec.SrcLoad = uint64(1000 * k)
				l.add(&dataset.Row{Record: rec, Run: r}, answer(rec.Migrate), 0)
			}
		}
	}
	for seed := range uint64(10) {
		for _, p := range l.split(seed) {
			runs := func(d *mlp.Data) []float32 {
				var of []float32
				for i := range d.Rows() {
					of = append(of, d.Row(i)[column])
				}
				slices.Sort(of)
				return slices.Compact(of)
			}
			train, test := runs(p.train), runs(p.test)
			if len(train) != 4 || len(test) != 2 || p.train.Rows() != 200 || p.test.Rows() != 100 {
				t.Fatalf("load %s: learned from runs %v, judged on %v", p.load, train, test)
			}
			for _, x := range test {
				if slices.Contains(train, x) {
					t.Errorf("load %s: run %v is learned from and judged on", p.load, x)
				}
			}
		}
	}
}
