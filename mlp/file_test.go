// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/features"
)

// small returns the text of a valid model that the rejections start from.
func small(t testing.TB) string {
	set, err := features.Lookup("paper15")
	if err != nil {
		t.Fatal(err)
	}
	m := NewModel(set, 2)
	m.Weights[0][1][3] = 0.25
	m.Biases[1][0] = -7.5
	m.Provenance = Provenance{Source: "a test", Seed: 3, Metrics: map[string]float64{"accuracy": 0.5}}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLoadRejects(t *testing.T) {
	for _, c := range []struct{ name, old, new, want string }{
		{"schema of the future", `"schema": 1`, `"schema": 2`, "schema: 2, want 1"},
		{"no schema", `"schema": 1,`, ``, "schema: missing"},
		{"feature set", `"paper15"`, `"paper16"`, `feature_set: unknown feature set "paper16"`},
		{"feature order", `"src_non_pref_nr","delta_hot"`, `"delta_hot","src_non_pref_nr"`, `features[0]: "delta_hot"`},
		{"feature missing", `,"buddy_hot"`, ``, "features: 14 names"},
		{"layers", `[15, 2, 1]`, `[15, 3, 1]`, "weights[0]: 2 rows, but layers says 3"},
		{"inputs", `[15, 2, 1]`, `[14, 2, 1]`, "layers: [14 2 1], want [15 hidden 1]"},
		{"a layer more", `[15, 2, 1]`, `[15, 2, 1, 1]`, "layers: [15 2 1 1]"},
		{"no hidden layer", `[15, 2, 1]`, `[15, 0, 1]`, "weights[0]: 2 rows"},
		{"number missing", `0.25, `, ``, "weights[0][1]: 14 numbers, want 15"},
		{"row of biases", `[-7.5]`, `[-7.5, 1]`, "biases[1]: 2 numbers, want 1"},
		{"row null", `[-7.5]`, `null`, "biases[1]: 0 numbers, want 1"},
		{"number null", `0.25`, `null`, "weights[0][1][3]: null"},
		{"number text", `0.25`, `"0.25"`, "string into Go struct field file.weights"},
		{"NaN", `0.25`, `NaN`, ": invalid character 'N'"},
		{"infinity", `0.25`, `1e999`, "number 1e999 into Go struct field file.weights"},
		{"over Q21.11", `0.25`, `1048576`, "weights[0][1][3]: 1.048576e+06 does not fit Q21.11"},
		{"bias over Q21.11", `-7.5`, `-1e9`, "biases[1][0]: -1e+09 does not fit Q21.11"},
		{"accumulator", `0, 0.25, 0`, `1048575, 1048575, 1048575`, "weights[0][1]: a sum of 3.145725e+06 could overflow"},
		{"threshold 1", `"threshold": 0.5`, `"threshold": 1`, "threshold: 1 is not"},
		{"threshold 0", `"threshold": 0.5`, `"threshold": 0`, "threshold: 0 is not"},
		{"no threshold", `"threshold": 0.5,`, ``, "threshold: missing"},
		{"unknown field", `"threshold"`, `"treshold"`, `unknown field "treshold"`},
		{"unknown provenance", `"source"`, `"sauce"`, `unknown field "sauce"`},
		{"trailing", "\n}\n", "\n}\n{}", "something after the model"},
		{"cut off", "\n}\n", "", "parse: unexpected EOF"},
		{"empty", "", "", "not a model file: mllb train makes one"},
		{"huge", `"a test"`, `"` + strings.Repeat("x", maxFile) + `"`, "larger than"},
	} {
		text := strings.Replace(small(t), c.old, c.new, 1)
		if c.old == "" {
			text = ""
		} else if text == small(t) {
			t.Errorf("%s: %q is not in the model", c.name, c.old)
		}
		_, err := Load(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := Load(strings.NewReader(small(t))); err != nil {
		t.Errorf("the unchanged model: %v", err)
	}
	if _, err := LoadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file gave no error")
	}
}

func TestValidateRejectsWhatJSONCannotSay(t *testing.T) {
	set, _ := features.Lookup("paper15")
	for name, spoil := range map[string]func(*Model){
		"weights[1][0][1]: NaN":  func(m *Model) { m.Weights[1][0][1] = math.NaN() },
		"biases[0][0]: +Inf":     func(m *Model) { m.Biases[0][0] = math.Inf(1) },
		"threshold: NaN":         func(m *Model) { m.Threshold = math.NaN() },
		"feature_set: missing":   func(m *Model) { m.Set = nil },
		"layers: 0 hidden":       func(m *Model) { m.Weights[0] = nil },
		"layers: 65 hidden":      func(m *Model) { m.Weights[0] = make([][]float64, 65) },
		"weights[1]: 0 rows":     func(m *Model) { m.Weights[1] = nil },
		"biases[0]: 0 numbers":   func(m *Model) { m.Biases[0] = nil },
		"weights[0][1]: 0 numbe": func(m *Model) { m.Weights[0][1] = nil },
	} {
		m := NewModel(set, 2)
		spoil(m)
		if err := m.Save(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want %q", err, name)
		}
	}
}

func TestSaveLoad(t *testing.T) {
	rng := rand.New(rand.NewPCG(8, 9))
	for s := range features.Sets() {
		for _, hidden := range []int{1, 10, 64} {
			m := randomModel(rng, &features.Sets()[s], hidden)
			m.Threshold = 0.375
			m.Provenance = Provenance{Source: "random \"weights\" <&>", Seed: 1 << 63, Metrics: map[string]float64{"loss": 1e-300}}
			var b bytes.Buffer
			if err := m.Save(&b); err != nil {
				t.Fatal(err)
			}
			got, err := Load(&b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(m, got, cmpopts.IgnoreFields(Model{}, "Set")); diff != "" || got.Set != m.Set {
				t.Errorf("%s, %d hidden (-saved +loaded):\n%s", m.Set.Name, hidden, diff)
			}
		}
	}
}

func TestDefault(t *testing.T) {
	m, err := Default()
	if err != nil {
		t.Fatal(err)
	}
	if m.Provenance.Source == "" {
		t.Error("the default model does not say where it comes from")
	}
}

// FuzzLoad holds that whatever loads can be used and saved, and comes back.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(small(f)))
	f.Add(defaultModel)
	f.Add([]byte(`{"schema":1,"feature_set":"paper15","weights":[[null],[[null]]],"biases":[[],[]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		fixed, err := NewFixed(m)
		if err != nil {
			t.Fatal(err)
		}
		v := features.Vector{Bits: math.MaxUint32}
		for i := range v.Ratios {
			v.Ratios[i] = math.MinInt32
		}
		in := make([]int32, len(m.Set.Features))
		m.Set.Unpack(in, &v)
		q, _ := m.Quantise()
		if got, want := fixed.Logit(&v), referenceCase(q, in).Output; got != want {
			t.Fatalf("logit %d, reference %d", got, want)
		}
		var b bytes.Buffer
		if err := m.Save(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(&b); err != nil {
			t.Fatal(fmt.Errorf("saved model: %w", err))
		}
	})
}
