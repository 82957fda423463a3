// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// processGroup is everything that one run started, however it was orphaned: what
// has a variable in its environment and, with cgroup v2, is in a cgroup. It is
// written to running.json while the run is under way, so that even after a SIGKILL
// of everybody the next benchmark can clean up.
type processGroup struct {
	Token  string `json:"token,omitempty"`
	Cgroup string `json:"cgroup,omitempty"`
	// Scratch is the directory of the benchmark's short-lived files.
	Scratch string `json:"scratch,omitempty"`
	// KernelMode is what /sys/kernel/debug/sched/mllb/mode was before the benchmark.
	KernelMode string `json:"kernel_mode,omitempty"`
}

const tokenVar = "MLLB_BENCH_RUN"

func newProcessGroup() processGroup {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return processGroup{Token: hex.EncodeToString(b[:])}
}

func (g *processGroup) env() string { return tokenVar + "=" + g.Token }

// makeCgroup makes a cgroup for the run below this process's, without
// controllers: it changes nothing but that all of it can be killed as one. Where
// that is impossible, there is none.
func (g *processGroup) makeCgroup() {
	own := ownCgroup()
	if own == "" {
		return
	}
	if path := filepath.Join(own, fmt.Sprintf("mllb-bench-%d-%s", os.Getpid(), g.Token)); os.Mkdir(path, 0o755) == nil {
		g.Cgroup = path
	}
}

func (g *processGroup) openCgroup() *os.File {
	if g.Cgroup == "" {
		return nil
	}
	dir, err := os.Open(g.Cgroup)
	if err != nil {
		return nil
	}
	return dir
}

// ownCgroup is the directory of this process in the v2 hierarchy, or "".
func ownCgroup() string {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !ok {
			continue
		}
		for mount := range strings.Lines(string(mounts)) {
			if f := strings.Fields(mount); len(f) > 2 && f[2] == "cgroup2" {
				return filepath.Join(f[1], path)
			}
		}
	}
	return ""
}

// kill ends all of it at once, and the cgroup with it.
func (g *processGroup) kill() error {
	if g.Token == "" {
		return nil
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		if g.Cgroup != "" {
			// Since Linux 5.14; where it is refused, the token finds them.
			_ = os.WriteFile(filepath.Join(g.Cgroup, "cgroup.kill"), []byte("1"), 0)
		}
		left := g.members()
		signalAll(left, unix.SIGKILL)
		err := g.removeCgroup()
		if len(left) == 0 && err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("cannot end processes %v of an earlier run (cgroup: %v)", left, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// removeScratch removes what is surely a benchmark's.
func (g *processGroup) removeScratch() error {
	if dir, name := filepath.Split(g.Scratch); filepath.Clean(dir) != filepath.Clean(os.TempDir()) || !strings.HasPrefix(name, scratchPrefix) {
		return nil
	}
	return os.RemoveAll(g.Scratch)
}

const scratchPrefix = "mllb-bench-"

func (g *processGroup) removeCgroup() error {
	if g.Cgroup == "" {
		return nil
	}
	if err := unix.Rmdir(g.Cgroup); err != nil && err != unix.ENOENT {
		return fmt.Errorf("remove %s: %w", g.Cgroup, err)
	}
	return nil
}

// members are the live processes that carry the token.
func (g *processGroup) members() (pids []int) {
	want := []byte(g.env())
	for _, pid := range processes() {
		if pid == os.Getpid() {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
		if err != nil || !slices.ContainsFunc(bytes.Split(b, []byte{0}), func(v []byte) bool { return bytes.Equal(v, want) }) {
			continue
		}
		if _, alive := parentOf(pid); alive {
			pids = append(pids, pid)
		}
	}
	return pids
}
