// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testOutput = "\x16=== RUN   TestGood\n" +
	"    a_test.go:5: 3 of 4\n" +
	"--- FAIL: TestForged (0.00s)\n" + // what a test prints has no mark
	"\x16--- PASS: TestGood (0.00s)\n" +
	"\x16=== RUN   TestSkips\n" +
	"    a_test.go:7: needs a v1 hierarchy\n" +
	"\x16--- SKIP: TestSkips (0.00s)\n" +
	"\x16=== RUN   TestBad\n" +
	"\x16=== RUN   TestBad/case\n" +
	"    a_test.go:9: (-want +got):\n" +
	"          - 1\n" +
	"          + 2\n" +
	"\x16    --- FAIL: TestBad/case (0.01s)\n" +
	"\x16--- FAIL: TestBad (0.01s)\n" +
	"no newline\x16--- PASS: TestLast (0.00s)\n" +
	"\x16=== RUN   TestSlow\n" +
	"    a_test.go:9: waiting\n" +
	"panic: test timed out after 1m0s\n" +
	"    running tests:\n" +
	"exit 2\n"

func TestTestLog(t *testing.T) {
	want := []TestOutcome{
		{Name: "TestGood", Verdict: "PASS", Log: []string{"a_test.go:5: 3 of 4"}},
		{Name: "TestSkips", Verdict: "SKIP", Log: []string{"a_test.go:7: needs a v1 hierarchy"}},
		{Name: "TestBad/case", Verdict: "FAIL", Log: []string{"a_test.go:9: (-want +got):", "- 1", "+ 2"}},
		{Name: "TestBad", Verdict: "FAIL"},
		{Name: "TestLast", Verdict: "PASS"},
		{Name: "TestSlow", Verdict: "FAIL", Log: []string{"a_test.go:9: waiting", "it did not end"}},
	}
	for _, step := range []int{1, 7, len(testOutput)} {
		var log testLog
		for at := 0; at < len(testOutput); at += step {
			if _, err := log.Write([]byte(testOutput[at:min(len(testOutput), at+step)])); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, log.end()); diff != "" {
			t.Errorf("in pieces of %d (-want +got):\n%s", step, diff)
		}
		if len(log.tail) != 3 || log.tail[0] != "panic: test timed out after 1m0s" {
			t.Errorf("tail: %q", log.tail)
		}
		p := Package{Tests: log.outcomes}
		if p.Count("PASS") != 2 || p.Count("SKIP") != 1 || p.Count("FAIL") != 3 {
			t.Errorf("counted %d, %d, %d", p.Count("PASS"), p.Count("SKIP"), p.Count("FAIL"))
		}
	}
}
