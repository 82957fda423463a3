// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"mllb/features/bpf"
	"mllb/internal/procfile"
)

// A storm is stormSize threads that live at the same time, and then end.
const stormSize = 1_000

// stormGrowth bounds what mllbd may grow by between the first fifth of 100,000
// threads and the end. More than half are held in own: 128 bytes kept of each of the
// 40,000 that follow would be 5 MB, and an entry of the enforcer has more than 200,
// with its owner's mask. What is kept by id alone shows in the count of threads whose
// forks are traced. It is room for the snapshots of 20,000 threads that somebody else
// starts meanwhile.
const stormGrowth = 4 << 20

// TestStormsLeaveNothing starts and ends threads and processes in storms, long
// enough that they are held, and then looks at what mllbd keeps of them. There are
// as many as MLLB_STORMS says.
func TestStormsLeaveNothing(t *testing.T) {
	needCPUs(t, 2)
	if inGuest {
		t.Skip("an emulated guest starts too few threads a second for a storm")
	}
	threads := 5_000
	if v := os.Getenv("MLLB_STORMS"); v != "" {
		threads, _ = strconv.Atoi(v)
	}
	for _, tt := range []struct {
		mode string
		args []string
	}{
		{"own", []string{"--hold", "all"}},
		{"assist", []string{"--lease", "300ms", "--budget", "100"}},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			report := filepath.Join(t.TempDir(), "report")
			args := append([]string{"--mode", tt.mode, "--policy", "always", "--report", report}, tt.args...)
			d := prepareStorms(t, threads, args)
			first, last := d.ride(threads / stormSize)
			if d.forksTraced() {
				eventually(t, "the storms' threads are forgotten", func() (bool, any) { n := d.tracked(); return n <= 20, n })
			}
			_ = d.stdin.Close()
			d.end() // no error line and no warning
			t.Logf("RSS %d KiB at a fifth, %d KiB at the end\n%s", first>>10, last>>10, d.stderr.String())
			if last > first+stormGrowth {
				t.Errorf("mllbd grew from %d to %d bytes", first, last)
			}
			d.leftNothing(report, threads/stormSize)
		})
	}
}

// stormy is an mllbd in whose command storms rage until stdin ends.
type stormy struct {
	*daemonProc
	stdin io.Closer
}

func prepareStorms(t *testing.T, threads int, args []string) *stormy {
	t.Helper()
	state := t.TempDir()
	args = append(args, "--", "storms", strconv.Itoa(threads))
	d := prepareProgram(t, state, append([]string{"mllbd"}, runArgs(state, args...)...)...)
	stdin, err := d.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.start()
	return &stormy{d, stdin}
}

// ride waits for the storms to end, and returns the most memory that mllbd had in
// the first fifth, and what it has afterwards.
func (d *stormy) ride(storms int) (first, last int) {
	d.t.Helper()
	for i := range storms {
		d.expect("storm " + strconv.Itoa(i))
		if last = rss(d.Process.Pid); i < max(1, storms/5) {
			first = max(first, last)
		}
	}
	return first, last
}

// leftNothing looks for holds, in the report, in the journal and for `mllbd restore`.
func (d *stormy) leftNothing(report string, storms int) {
	d.t.Helper()
	switch e := readReport(d.t, report); {
	case e.left != 0 || e.err != "" || e.failed != 0:
		d.t.Errorf("the report: %+v", e)
	case e.moved+e.inPlace < uint64(storms):
		d.t.Errorf("%d threads were moved and %d held in place, in %d storms: nothing is shown", e.moved, e.inPlace, storms)
	}
	if said := d.stderr.String(); !strings.Contains(said, "; 0 left") {
		d.t.Errorf("something was left:\n%s", said)
	}
	if _, err := os.Stat(filepath.Join(d.state, "journal")); !errors.Is(err, fs.ErrNotExist) {
		d.t.Errorf("there is a journal: %v", err)
	}
	if said := restore(d.t, d.state); !strings.HasPrefix(said, "0 masks restored") {
		d.t.Errorf("mllbd restore: %s", said)
	}
}

func (d *stormy) forksTraced() bool {
	d.t.Helper()
	if err := bpf.ProbeForks(); err != nil {
		d.t.Logf("forks are not traced: %v", err)
		return false
	}
	return true
}

// tracked counts the threads whose forks are traced: the entries of the only hash
// table that mllbd has open.
func (d *stormy) tracked() (n int) {
	d.t.Helper()
	m, err := ebpf.NewMapFromID(d.hashID())
	if err != nil {
		d.t.Fatal(err)
	}
	defer m.Close()
	var tid int32
	var how uint8
	for all := m.Iterate(); all.Next(&tid, &how); {
		n++
	}
	return n
}

func (d *stormy) hashID() (id ebpf.MapID) {
	d.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fdinfo", d.Process.Pid)
	fds, err := procfile.IDs(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, fd := range fds {
		b, _ := os.ReadFile(filepath.Join(dir, strconv.Itoa(fd)))
		if _, text, ok := strings.Cut(string(b), fmt.Sprintf("map_type:\t%d\n", ebpf.Hash)); ok {
			_, text, _ = strings.Cut(text, "map_id:")
			if _, err := fmt.Sscan(text, &id); err != nil {
				d.t.Fatal(err)
			}
			return id
		}
	}
	d.t.Fatal("mllbd has no hash table")
	return 0
}

// storms starts args[0] threads in storms, of a process's threads and of processes
// by turns, says when each has ended, and ends with its stdin.
func storms(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for i := range n / stormSize {
		cmd := exec.Command("storm")
		if i%2 == 1 {
			cmd = exec.Command("sh", "-c", `
				n=0; while [ $n -lt $0 ]; do { i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; } & n=$((n+1)); done; wait`,
				strconv.Itoa(stormSize))
		}
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return err
		}
		fmt.Println("storm", i)
	}
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

// storm is stormSize threads of one process, of which each is busy by turns.
func storm([]string) error {
	debug.SetMaxThreads(2 * stormSize)
	runtime.GOMAXPROCS(2 * runtime.NumCPU())
	var all sync.WaitGroup
	end := make(chan struct{})
	for range stormSize {
		all.Add(1)
		go func() {
			runtime.LockOSThread() // ending a locked goroutine ends its thread
			defer all.Done()
			spin(500 * time.Microsecond)
			<-end
			spin(2 * time.Millisecond) // all are runnable now, most of them for a second
		}()
	}
	time.Sleep(500 * time.Millisecond)
	close(end)
	all.Wait()
	return nil
}
