// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func testSession(t *testing.T) *session {
	cfg := Config{Dir: t.TempDir(), Version: "v1", Out: io.Discard, Scale: Quick}
	return &session{cfg: cfg, progress: newProgress(io.Discard, steps[:])}
}

// TestOnce does a step, does it not again, and does it again for other
// parameters, without an end of the first result.
func TestOnce(t *testing.T) {
	s := testSession(t)
	calls := 0
	step := func(key string, usable func([]string) bool) ([]string, error) {
		return once(s, "x", key, usable, func() ([]string, error) {
			calls++
			return []string{key, "done"}, nil
		})
	}
	for i, c := range []struct {
		key    string
		usable func([]string) bool
		calls  int
	}{
		{"full", nil, 1}, {"full", nil, 1}, {"quick", nil, 2}, {"full", nil, 2}, {"quick", nil, 2},
		{"full", func(r []string) bool { return r[0] == "full" }, 2},
		{"full", func([]string) bool { return false }, 3}, // what it names is gone
	} {
		got, err := step(c.key, c.usable)
		if err != nil || len(got) != 2 || got[0] != c.key || calls != c.calls {
			t.Fatalf("call %d: %q, %v after %d calls, want %q after %d", i, got, err, calls, c.key, c.calls)
		}
	}
	var skipped []bool
	for _, x := range s.times {
		skipped = append(skipped, x.Skipped)
	}
	if want := []bool{false, true, false, true, true, true, false}; !equal(skipped, want) {
		t.Errorf("skipped %v, want %v", skipped, want)
	}
}

func equal[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// TestOnceFails leaves nothing behind that a later call would take for a result.
func TestOnceFails(t *testing.T) {
	s := testSession(t)
	boom := errors.New("boom")
	if _, err := once(s, "x", 1, nil, func() (int, error) { return 0, boom }); !errors.Is(err, boom) {
		t.Fatalf("error %v", err)
	}
	if got, err := once(s, "x", 1, nil, func() (int, error) { return 7, nil }); got != 7 || err != nil {
		t.Fatalf("%d, %v after a failure", got, err)
	}
	files, _ := filepath.Glob(filepath.Join(s.cfg.Dir, "results", "*"))
	if len(files) != 1 {
		t.Fatalf("files %q", files)
	}
	for text, want := range map[string]string{
		"{":                         "remove it to repeat the step",
		`{"key": 2, "result": 3}`:   "made with different parameters: 2",
		`{"key": 1, "result": "x"}`: "result: json",
	} {
		if err := os.WriteFile(files[0], []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := once(s, "x", 1, nil, func() (int, error) { t.Error("done again"); return 0, nil })
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), files[0]) {
			t.Errorf("%s: error %v, want %q and the file", text, err, want)
		}
	}
}
