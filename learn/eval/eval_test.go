// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/mlp"
	"mllb/scheduler"
)

// The report says what mlp's own judge and the policies say of the same rows.
func TestRunAgreesWithItsParts(t *testing.T) {
	m := builtIn(t)
	r := run(t, Config{Model: m, Name: "m"}, samples...)
	data, _, err := dataset.Load(context.Background(), m.Set, samples...)
	if err != nil {
		t.Fatal(err)
	}
	float, err := mlp.Evaluate(m, data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(answers("float", &float.Confusion), r.Scores[judgeFloat].Answers, sameFigures); diff != "" {
		t.Error(diff)
	}
	if got := float64(r.Scores[judgeFloat].Loss); math.Abs(got-float.Loss) > 1e-9*float.Loss {
		t.Errorf("loss %v, mlp says %v", got, float.Loss)
	}
	same, err := mlp.Agreement(m, data)
	if err != nil {
		t.Fatal(err)
	}
	if float64(r.Agreement.Share) != same {
		t.Errorf("agreement %v, mlp says %v", r.Agreement.Share, same)
	}
	network, err := scheduler.NewMLP(m)
	if err != nil {
		t.Fatal(err)
	}
	for j, p := range map[int]scheduler.Policy{judgeFixed: network, judgeAlways: scheduler.Always{}, judge415: scheduler.CFS415{}, judgeCFS: scheduler.CFS{}} {
		var c mlp.Confusion
		err := dataset.Each(context.Background(), samples, func(_ string, _ int64, row *dataset.Row) error {
			if row.Usable() {
				c.Add(answer(row.Migrate), answer(p.Decide(&row.Decision).Migrate))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(answers(judges[j], &c), r.Scores[j].Answers, sameFigures); diff != "" {
			t.Errorf("%s: %s", p.Name(), diff)
		}
	}
	if float, fixed := r.Scores[judgeFloat].AUC, r.Scores[judgeFixed].AUC; math.Abs(float64(float-fixed)) > 0.01 || !(float > 0.9) {
		t.Errorf("ROC AUC %v in floating point, %v in integers", float, fixed)
	}
	n := data.Count()
	if want := (Data{samples, 300, data.Rows(), n[mlp.Stay], n[mlp.Migrate]}); !cmp.Equal(want, r.Data) {
		t.Errorf("data %+v, want %+v", r.Data, want)
	}
	eleven := r.Widths[chosenBits-minWidth]
	if eleven.Bits != chosenBits || eleven.Accuracy != r.Scores[judgeFixed].Accuracy || eleven.LargestError != r.Agreement.Largest || eleven.Agree != r.Agreement.Share {
		t.Errorf("at 11 bits %+v, fixed %+v", eleven, r.Agreement)
	}
}

// Each breakdown has every decision once.
func TestGroupsArePartitions(t *testing.T) {
	r := run(t, Config{}, samples...)
	wantNames := map[string][]string{
		"load": {"50", "100", "200"}, "domain": {"0 SMT", "1 MC", "2 NUMA"}, "idle type": {"idle", "newly_idle", "not_idle"},
		"kernel": {"6.12.48+deb13-amd64", "7.2.1+deb14-cloud-amd64"}, "tag": {"nice", "paper"},
	}
	for _, b := range r.Groups {
		var names []string
		rows, sum := 0, Confusion{}
		for _, g := range b.Groups {
			names = append(names, g.Name)
			rows += g.Rows
			c := g.Judges[judgeFixed].Confusion
			sum = Confusion{sum.StayStay + c.StayStay, sum.StayMigrate + c.StayMigrate, sum.MigrateStay + c.MigrateStay, sum.MigrateMigrate + c.MigrateMigrate}
		}
		if rows != r.Data.Usable || sum != r.Scores[judgeFixed].Confusion {
			t.Errorf("by %s: %d of %d decisions, %+v of %+v", b.By, rows, r.Data.Usable, sum, r.Scores[judgeFixed].Confusion)
		}
		if !slices.Equal(names, wantNames[b.By]) {
			t.Errorf("by %s: %q, want %q", b.By, names, wantNames[b.By])
		}
		delete(wantNames, b.By)
	}
	if len(wantNames) > 0 {
		t.Errorf("missing: %v", wantNames)
	}
}

// What the data cannot give is a dash, null, and said; nothing is NaN.
func TestOneLabel(t *testing.T) {
	recs := slices.DeleteFunc(records(300, 1), func(r features.Record) bool { return !r.Migrate })
	r := run(t, Config{Importance: true, Mistakes: 3, Matrix: &Recipe{Name: "paper", Train: mlp.PaperConfig()}}, write(t, dataset.Run{ID: "one", Load: "100"}, recs))
	var text, page bytes.Buffer
	if err := r.Draw(&text, true); err != nil {
		t.Fatal(err)
	}
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]string{"text": text.String(), "html": page.String(), "json": string(asJSON)} {
		if strings.Contains(s, "NaN") || strings.Contains(s, "Inf") {
			t.Errorf("%s has a NaN or an Inf", what)
		}
	}
	for _, want := range []string{
		`No decision is "stay": its recall, balanced accuracy and ROC AUC are undefined.`,
		"balanced accuracy %                  -           -           -           -           -\n",
		"every label is the same",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &text)
		}
	}
	if !bytes.Contains(asJSON, []byte(`"balanced_accuracy":null`)) || !r.Scores[judgeFixed].Accuracy.Known() {
		t.Errorf("%.200s", asJSON)
	}
}

func TestRunRefuses(t *testing.T) {
	hard := records(5, 1)
	for i := range hard {
		hard[i].Condition = features.OnSourceCPU
	}
	path := write(t, dataset.Run{ID: "hard"}, hard)
	named := builtIn(t)
	named.Provenance.Held = []string{"other"}
	for _, tc := range []struct {
		name  string
		cfg   Config
		paths []string
		want  string
	}{
		{"no model", Config{}, samples, "eval: no model"},
		{"no usable row", Config{Model: builtIn(t)}, []string{path}, "hard.parquet: 5 records, and the locality rule decided none"},
		{"no file", Config{Model: builtIn(t)}, []string{"nowhere.parquet"}, "nowhere.parquet"},
		{"no runs held out", Config{Model: builtIn(t), Held: true}, samples, "the model names no runs that were held out"},
		{"other runs held out", Config{Model: named, Held: true}, samples, "is of a run that the model held out (other)"},
	} {
		_, err := Run(context.Background(), tc.cfg, tc.paths...)
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "eval: ") && tc.name != "no file" {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, Config{Model: builtIn(t)}, samples...); err == nil {
		t.Error("a cancelled context was not noticed")
	}
}

// Runs that the model held out are judged alone, or apart.
func TestHeld(t *testing.T) {
	m := builtIn(t)
	m.Provenance.Held = []string{"b"}
	only := run(t, Config{Model: m, Held: true}, samples...)
	b := run(t, Config{}, samples[1])
	if diff := cmp.Diff(b.Scores, only.Scores, sameFigures); diff != "" {
		t.Error(diff)
	}
	if len(only.Notes) > 0 {
		t.Errorf("notes %q", only.Notes)
	}
	all := run(t, Config{Model: m}, samples...)
	apart := all.Groups[len(all.Groups)-1]
	if apart.By != "run" || len(apart.Groups) != 2 || apart.Groups[0].Name != heldOut || apart.Groups[0].Rows != b.Data.Usable {
		t.Errorf("%+v", apart)
	}
	if want := "may have learned"; len(all.Notes) != 1 || !strings.Contains(all.Notes[0], want) {
		t.Errorf("notes %q, want %q", all.Notes, want)
	}
}

// Outside the training ranges the guarded network answers as the rule, within
// them as itself.
func TestGuarded(t *testing.T) {
	data, _, err := dataset.Load(context.Background(), builtIn(t).Set, samples[0])
	if err != nil {
		t.Fatal(err)
	}
	m := mlp.NewModel(data.Set, 2) // its logit is 0: always "migrate"
	m.Ranges = data.Ranges()
	k := slices.Index(data.Set.Names(), "src_len")
	m.Ranges[k] = mlp.Range{0, 0}
	r := run(t, Config{Model: m, Mistakes: 1}, samples...)
	if got := r.Mistakes[0].Outside; !slices.Equal(got, []string{"src_len"}) {
		t.Errorf("outside %q", got)
	}
	apart := r.Groups[byRange]
	if apart.By != "training range" || len(apart.Groups) != 2 {
		t.Fatalf("%+v", apart)
	}
	for _, g := range apart.Groups {
		want := judgeFixed
		if g.Name == outside {
			want = judgeCFS
		}
		if got := g.Judges[judgeGuarded]; g.Rows == 0 || got.Confusion != g.Judges[want].Confusion {
			t.Errorf("%s, %d rows: %+v, want as %s %+v", g.Name, g.Rows, got.Confusion, judges[want], g.Judges[want].Confusion)
		}
	}
	if n := len(run(t, Config{}, samples...).Scores); n != judgeGuarded {
		t.Errorf("%d judges of a model without ranges", n)
	}
}

// The mistakes kept are the most costly of all, in their order.
func TestMistakes(t *testing.T) {
	recs := records(400, 3)
	for i := range recs {
		recs[i].Migrate = recs[i].Migrate != (i%7 == 0)
	}
	path := write(t, dataset.Run{ID: "wrong", Load: "100", Tag: "t"}, recs)
	all := run(t, Config{Mistakes: 1000}, path).Mistakes
	r := run(t, Config{Mistakes: 5}, path)
	if diff := cmp.Diff(all[:5], r.Mistakes, sameFigures); diff != "" {
		t.Error(diff)
	}
	c := r.Scores[judgeFixed].Confusion
	if len(all) != c.StayMigrate+c.MigrateStay || len(all) < 50 {
		t.Errorf("%d mistakes, but the confusion has %d", len(all), c.StayMigrate+c.MigrateStay)
	}
	for i, m := range all {
		if i > 0 && (m.Loss > all[i-1].Loss || m.Loss == all[i-1].Loss && m.Row < all[i-1].Row) {
			t.Errorf("mistake %d out of order: %v after %v", i, m, all[i-1])
		}
		if m.Kernel != labels[answer(recs[m.Row].Migrate)] || m.Network == m.Kernel || m.Load != "100" || m.Tag != "t" || !strings.Contains(m.Text, "last ran") {
			t.Errorf("%+v", m)
		}
	}
}
