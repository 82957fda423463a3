// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"strings"
	"testing"
)

func TestDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		metrics map[string]float64
		want    string
	}{
		"none":             {nil, ""},
		"always migrate":   {map[string]float64{"rows": 1000, "accuracy": 0.99, "majority": 0.99, "balanced": 0.5, "stay_recall": 0, "migrate_recall": 1}, "50.0 %"},
		"by chance":        {map[string]float64{"rows": 150, "accuracy": 0.7, "majority": 0.8, "balanced": 0.53, "stay_recall": 0.2, "migrate_recall": 0.86}, "53.0 %"},
		"the same of many": {map[string]float64{"rows": 150e3, "accuracy": 0.7, "majority": 0.8, "balanced": 0.53, "stay_recall": 0.2, "migrate_recall": 0.86}, ""},
		"good":             {map[string]float64{"rows": 100, "accuracy": 1, "majority": 0.99, "balanced": 1, "stay_recall": 1, "migrate_recall": 1}, ""},
		"one label":        {map[string]float64{"rows": 10, "accuracy": 1, "majority": 1, "migrate_recall": 1}, "only one label"},
		"folds":            {map[string]float64{"cv_folds": 4, "cv_accuracy": 0.99, "cv_balanced": 0.52, "cv_balanced_sd": 0.03}, "52.0 %"},
		"good folds":       {map[string]float64{"cv_folds": 4, "cv_accuracy": 0.99, "cv_balanced": 0.54, "cv_balanced_sd": 0.03}, ""},
	} {
		got := Doubt(c.metrics)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if m.Provenance.Metrics["balanced"] == 0 || Doubt(m.Provenance.Metrics) != "" {
		t.Errorf("the built-in model: %q, %v", Doubt(m.Provenance.Metrics), m.Provenance.Metrics)
	}
}
