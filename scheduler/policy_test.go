// SPDX-License-Identifier: Apache-2.0

package scheduler_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/mlp"
	"mllb/scheduler"
)

// model answers only by one feature: migrate if it is 1.
func model(t *testing.T, set string, feature string) *mlp.Model {
	t.Helper()
	s, err := features.Lookup(set)
	if err != nil {
		t.Fatal(err)
	}
	m := mlp.NewModel(s, 2)
	for i, name := range s.Names() {
		if name == feature {
			m.Weights[0][1][i] = 2
		}
	}
	m.Weights[1][0][1], m.Biases[1][0] = 3, -1
	return m
}

func TestNewPolicy(t *testing.T) {
	for _, name := range scheduler.PolicyNames() {
		if p, err := scheduler.NewPolicy(name, model(t, "paper15", "")); err != nil || p.Name() != name {
			t.Errorf("policy %s: %v, %v", name, p, err)
		}
	}
	bad := model(t, "paper15", "")
	bad.Threshold = 1
	for _, tc := range []struct {
		name, want string
		model      *mlp.Model
	}{
		{"cfq", `unknown policy "cfq"; known: mlp, cfs, always, never`, nil},
		{"", "unknown policy", nil},
		{"mlp", "policy mlp: no model", nil},
		{"mlp", "policy mlp: threshold", bad},
	} {
		if _, err := scheduler.NewPolicy(tc.name, tc.model); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("policy %q: error %v, want %q", tc.name, err, tc.want)
		}
	}
}

// Out of the ranges of its training the network is not asked.
func TestMLPOutOfDistribution(t *testing.T) {
	m := model(t, "locality17", "prefer_dst") // says stay to what follows
	m.Ranges = make([]mlp.Range, len(m.Set.Features))
	for k := range m.Ranges {
		m.Ranges[k] = mlp.Range{-2, 3}
	}
	p, err := scheduler.NewPolicy("mlp", m)
	if err != nil {
		t.Fatal(err)
	}
	in := local(func(d *features.Decision) { d.Delta, d.SrcLen = 1000, 5 }) // cold
	if v := p.Decide(&in); v.Migrate || v.OutOfDistribution {
		t.Errorf("within: %+v, want the network's stay", v)
	}
	far := in
	far.SrcLen = 6
	if v := p.Decide(&far); v != (scheduler.Verdict{Migrate: true, OutOfDistribution: true}) {
		t.Errorf("out of distribution: %+v, want the rule's migrate, and no logit", v)
	}
	hot := far
	hot.Delta = 1
	if v := p.Decide(&hot); v != (scheduler.Verdict{OutOfDistribution: true}) {
		t.Errorf("out of distribution: %+v, want the rule's stay, and no logit", v)
	}
}

// Within its training the network alone answers, even where the kernel's rule would say otherwise.
func TestMLP(t *testing.T) {
	p, err := scheduler.NewPolicy("mlp", model(t, "locality17", "prefer_dst"))
	if err != nil {
		t.Fatal(err)
	}
	hot := features.Decision{Fair: true, Delta: 1, MigrationCost: 500, SrcLen: 5, DstNode: 1, PreferredNode: 1}
	if v := p.Decide(&hot); !v.Migrate || v.Logit != 5*features.One {
		t.Errorf("verdict %+v, want migrate with logit 5", v)
	}
	cold := hot
	cold.Delta, cold.PreferredNode = 1000, 0
	if v := p.Decide(&cold); v.Migrate || v.Logit != -features.One {
		t.Errorf("verdict %+v, want stay with logit -1", v)
	}
	e := p.(scheduler.Explainer)
	names, values := e.FeatureNames(), e.Features(&hot, nil)
	got := map[string]int32{}
	for i, name := range names {
		if values[i] != 0 {
			got[name] = values[i]
		}
	}
	want := map[string]int32{
		"delta_hot": features.One, "cpu_not_idle": features.One, "prefer_dst": features.One, "src_len": 3 * features.One,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if n := testing.AllocsPerRun(100, func() { p.Decide(&hot); values = e.Features(&hot, values) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
