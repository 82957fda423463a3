// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"mllb/dataset"
	"mllb/features/trace"
)

// restless is args[0] threads that compute in bursts of different lengths, so
// that queues grow, run empty and are balanced. It ends when it is killed.
func restless(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(n)
	for i := range n {
		go func() {
			runtime.LockOSThread()
			for k := 0; ; k++ {
				spin(time.Duration(1+(i*7+k*13)%10) * time.Millisecond)
				time.Sleep(time.Duration((i+k)%16) * time.Millisecond)
			}
		}()
	}
	select {}
}

// startCollect starts `mllbd collect`.
func startCollect(t *testing.T, args ...string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd, out := exec.Command("mllbd", append([]string{"collect"}, args...)...), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, out
}

// segments lists what a collection has on disk: complete segments, and those
// being written.
func segments(t *testing.T, path string) (whole, open []string) {
	t.Helper()
	entries, err := os.ReadDir(path + ".parts")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".parquet" {
			whole = append(whole, e.Name())
		} else {
			open = append(open, e.Name())
		}
	}
	return whole, open
}

// TestCollectKilled kills a collection under load: it is healed with all of
// its segments but the one that was being written, and the next one works,
// although the first has left the kernel's schedstats on.
func TestCollectKilled(t *testing.T) {
	needGuest(t)
	tracer, err := trace.Open(trace.Options{})
	if err != nil {
		t.Skipf("not traced here: %v", err)
	}
	tracer.Close()
	const schedstats = "/proc/sys/kernel/sched_schedstats"
	was, err := os.ReadFile(schedstats)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(schedstats, was, 0) })
	if err := os.WriteFile(schedstats, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "killed.parquet")
	first, said := startCollect(t, "--out", path, "--all-domains", "--label", "first")
	eventually(t, "collect has begun", func() (bool, any) { whole, _ := segments(t, path); return len(whole) > 0, said.String() })
	load := exec.Command("restless", strconv.Itoa(runtime.NumCPU()))
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = load.Process.Kill(); _ = load.Wait() })
	want := 3 // the first has no rows
	if testing.Short() {
		want = 2
	}
	eventually(t, "segments, and one being written, to be lost", func() (bool, any) {
		whole, open := segments(t, path)
		return len(whole) >= want && len(open) > 0, whole
	})
	_ = first.Process.Kill()
	_ = first.Wait()
	whole, open := segments(t, path)
	again, saidAgain := startCollect(t, "--out", path)
	if err := again.Wait(); err == nil || !strings.Contains(saidAgain.String(), "mllb dataset info --repair "+path) {
		t.Errorf("collect over an unfinished file: %v, %s", err, saidAgain)
	}
	healed, err := dataset.Repair(path)
	if err != nil {
		t.Fatal(err)
	}
	n, run := rows(t, path)
	t.Logf("killed with %v and %v; healed: %+v", whole, open, healed)
	if healed.Segments != len(whole) || healed.Torn != 0 || len(open) > 1 || n == 0 || healed.Rows != int64(n) {
		t.Errorf("%d rows; of %v and %v: %+v", n, whole, open, healed)
	}
	if !run.CutShort || run.Tag != "first" {
		t.Errorf("%+v", run)
	}
	if left, err := os.ReadFile(schedstats); err != nil || strings.TrimSpace(string(left)) != "1" {
		t.Errorf("schedstats are %q, %v: collect --help says that they stay on", left, err)
	}
	checkNext(t, filepath.Join(filepath.Dir(path), "next.parquet"))
}

// checkNext collects to the end.
func checkNext(t *testing.T, path string) {
	t.Helper()
	next, said := startCollect(t, "--out", path, "--all-domains", "--records", "1", "--label", "next")
	if err := next.Wait(); err != nil {
		t.Fatalf("the next collect: %v\n%s", err, said)
	}
	if n, run := rows(t, path); n == 0 || run.CutShort || run.Counters.Records != uint64(n) {
		t.Errorf("the next collect: %d rows, %+v\n%s", n, run, said)
	}
}
