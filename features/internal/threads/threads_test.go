// SPDX-License-Identifier: Apache-2.0

package threads

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { Main(m) }

func TestSleep(t *testing.T) {
	g := Sleep(t, 50)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", g.PID))
	if err != nil {
		t.Fatal(err)
	}
	if len(g.TIDs) != 50 || len(tasks) < 50 {
		t.Errorf("asked for 50 threads: %d reported, %d in /proc", len(g.TIDs), len(tasks))
	}
	for _, tid := range g.TIDs {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/stat", g.PID, tid))
		if err != nil || !strings.Contains(string(line), ") S ") {
			t.Errorf("thread %d does not sleep: %q, %v", tid, line, err)
		}
	}
	g.Stop()
	if err := unix.Kill(g.PID, 0); err != unix.ESRCH {
		t.Errorf("after Stop: kill(%d, 0) = %v, want ESRCH", g.PID, err)
	}
}

func TestSpin(t *testing.T) {
	g := Spin(t, 3, 0)
	for _, tid := range g.TIDs {
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &set); err != nil {
			t.Fatal(err)
		}
		if set.Count() != 1 || !set.IsSet(0) {
			t.Errorf("thread %d is not pinned to cpu 0", tid)
		}
	}
	if len(g.TIDs) != 3 {
		t.Errorf("%d threads, want 3", len(g.TIDs))
	}
}
