// SPDX-License-Identifier: Apache-2.0

package collect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mllb/features/trace"
	"mllb/learn/dataset"
)

var inGuest = os.Getenv("MLLB_LAB") == "1"

// TestMain makes the test binary two programs that tests start and kill.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"collect": collectProgram, "restless": restless})
}

// collectProgram collects until it is killed, or has a usable record if it is given the label "next".
func collectProgram() {
	o := Options{Out: os.Args[1], Trace: trace.Options{AllDomains: true}, CreatedBy: "test", Run: dataset.Run{Tag: os.Args[2]}}
	if os.Args[2] == "next" {
		o.Records = 1
	}
	if err := Run(context.Background(), o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// restless is threads that compute in bursts of different lengths, so that queues
// grow, run empty and are balanced. It ends when it is killed.
func restless() {
	n := runtime.NumCPU()
	runtime.GOMAXPROCS(n)
	for i := range n {
		go func() {
			runtime.LockOSThread()
			for k := 0; ; k++ {
				for end := time.Now().Add(time.Duration(1+(i*7+k*13)%10) * time.Millisecond); time.Now().Before(end); {
				}
				time.Sleep(time.Duration((i+k)%16) * time.Millisecond)
			}
		}()
	}
	select {}
}

// eventually asks until the answer is yes, or fails with what was last said.
func eventually(t *testing.T, what string, ok func() (bool, any)) {
	t.Helper()
	var last any
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var yes bool
		if yes, last = ok(); yes {
			return
		}
	}
	t.Fatalf("%s: not in time; last: %v", what, last)
}

// start starts collectProgram.
func start(t *testing.T, path, label string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	cmd, out := exec.Command("collect", path, label), &bytes.Buffer{}
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

// TestCollectKilled kills a collection under load: it is repaired with all of
// its segments but the one that was being written, and the next one works,
// although the first has left the kernel's schedstats on.
func TestCollectKilled(t *testing.T) {
	if !inGuest {
		t.Skip("changes the machine as a whole, so it needs a guest: mllb lab test learn/collect")
	}
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
	first, said := start(t, path, "first")
	eventually(t, "collect has begun", func() (bool, any) { whole, _ := segments(t, path); return len(whole) > 0, said.String() })
	load := exec.Command("restless")
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = load.Process.Kill(); _ = load.Wait() })
	want := 3 // the first has no rows
	if testing.Short() {
		want = 2
	}
	eventually(t, "segments, and one being written, to be lost", func() (bool, any) {
		whole, _ := segments(t, path) // the one being written has no name (O_TMPFILE)
		return len(whole) >= want, whole
	})
	_ = first.Process.Kill()
	_ = first.Wait()
	whole, open := segments(t, path)
	again, saidAgain := start(t, path, "again")
	if err := again.Wait(); err == nil || !strings.Contains(saidAgain.String(), "mllb dataset info --repair "+path) {
		t.Errorf("collect over an unfinished file: %v, %s", err, saidAgain)
	}
	repaired, err := dataset.Repair(path)
	if err != nil {
		t.Fatal(err)
	}
	n, run := rows(t, path)
	t.Logf("killed with %v and %v; repaired: %+v", whole, open, repaired)
	if repaired.Segments != len(whole) || repaired.Torn != 0 || len(open) > 1 || n == 0 || repaired.Rows != int64(n) {
		t.Errorf("%d rows; of %v and %v: %+v", n, whole, open, repaired)
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
	next, said := start(t, path, "next")
	if err := next.Wait(); err != nil {
		t.Fatalf("the next collect: %v\n%s", err, said)
	}
	if n, run := rows(t, path); n == 0 || run.CutShort || run.Counters.Records != uint64(n) {
		t.Errorf("the next collect: %d rows, %+v\n%s", n, run, said)
	}
}
