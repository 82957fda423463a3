// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"strings"
	"testing"

	"mllb/lab"
)

// TestLabSummary: a flaky test is printed by name and counted, and fails
// nothing; a failed one does, and so does a kernel on which nothing passed.
func TestLabSummary(t *testing.T) {
	outcome := func(name, verdict string) lab.TestOutcome { return lab.TestOutcome{Name: name, Verdict: verdict} }
	good := lab.Package{Kernel: "k", Package: "p", Retries: 1, Tests: []lab.TestOutcome{
		outcome("TestA", "PASS"), {Name: "TestB", Verdict: "FLAKY", Log: []string{"starved"}}}}
	bad := lab.Package{Kernel: "k", Package: "q", Err: &lab.ExitError{Status: 1},
		Tests: []lab.TestOutcome{outcome("TestA", "PASS"), outcome("TestC", "FAIL")}}
	none := lab.Package{Kernel: "k", Package: "r", Tests: []lab.TestOutcome{outcome("TestA", "SKIP")}}
	good.Tests[0].Log = []string{"1 of 1"}
	for _, tt := range []struct {
		name    string
		all     []lab.Package
		verbose bool
		fail    bool
		want    []string
	}{
		{"verbose", []lab.Package{good}, true, false, []string{"PASS TestA\n          1 of 1\n"}},
		{"flaky", []lab.Package{good}, false, false, []string{"ok   k p: 1 passed, 0 skipped, 0 failed (0 s), 1 flaky, repeated 1 time",
			"FLAKY TestB (failed, but passed when repeated)", "starved", "k: 1 passed, 0 skipped, 0 failed, 1 flaky;"}},
		{"failed", []lab.Package{good, bad}, false, true, []string{"FAIL k q: 1 passed, 0 skipped, 1 failed", "FAIL TestC", "k: 2 passed, 0 skipped, 1 failed, 1 flaky;"}},
		{"nothing passed", []lab.Package{none}, false, true, []string{"ok   k r:", "k: 0 passed, 1 skipped, 0 failed, 0 flaky;"}},
	} {
		var out strings.Builder
		c := labTestCmd{Verbose: tt.verbose}
		for _, p := range tt.all {
			c.report(&out, p)
		}
		err := summary(&out, []lab.Kernel{{Release: "k"}}, tt.all)
		if got := errors.Is(err, errTestsFailed); got != tt.fail {
			t.Errorf("%s: %v", tt.name, err)
		}
		if strings.Contains(out.String(), "1 of 1") != tt.verbose {
			t.Errorf("%s: what a test that passed logged:\n%s", tt.name, out.String())
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: no %q in\n%s", tt.name, want, out.String())
			}
		}
	}
}
