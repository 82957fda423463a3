// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"mllb/internal/number"
	"mllb/mlp"
)

// The area is the chance that a migrate decision has the higher logit, ties
// counting half: by definition, pair by pair.
func TestROC(t *testing.T) {
	few := rapid.SliceOfN(rapid.Int32Range(-5, 5), 1, 30)
	rapid.Check(t, func(t *rapid.T) {
		stay, migrate := few.Draw(t, "stay"), few.Draw(t, "migrate")
		won := 0.0
		for _, a := range migrate {
			for _, b := range stay {
				switch {
				case a > b:
					won++
				case a == b:
					won += 0.5
				}
			}
		}
		want := won / float64(len(stay)*len(migrate))
		area, curve := roc([2][]int32{stay, migrate})
		if math.Abs(float64(area)-want) > 1e-12 {
			t.Fatalf("area %v, want %v", area, want)
		}
		last := Point{1, 1}
		for _, p := range curve {
			if p.FalseMigrate > last.FalseMigrate || p.TrueMigrate > last.TrueMigrate {
				t.Fatalf("the curve goes up from %v to %v", last, p)
			}
			last = p
		}
		// By trapezoids the curve has nearly the same area.
		under := 0.0
		for i := 1; i < len(curve); i++ {
			under += (curve[i-1].FalseMigrate - curve[i].FalseMigrate) * (curve[i-1].TrueMigrate + curve[i].TrueMigrate) / 2
		}
		if math.Abs(under-want) > 2.0/rocPoints {
			t.Fatalf("area of the curve %v, want %v", under, want)
		}
	})
	if area, curve := roc([2][]int32{nil, {1}}); area.Known() || curve != nil {
		t.Errorf("without a stay decision: %v, %v", area, curve)
	}
}

func TestROCHasFewPoints(t *testing.T) {
	var byLabel [2][]float32
	for i := range 100_000 {
		byLabel[i%2] = append(byLabel[i%2], float32(i))
	}
	if _, curve := roc(byLabel); len(curve) > rocPoints+2 || len(curve) < rocPoints/2 {
		t.Errorf("%d points", len(curve))
	}
}

func TestReliability(t *testing.T) {
	r := newReliability()
	logit := func(p float64) float64 { return math.Log(p / (1 - p)) }
	for i := range 10 { // says 80 %, of which 6 of 10 happen
		r.add(logit(0.8), uint8(min(1, i/4)))
	}
	r.add(1000, mlp.Migrate) // sure, and right
	r.add(1000, mlp.Migrate)
	r.add(-1000, mlp.Migrate) // sure, and wrong
	var s Score
	r.into(&s)
	rows := 0
	for _, b := range s.Calibration {
		rows += b.Rows
		switch b.From {
		case 0.75:
			if b.Rows != 10 || math.Abs(float64(b.Predicted)-0.8) > 1e-12 || b.Migrated != 0.6 {
				t.Errorf("%+v", b)
			}
		case 0.999:
			if b.Rows != 2 || b.Predicted != 1 || b.Migrated != 1 {
				t.Errorf("%+v", b)
			}
		case 0:
			if b.Rows != 1 || b.Predicted != 0 || b.Migrated != 1 {
				t.Errorf("%+v", b)
			}
		default:
			if b.Rows != 0 || b.Predicted.Known() || b.Migrated.Known() {
				t.Errorf("%+v", b)
			}
		}
	}
	near := func(what string, got number.Num, want float64) {
		if math.Abs(float64(got)-want) > 1e-9 {
			t.Errorf("%s %v, want %v", what, float64(got), want)
		}
	}
	near("rows", number.Num(rows), 13)
	near("calibration error", s.CalibrationError, (10*0.2+1)/13)
	near("brier", s.Brier, (6*0.04+4*0.64+1)/13)
	near("loss", s.Loss, (-6*math.Log(0.8)-4*math.Log(0.2)+1000)/13)
}

func TestAnswers(t *testing.T) {
	c := mlp.Confusion{N: [2][2]int{{6, 2}, {3, 9}}}
	a := answers("j", &c)
	want := Answers{"j", 0.75, 0.75, PerLabel{6.0 / 9, 0.75}, PerLabel{9.0 / 11, 0.75}, Confusion{6, 2, 3, 9}}
	if a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	c = mlp.Confusion{N: [2][2]int{{0, 0}, {0, 5}}}
	if a = answers("j", &c); a.Accuracy != 1 || a.Balanced.Known() || a.Stay.Recall.Known() || a.Stay.Precision.Known() || a.Migrate.Precision != 1 {
		t.Errorf("one label only: %+v", a)
	}
}

func TestAgreement(t *testing.T) {
	var a agreement
	a.add(1, 0.5, true)
	a.add(2, 4, false)
	if got, want := a.result(), (Agreement{1, 0.5, 2, number.Num(math.Sqrt((0.25 + 4) / 2))}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
