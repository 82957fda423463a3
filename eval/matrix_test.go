// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/dataset"
	"mllb/mlp"
)

func quick() *Recipe {
	r := &Recipe{Name: "quick", Train: mlp.PaperConfig(), Balanced: true}
	r.Train.LearningRate, r.Train.Epochs, r.Train.Scale = 1e-2, 40, true
	return r
}

// Two loads of opposite rules: each network is right on its own load, wrong on
// the other, and none was judged on what it learned from.
func TestMatrix(t *testing.T) {
	var paths []string
	for load, hotStays := range map[string]bool{"50": true, "200": false} {
		for k := range 4 {
			recs := records(600, uint64(k))
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
	paths = append(paths, write(t, dataset.Run{ID: "one", Load: "idle"}, one))
	var log []string
	cfg := Config{Matrix: quick(), Seed: 3, Log: func(line string) { log = append(log, line) }}
	cfg.Matrix.Train.Progress = nil
	m := run(t, cfg, paths...).Matrix
	if len(m.Loads) != 3 || m.Loads[0].Load != "50" || m.Loads[1].Load != "200" || m.Loads[2].Load != "idle" {
		t.Fatalf("loads %+v", m.Loads)
	}
	for i, l := range m.Loads[:2] {
		if !l.Runs || l.Train != 1800 || l.Test != 600 {
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
	if row := m.Rows[2]; row.Trained != "idle" || !strings.Contains(row.Problem, "every label is the same") || row.Cells[0].Accuracy.defined() {
		t.Errorf("one label: %+v", row)
	}
	if m.Rows[3].Trained != "all" || m.Rows[3].Problem != "" || m.Rows[4].Trained != "this model" || len(m.Rows) != 5 {
		t.Errorf("%+v", m.Rows[3:])
	}
	if len(log) != 3 {
		t.Errorf("log %q", log)
	}
	if again := run(t, Config{Matrix: quick(), Seed: 3}, paths...).Matrix; !cmp.Equal(fmt.Sprint(m), fmt.Sprint(again)) {
		t.Errorf("the same seed gives %v, then %v", m, again)
	}
}
