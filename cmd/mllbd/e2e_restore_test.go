// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/cgroup"
	"mllb/topology"
)

// testLoad is a load in a cgroup of its own, so that mllbd can come and go.
type testLoad struct {
	dir  string // of the cgroup
	pid  int
	proc *exec.Cmd
	in   io.Closer
}

// startLoad makes a cgroup and starts a load in it. A hierarchy without
// cpuset is chosen, so that the cgroup itself sets nobody's mask.
func startLoad(t *testing.T, name string, args ...string) *testLoad {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("making a cgroup needs root")
	}
	return startLoadIn(t, makeCgroup(t), name, args...)
}

// startLoadIn starts a load in a cgroup, which goes with it.
func startLoadIn(t *testing.T, dir, name string, args ...string) *testLoad {
	t.Helper()
	l := &testLoad{dir: dir}
	l.proc = exec.Command("sh", append([]string{"-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, l.dir, name}, args...)...)
	l.proc.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := l.proc.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.in = in
	out, err := l.proc.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.proc.Stderr = os.Stderr
	if err := l.proc.Start(); err != nil {
		t.Fatal(err)
	}
	l.pid = l.proc.Process.Pid
	t.Cleanup(func() { l.stop(t) })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "started\n" {
		t.Fatalf("the load says %q, %v", line, err)
	}
	return l
}

func makeCgroup(t *testing.T) string {
	mounts, err := cgroup.Mounts("/")
	if err != nil {
		t.Fatal(err)
	}
	for i := range mounts {
		if strings.Contains(strings.Join(mounts[i].Controllers, ","), "cpu") {
			continue
		}
		dir, err := os.MkdirTemp(mounts[i].Point, "mllb-test-")
		if err != nil {
			continue
		}
		return dir
	}
	t.Skip("no cgroup hierarchy that can be written")
	return ""
}

// stop ends everything in the cgroup and removes it.
func (l *testLoad) stop(t *testing.T) {
	_ = l.in.Close()
	_ = syscall.Kill(-l.pid, syscall.SIGKILL)
	for range 100 {
		for _, pid := range l.pids() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err := os.Remove(l.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = l.proc.Wait()
}

func (l *testLoad) pids() (pids []int) {
	b, _ := os.ReadFile(filepath.Join(l.dir, "cgroup.procs"))
	for f := range strings.FieldsSeq(string(b)) {
		if pid, err := strconv.Atoi(f); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// narrowed returns the threads of the load whose mask is not the whole, but
// for those whose owner wanted it so.
func (l *testLoad) narrowed(whole string, wanted map[int]string) (found []string) {
	all := masks(l.pids())
	if len(all) == 0 {
		return []string{"the load has no thread"}
	}
	for tid, mask := range all {
		want := whole
		if w, ok := wanted[tid]; ok {
			want = w
		}
		if mask != want {
			st, _ := readStat(tid)
			found = append(found, fmt.Sprintf("%d (%s, parent %d, state %c): %s, want %s", tid, st.comm, st.ppid, st.state, mask, want))
		}
	}
	return found
}

// waitHeld waits until mllbd holds something of the load.
func (l *testLoad) waitHeld(t *testing.T, whole string, wanted map[int]string) {
	t.Helper()
	eventually(t, "mllbd holds something of the load", func() (bool, any) {
		return len(l.narrowed(whole, wanted)) > 0, "nothing, so nothing is shown"
	})
}

// ownArgs are the flags under which mllbd holds as much of a load as it can.
func (l *testLoad) ownArgs(policy string) []string {
	return []string{"--mode", "own", "--hold", "all", "--policy", policy, "--interval", "10ms", "--cgroup", l.dir}
}

func restore(t *testing.T, state string) string {
	t.Helper()
	out, err := exec.Command("mllbd", "restore", "--state-dir", state).CombinedOutput()
	if err != nil {
		t.Fatalf("mllbd restore: %v\n%s", err, out)
	}
	return string(out)
}

// more marks one more case of a kind.
const more = "..."

// TestEveryEndRestores ends mllbd in each way there is and looks at the masks.
func TestEveryEndRestores(t *testing.T) {
	needCPUs(t, 2)
	l := startLoad(t, "forkload", "2")
	whole := ownMaskText()
	for _, tt := range []struct {
		name string
		end  func(t *testing.T, d *daemonProc)
	}{
		{"SIGTERM", func(t *testing.T, d *daemonProc) { _ = d.Process.Signal(unix.SIGTERM); d.end() }},
		{"SIGINT" + more, func(t *testing.T, d *daemonProc) { _ = d.Process.Signal(unix.SIGINT); d.end() }},
		{"SIGQUIT" + more, func(t *testing.T, d *daemonProc) { _ = d.Process.Signal(unix.SIGQUIT); d.end() }},
		{"two signals", func(t *testing.T, d *daemonProc) {
			_ = d.Process.Signal(unix.SIGINT)
			_ = d.Process.Signal(unix.SIGTERM)
			d.end()
		}},
		{"SIGKILL and restore", func(t *testing.T, d *daemonProc) {
			_ = d.Process.Kill()
			_ = d.Wait()
			restore(t, d.state)
		}},
		{"SIGKILL and a new run", func(t *testing.T, d *daemonProc) {
			_ = d.Process.Kill()
			_ = d.Wait()
			// --policy never in assist holds nothing, so all that it does is heal.
			startDaemon(t, d.state, "--mode", "assist", "--policy", "never", "--duration", "50ms", "--cgroup", l.dir).end()
		}},
	} {
		t.Run(strings.TrimSuffix(tt.name, more), func(t *testing.T) {
			if inGuest && testing.Short() && strings.HasSuffix(tt.name, more) {
				t.Skip("-short, in a guest: another of its kind is enough")
			}
			owned := l.pin(t, 0)
			// Nothing moves: mllbd moving a thread to the very CPU that its owner
			// is about to choose could not be told from the owner's choice.
			d := startDaemon(t, t.TempDir(), l.ownArgs("never")...)
			d.waitJournal()
			l.waitHeld(t, whole, owned)
			l.pinHeld(t, whole, owned)
			tt.end(t, d)
			if bad := l.narrowed(whole, owned); len(bad) > 0 {
				t.Errorf("left narrowed:\n%s\n%s", strings.Join(bad, "\n"), d.stderr.String())
			}
			l.unpin(t, whole, owned)
		})
	}
}

// pin has the owner of one busy process narrow it before mllbd comes.
func (l *testLoad) pin(t *testing.T, cpu int) map[int]string {
	t.Helper()
	for _, pid := range l.pids() {
		if st, err := readStat(pid); err == nil && st.comm == holdee[0] {
			setMask(t, pid, cpu)
			return map[int]string{pid: strconv.Itoa(cpu)}
		}
	}
	t.Fatal("no busy process to pin")
	return nil
}

// pinHeld has the owner of a process that mllbd holds move it to the other CPU,
// which is then what it must have at the end.
func (l *testLoad) pinHeld(t *testing.T, whole string, owned map[int]string) {
	t.Helper()
	for tid, mask := range masks(l.pids()) {
		if _, ours := owned[tid]; ours || mask == whole {
			continue
		}
		if st, err := readStat(tid); err != nil || st.comm != holdee[0] {
			continue
		}
		cpu := 1
		if mask == "1" {
			cpu = 0
		}
		setMask(t, tid, cpu)
		owned[tid] = strconv.Itoa(cpu)
		return
	}
}

// unpin gives the load its masks back between cases.
func (l *testLoad) unpin(t *testing.T, whole string, owned map[int]string) {
	t.Helper()
	cpus, err := topology.ParseCPUList(whole)
	if err != nil {
		t.Fatal(err)
	}
	for pid := range owned {
		setMask(t, pid, slices.Collect(cpus.All())...)
	}
}

func setMask(t *testing.T, pid int, cpus ...int) {
	t.Helper()
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(pid, &set); err != nil {
		t.Fatal(err)
	}
}

// TestKilledAtRandom kills mllbd at random moments, under a load that forks all
// the time, and restores by turns with `mllbd restore` and a new run.
func TestKilledAtRandom(t *testing.T) {
	needCPUs(t, 2)
	rounds := 200
	switch {
	case inGuest && testing.Short():
		rounds = 4
	case inGuest:
		rounds = 8
	case testing.Short():
		rounds = 20
	}
	l := startLoad(t, "forkload", "2")
	whole, state := ownMaskText(), t.TempDir()
	within := 100 // ms: of starting, holding and moving
	if inGuest {
		within = 1000
	}
	random := rand.New(rand.NewPCG(1, 2))
	held := 0
	for round := range rounds {
		d := startDaemon(t, state, l.ownArgs("cfs")...)
		switch round % 5 { // or perhaps before it has begun
		case 1:
			d.waitJournal()
		case 2, 3, 4:
			d.waitHold()
		}
		time.Sleep(time.Duration(random.IntN(within)) * time.Millisecond)
		_ = d.Process.Kill()
		_ = d.Wait()
		if len(l.narrowed(whole, nil)) > 0 {
			held++
		}
		journal, _ := os.ReadFile(filepath.Join(state, "journal"))
		var said string
		if round%2 == 0 {
			said = restore(t, state)
		} else {
			again := startDaemon(t, state, "--mode", "assist", "--policy", "never", "--duration", "1ms", "--cgroup", l.dir)
			again.end()
			said = again.stderr.String()
		}
		if bad := l.narrowed(whole, nil); len(bad) > 0 {
			t.Fatalf("round %d: left narrowed:\n%s\n%s\n%s", round, strings.Join(bad, "\n"), said, journal)
		}
	}
	t.Logf("%d rounds, in %d of them threads were held when mllbd was killed", rounds, held)
	if held < rounds/4 {
		t.Errorf("threads were held in only %d of %d rounds", held, rounds)
	}
}

// waitFile waits for a file to be there, but not for ever.
func waitFile(path string) error {
	for end := time.Now().Add(patience()); ; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil || time.Now().After(end) {
			return err
		}
	}
}

// waitHold waits until mllbd holds a thread, or is about to.
func (d *daemonProc) waitHold() {
	d.t.Helper()
	for end := time.Now().Add(patience()); ; time.Sleep(2 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(d.state, "journal"))
		if bytes.Contains(text, []byte("\nhold ")) {
			return
		}
		if time.Now().After(end) {
			d.t.Fatalf("mllbd holds nothing; its journal: %s", text)
		}
	}
}

// waitJournal waits until mllbd is about to hold threads.
func (d *daemonProc) waitJournal() {
	d.t.Helper()
	if err := waitFile(filepath.Join(d.state, "journal")); err != nil {
		d.t.Fatalf("mllbd has no journal: %v", err)
	}
}
