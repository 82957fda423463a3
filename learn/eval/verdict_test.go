// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"mllb/learn/dataset"
	"mllb/mlp"
)

// told is a run of n decisions of each label, in which the network is wrong in some of
// each, and a rule in others.
func told(n, wrongStay, wrongMigrate, ruleWrong int) *tally {
	var t tally
	for y, wrong := range [2]int{mlp.Stay: wrongStay, mlp.Migrate: wrongMigrate} {
		t[judgeFixed].N[y][y], t[judgeFixed].N[y][1-y] = n-wrong, wrong
		t[judgeCFS].N[y][y], t[judgeCFS].N[y][1-y] = n-ruleWrong, ruleWrong
		t[judgeAlways].N[y][mlp.Migrate] = n
	}
	return &t
}

// Of runs of one size the jackknife is the t interval of their mean.
func TestInterval(t *testing.T) {
	s := sample{told(100, 10, 10, 0), told(100, 20, 20, 0), told(100, 30, 30, 0)}
	got := s.intervals(numJudges)[judgeFixed]
	half := 4.302653 * 0.1 / math.Sqrt(3) // t of 2 degrees of freedom
	if math.Abs(float64(got.Lo)-(0.8-half)) > 1e-6 || got.Hi != 1 {
		t.Errorf("%v, want %.6f..1", got, 0.8-half)
	}
	for name, s := range map[string]sample{"one run": {told(100, 1, 1, 0)}, "no run": nil} {
		if got := s.intervals(numJudges)[judgeFixed]; got.known() {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name string
		runs sample
		want string
	}{
		{"the same", sample{told(100, 2, 2, 2), told(100, 1, 1, 1)}, "as good as the kernel's rule: the same balanced accuracy in 2 runs"},
		{"near", sample{told(1000, 2, 2, 0), told(1000, 2, 2, 0), told(1000, 3, 3, 0)}, "as good as the kernel's rule within 0.377 points of balanced accuracy: -0.233 (95 %: -0.377..-0.090; 3 runs)"},
		{"worse", sample{told(100, 30, 30, 0), told(100, 31, 31, 0)}, "worse than the kernel's rule by 30.500 points of balanced accuracy (95 %: -36.853..-24.147; 2 runs)"},
		{"better", sample{told(100, 0, 0, 30), told(100, 0, 0, 31)}, "better than the kernel's rule by 30.500 points of balanced accuracy (95 %: +24.147..+36.853; 2 runs)"},
		{"open", sample{told(100, 0, 0, 30), told(100, 30, 30, 0)}, "cannot be told apart from the kernel's rule: 0.000 points of balanced accuracy (95 %: -100.000..+100.000; 2 runs)"},
		{"one run", sample{told(100, 30, 30, 0)}, "worse than the kernel's rule by 30.000 points of balanced accuracy (one run, so no interval)"},
	} {
		if got := newVerdict(tc.runs, nil).Text[0]; !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	good, bad := sample{told(100, 2, 2, 0), told(100, 3, 3, 0)}, sample{told(100, 90, 90, 0), told(100, 91, 91, 0)}
	for want, loads := range map[string]map[string]sample{
		"above always-migrate in accuracy on every load": {"25": good, "50": good},
		"below always-migrate in accuracy on load 25; above always-migrate in accuracy on load 50; not told apart from always-migrate in accuracy on load 100, 200": {
			"25": bad, "50": good, "200": good[:1], "100": {told(100, 0, 0, 0), told(100, 99, 99, 0)}},
	} {
		if got := newVerdict(good, loads).Text[1]; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A terminal gets the verdict first, one table, and no more unless all is asked for.
func TestDrawShort(t *testing.T) {
	path := write(t, dataset.Run{ID: "r", Load: "a load whose name is longer than its column"}, records(300, 1))
	var short, full bytes.Buffer
	r := run(t, Config{}, append([]string{path}, samples...)...)
	if err := r.Draw(&short, false); err != nil {
		t.Fatal(err)
	}
	if err := r.Draw(&full, true); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(full.String(), short.String()) || full.Len() < 2*short.Len() {
		t.Errorf("%d bytes of %d", short.Len(), full.Len())
	}
	if !strings.HasPrefix(short.String(), "verdict  ") || strings.Count(short.String(), "\n\n") != 1 {
		t.Errorf("%s", &short)
	}
	for _, line := range strings.Split(short.String(), "\n") {
		if len(line) > 100 {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
	if all := r.Scores[judgeFixed].Interval; !all.known() || all.Lo > r.Scores[judgeFixed].Balanced || all.Hi < r.Scores[judgeFixed].Balanced {
		t.Errorf("balanced accuracy %v in %v", r.Scores[judgeFixed].Balanced, all)
	}
}
