// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

// TestOutcome is the verdict on one test or subtest.
type TestOutcome struct {
	Name    string   // TestX/case
	Verdict string   // PASS, SKIP, FAIL or FLAKY
	Log     []string // the last lines it logged; FLAKY: when it failed
}

// Verdicts: those of package testing, and that of a test which failed and
// passed when it was run again.
const (
	testPass  = "PASS"
	testSkip  = "SKIP"
	testFail  = "FAIL"
	testFlaky = "FLAKY"
)

// testLog takes the output of a test binary that runs with
// -test.v=test2json: there every line of the framework is marked with ^V, so
// that what a test prints cannot be mistaken for a verdict
// (testing.markFraming).
type testLog struct {
	outcomes []TestOutcome
	part     []byte
	open     []string // tests that began and have no verdict
	log      []string // what t.Log printed since the last verdict
	tail     []string // the last lines, or the first from a panic on
	panicked bool
}

var (
	verdictLine = regexp.MustCompile(`\x16 *--- (PASS|SKIP|FAIL): (\S+)`)
	runLine     = regexp.MustCompile(`\x16=== RUN +(\S+)`)
	panicLine   = regexp.MustCompile(`^(panic|fatal error): `)
	logLine     = regexp.MustCompile(`^ {4,}(\S.*)`) // t.Log indents, by 8 from its second line on
)

const (
	testTail  = 60 // lines kept of a package
	testPanic = 12 // of which from a panic on
	testLogs  = 24 // lines kept of a test
	testLine  = 4096
)

func (t *testLog) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		t.part = append(t.part, line[:min(len(line), max(0, testLine-len(t.part)))]...)
		if !whole {
			return n, nil
		}
		t.line(string(t.part))
		t.part, p = t.part[:0], rest
	}
}

func (t *testLog) line(s string) {
	clean := strings.ReplaceAll(s, "\x16", "")
	if !t.panicked && panicLine.MatchString(clean) {
		t.panicked, t.tail = true, nil
	}
	if !t.panicked || len(t.tail) < testPanic {
		t.tail = keepLast(t.tail, clean, testTail)
	}
	if m := runLine.FindStringSubmatch(s); m != nil {
		t.open = append(t.open, m[1])
	} else if m := verdictLine.FindStringSubmatch(s); m != nil {
		t.verdict(m[1], m[2])
	} else if m := logLine.FindStringSubmatch(clean); m != nil && !t.panicked {
		t.log = keepLast(t.log, m[1], testLogs)
	}
}

func (t *testLog) verdict(verdict, name string) {
	t.outcomes, t.log = append(t.outcomes, TestOutcome{Verdict: verdict, Name: name, Log: t.log}), nil
	t.open = slices.DeleteFunc(t.open, func(s string) bool { return s == name })
}

// end counts tests without a verdict as failed: the binary was killed, or one
// of them panicked or ran out of time.
func (t *testLog) end() []TestOutcome {
	for _, name := range slices.Clone(t.open) {
		t.log = keepLast(t.log, "it did not end", testLogs)
		t.verdict(testFail, name)
	}
	return t.outcomes
}

func keepLast(lines []string, line string, n int) []string {
	if lines = append(lines, line); len(lines) > n {
		lines = lines[1:]
	}
	return lines
}
