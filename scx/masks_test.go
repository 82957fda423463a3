// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/procfile"
	"mllb/topology"
)

// drawMask draws some of the CPUs, at least one.
func drawMask(rng *rand.Rand) (mask unix.CPUSet, list string) {
	var cpus topology.CPUSet
	for n := 1 + rng.IntN(runtime.NumCPU()); n > 0; n-- {
		cpu := rng.IntN(runtime.NumCPU())
		mask.Set(cpu)
		cpus.Add(cpu)
	}
	return mask, cpus.String()
}

// runsWithin looks at a busy thread for a while: it goes on, has this mask, and is on
// no CPU outside of it. One that sleeps is still where it went to sleep.
func runsWithin(t *testing.T, pid int, list string, allowed *unix.CPUSet) {
	t.Helper()
	first := stat(t, pid)
	for range 10 {
		time.Sleep(20 * time.Millisecond)
		if st := stat(t, pid); st.State == 'R' && !allowed.IsSet(int(st.CPU)) {
			t.Errorf("%d is on CPU %d, its mask is %s", pid, st.CPU, list)
		}
	}
	if got := maskOf(t, pid); got != list {
		t.Errorf("%d has the mask %s, want %s", pid, got, list)
	}
	for end := time.Now().Add(10 * time.Second); stat(t, pid).UTime == first.UTime; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d does not go on, with the mask %s", pid, list)
		}
	}
}

func stat(t *testing.T, pid int) procfile.Stat {
	t.Helper()
	st, err := procfile.ReadStat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestMasks: threads whose masks change again and again run where they may, whether all
// are the scheduler's or those that ask.
func TestMasks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		partial bool
		env     string
	}{{"whole", false, "MLLB_SCX_ASK="}, {"partial", true, "MLLB_SCX_ASK=1"}} {
		t.Run(tt.name, func(t *testing.T) {
			s := load(t, Config{Policy: "always", Partial: tt.partial})
			hogs := startHogs(t, 2*runtime.NumCPU(), time.Hour, tt.env)
			defer kill(hogs)
			rng := rand.New(rand.NewPCG(5, 6))
			for i := range rounds(40) {
				pid := hogs[i%len(hogs)].Process.Pid
				mask, list := drawMask(rng)
				if err := unix.SchedSetaffinity(pid, &mask); err != nil {
					t.Fatal(err)
				}
				runsWithin(t, pid, list, &mask)
			}
			checkPulls(t, s)
		})
	}
}

// TestCpusets: the CPUs of a cgroup change again and again under load.
func TestCpusets(t *testing.T) {
	needSchedExt(t)
	root := "/sys/fs/cgroup"
	if err := os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+cpuset"), 0); err != nil {
		t.Skipf("no cpuset controller: %v", err)
	}
	s := load(t, Config{Policy: "always"})
	dir := filepath.Join(root, "mllb-scx-cpuset")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	hogs := startHogs(t, 2*runtime.NumCPU(), time.Hour)
	defer func() {
		kill(hogs)
		_ = os.Remove(dir)
	}()
	for _, h := range hogs[:len(hogs)/2] {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Appendln(nil, h.Process.Pid), 0); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(7, 8))
	for i := range rounds(40) {
		mask, list := drawMask(rng)
		if err := os.WriteFile(filepath.Join(dir, "cpuset.cpus"), []byte(list), 0); err != nil {
			t.Fatal(err)
		}
		runsWithin(t, hogs[i%(len(hogs)/2)].Process.Pid, list, &mask)
	}
	checkPulls(t, s)
}

func rounds(n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

func kill(hogs []*hog) {
	for _, h := range hogs {
		_ = h.Process.Kill()
		_ = h.Wait()
	}
}

// checkPulls: the scheduler goes on, and has pulled threads.
func checkPulls(t *testing.T, s *Scheduler) {
	t.Helper()
	c, err := s.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if e := s.Ended(); e != nil {
		t.Fatal(e)
	}
	t.Logf("pulled by level %v", c.Pulled)
	if runtime.NumCPU() > 1 && c.Pulled == [topology.NumLevels]uint64{} {
		t.Error("nothing was pulled")
	}
}
