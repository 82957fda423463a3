// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
)

// Emulated guests get starved by what else their host does, and a test that
// waits for another process may then give up. So what did not pass is run
// again in a fresh guest, and a test that passes there is FLAKY: said by name,
// and no failure. The rest stays as hard as it was: a guest that died, a
// status without a failed test, and a test that did not pass at the second try
// fail the package.

// errNotProved is a failed test that was not seen to pass later, although the
// guest that ran it again was content.
var errNotProved = errors.New("tests failed, and were skipped or missing when repeated")

// worthARetry: tests failed, and the test binary said so by its exit status.
func (p Package) worthARetry() bool {
	var failed *ExitError
	return p.Count(testFail) > 0 && errors.As(p.Err, &failed)
}

// again runs what has not passed or been skipped, also what a panic kept from
// running, in a fresh guest.
func (s Suite) again(ctx context.Context, cfg Config, file io.Writer, before Package) (Package, error) {
	if skip := settledTests(before.Tests); skip != "" {
		cfg.Args = append(slices.Clip(cfg.Args), "-test.skip="+skip)
	}
	p, err := s.try(ctx, cfg, file)
	p.Tests = merge(before.Tests, p.Tests)
	p.Retries, p.Died, p.Stalls = before.Retries+1, before.Died+p.Died, before.Stalls+p.Stalls
	if err == nil && p.Err == nil && p.Count(testFail) > 0 {
		p.Err = errNotProved
	}
	return p, err
}

// settledTests matches the top-level tests that need no further try.
func settledTests(tests []TestOutcome) string {
	var names []string
	for _, t := range tests {
		if t.Verdict != testFail && !strings.Contains(t.Name, "/") {
			names = append(names, regexp.QuoteMeta(t.Name))
		}
	}
	if names == nil {
		return ""
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// merge puts the outcomes of a later run in the place of the failed tests. Each
// test and subtest that failed must pass by name, else it stays failed.
func merge(before, after []TestOutcome) []TestOutcome {
	later := make(map[string]TestOutcome, len(after))
	for _, t := range after {
		later[t.Name] = t
	}
	rerun := make(map[string]bool)
	for _, t := range before {
		if t.Verdict == testFail {
			rerun[topLevel(t.Name)] = true
		}
	}
	var all []TestOutcome
	for _, t := range before {
		now, again := later[t.Name]
		switch {
		case t.Verdict == testFail && again && now.Verdict == testPass:
			t.Verdict = testFlaky
		case t.Verdict == testFail && again && now.Verdict == testFail:
			t = now
		case t.Verdict == testFail: // skipped or missing: it stays failed
		case again && rerun[topLevel(t.Name)]: // a subtest of a failed test
			t = now
		}
		all = append(all, t)
		delete(later, t.Name)
	}
	for _, t := range after {
		if _, is := later[t.Name]; is {
			all = append(all, t)
		}
	}
	return all
}

func topLevel(name string) string {
	top, _, _ := strings.Cut(name, "/")
	return top
}
