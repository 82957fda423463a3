// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// --prepare runs before each run, and none of its time is the run's.
func TestPrepare(t *testing.T) {
	for _, arm := range []string{"stock", "own"} {
		said := filepath.Join(t.TempDir(), "said")
		x := rig(t, "sh", "-c", "echo run >>"+said)
		x.config.Prepare = "sleep 0.2; echo prepare >>" + said
		for range 2 {
			if rec, err := x.run(t.Context(), slot(arm)); err != nil || rec.Failed != "" || rec.Wall > 0.19 {
				t.Errorf("%s: %v, %q, %v s", arm, err, rec.Failed, rec.Wall)
			}
		}
		if b, err := os.ReadFile(said); err != nil || string(b) != "prepare\nrun\nprepare\nrun\n" {
			t.Errorf("%s: %v, %q", arm, err, b)
		}
	}
}

// What cannot be prepared ends the benchmark before the run.
func TestPrepareFails(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	for prepare, want := range map[string]string{
		"echo no space >&2; exit 3": `--prepare "echo no space >&2; exit 3": exit status 3: no space`,
		"sleep 1000":                `--prepare "sleep 1000": it took longer than 500ms`,
	} {
		x := rig(t, "touch", ran)
		x.config.Prepare, x.Limit = prepare, 500*time.Millisecond
		if rec, err := x.run(t.Context(), slot("stock")); err == nil || err.Error() != want || rec.Failed != "" {
			t.Errorf("%v, %q, want %q", err, rec.Failed, want)
		}
		if _, err := os.Stat(filepath.Join(x.dir, runningFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("running.json is left: %v", err)
		}
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it ran unprepared: %v", err)
	}
}

// A run that fails in warm-up is an error with what it wrote, fit for a terminal.
func TestWarmupFails(t *testing.T) {
	x := rig(t, "sh", "-c", `i=0; while [ $i -lt 30 ]; do echo "line $i"; i=$((i+1)); done >&2; printf 'a\tb \033[2J\n' >&2; exit 7`)
	s := slot("stock")
	s.Round = 0
	_, err := x.run(t.Context(), s)
	var failed *WarmupError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "failed: exit status 7: a") {
		t.Fatal(err)
	}
	if lines := strings.Split(failed.Stderr, "\n"); len(lines) != 21 || lines[0] != "line 11" || lines[19] != "a    b ?[2J" {
		t.Errorf("%q", failed.Stderr)
	}
	if rec, err := x.run(t.Context(), slot("stock")); err != nil || rec.Failed == "" {
		t.Errorf("after warm-up: %v, %+v", err, rec)
	}
}
