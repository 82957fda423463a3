// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tool puts a program in a PATH of its own.
func tool(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	return path
}

func TestStressNG(t *testing.T) {
	path := tool(t, "stress-ng", "")
	c, err := Resolve("stress-ng", Options{Threads: 3, Scale: 2})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(c.Argv, " "), path+" --cpu 3 --cpu-ops 15000 --metrics-brief --stdout"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if err := c.Check([]byte("stress-ng: metrc: [1] cpu 15030 0.35\n")); err != nil {
		t.Error(err)
	}
	const out = `stress-ng: info:  [13273] dispatching hogs: 3 cpu
stress-ng: metrc: [13273] stressor       bogo ops real time  usr time  sys time   bogo ops/s     bogo ops/s
stress-ng: metrc: [13273]                           (secs)    (secs)    (secs)   (real time) (usr+sys time)
stress-ng: metrc: [13273] cpu               15000      0.35      0.26      0.01      1132.00        1493.88
stress-ng: info:  [13273] successful run completed in 0.40s
`
	refuse(t, c, out, strings.Replace(out, " 15000 ", " 14999 ", 1), strings.Replace(out, " 15000 ", " 15031 ", 1), strings.Replace(out, "] cpu ", "] gpu ", 1), "")
}

func TestHackbench(t *testing.T) {
	path := tool(t, "hackbench", "")
	c, err := Resolve("hackbench", Options{Threads: 90, Scale: 0.5})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(c.Argv, " "), path+" -T -g 2 -l 2000"; got != want || c.Threads != 80 {
		t.Errorf("%q with %d threads, want %q", got, c.Threads, want)
	}
	refuse(t, c, "Running in threaded mode with 2 groups\nTime: 0.035\n", "Running in threaded mode with 2 groups\n", "SENDER: write (error: Broken pipe)\n", "")

	path = tool(t, "perf", "")
	if c, err = Resolve("hackbench", Options{Threads: 1}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(c.Argv, " "), path+" bench sched messaging -t -g 1 -l 4000"; got != want || c.Threads != 40 {
		t.Errorf("%q with %d threads, want %q", got, c.Threads, want)
	}
	refuse(t, c, "# 4 groups == 160 threads run\n\n     Total time: 0.425 [sec]\n", "# 4 groups == 160 threads run\n", "")
}

func TestSchbench(t *testing.T) {
	const old, last = `Request Latencies percentiles (usec) runtime 1 (s) (9 total samples)
	* 99.0th: 11111      (17 samples)
`, `Wakeup Latencies percentiles (usec) runtime 3 (s) (207 total samples)
	  50.0th: 8          (41 samples)
	* 99.0th: 8976       (18 samples)
Request Latencies percentiles (usec) runtime 3 (s) (207 total samples)
	  90.0th: 38464      (83 samples)
	* 99.0th: 47040      (18 samples)
	  99.9th: 60608      (2 samples)
RPS percentiles (requests) runtime 3 (s) (4 total samples)
	* 50.0th: 56         (1 samples)
average rps: 69.00
`
	tool(t, "schbench", "/bin/cat >&2 <<'E'\n"+old+last+"E\n")
	c, err := Resolve("schbench", Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	out, err := stdout(t, c) // its stderr too
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Score(out); err != nil || got != 47040 || c.Unit != "us" {
		t.Errorf("%v %s, %v", got, c.Unit, err)
	}
	refuse(t, c, old+last, "", strings.ReplaceAll(last, "Request", "Wakeup"), strings.Replace(last, "47040", "many", 1))
	if _, err := Resolve("schbench*2", Options{}); err == nil || errors.As(err, new(*Missing)) {
		t.Errorf("twice the same time: %v", err)
	}
}
