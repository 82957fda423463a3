// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	prom "github.com/prometheus/procfs"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/internal/threads"
	"mllb/internal/cgroup"
	"mllb/topology"
)

func TestMain(m *testing.M) { threads.Main(m) }

func inodeOf(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func comm(name string) (c [16]byte) {
	copy(c[:], name)
	return c
}

// find returns thread tid of s.
func find(t *testing.T, s *features.Snapshot, tid int) *features.Thread {
	t.Helper()
	for i := range s.Threads {
		if s.Threads[i].TID == int32(tid) {
			return &s.Threads[i]
		}
	}
	t.Fatalf("thread %d is not in the snapshot", tid)
	return nil
}

// fixture is what testdata/host says: 4 CPUs on 2 nodes, of which CPU 3 is
// offline; two threads whose files are malformed and a process that ended.
func fixture(t *testing.T, root string) []features.Thread {
	cg := root + "/sys/fs/cgroup"
	return []features.Thread{
		{
			ID: features.ID{TID: 1, Start: 24}, TGID: 1, Session: 1, Comm: comm("init"),
			Cgroup: inodeOf(t, cg+"/init.scope"), State: 'S', Flags: 4194560, Runtime: 33_000_000,
			Delta: 151_729_070_897 - 150_000_000_001, PreferredNode: features.NoNode, Faults: -1, Hold: -1,
		},
		{
			ID: features.ID{TID: 12, Start: 31}, TGID: 12, PPID: 2, Comm: comm("kworker/2:1"),
			Cgroup: inodeOf(t, cg), CPU: 2, State: 'I', Flags: 0x4208060, Nice: -20, Allowed: 1, Owner: 1,
			Load: 88761, Runtime: 5_000_000, Delta: 151_729_200_000,
			PreferredNode: features.NoNode, Faults: -1, Hold: -1,
		},
		{
			ID: features.ID{TID: 100, Start: 5000}, TGID: 100, PPID: 1, Session: 100, Comm: comm("a) b (c\nd"),
			Cgroup: inodeOf(t, cg+"/app"), CPU: 1, State: 'R', Running: true, Flags: 4194304,
			NUMAType: features.HasFaults | features.HasGroup, Load: 1024, Runnable: 1000, Runtime: 900_000_007,
			Delta: 29_100_000, PreferredNode: 0, Faults: 0, Hold: -1,
		},
		{ // it ran after the clock of its CPU was read
			ID: features.ID{TID: 101, Start: 5001}, TGID: 100, PPID: 1, Session: 100, Comm: comm("worker"),
			Cgroup: inodeOf(t, cg+"/app/sub"), CPU: 2, State: 'R', Running: true, Policy: features.SchedBatch,
			Flags: 4194368, Nice: 5, NUMAType: features.HasFaults, Allowed: 2, Owner: 2,
			Load: 335, Runnable: 1020, Runtime: 800_000_000, PreferredNode: 0, Faults: 0, Hold: -1,
		},
	}
}

var byTID = cmpopts.SortSlices(func(a, b features.Thread) bool { return a.TID < b.TID })

func TestSnapshot(t *testing.T) {
	r, err := Open(Options{Root: "testdata/host"})
	if err != nil {
		t.Fatal(err)
	}
	s := &features.Snapshot{}
	for _, mask := range []topology.CPUSet{topology.NewCPUSet(0, 1, 2, 3), topology.NewCPUSet(2), topology.NewCPUSet(2, 3)} {
		s.Mask(mask) // so that the indices do not depend on the order of a directory
	}
	for range 2 { // the second into the memory of the first
		if err := r.Snapshot(s); err != nil {
			t.Fatal(err)
		}
	}
	wantFaults := map[int32]features.NodeFaults{
		100: {Task: []uint64{40, 20}, Group: []uint64{305, 40}, TaskTotal: 60, GroupTotal: 345},
		101: {Task: []uint64{3, 0}, TaskTotal: 3},
	}
	faults := map[int32]features.NodeFaults{}
	for i := range s.Threads {
		t := &s.Threads[i]
		if t.Faults >= 0 {
			faults[t.TID] = s.Faults[t.Faults]
			t.Faults = 0 // the directory's order decides which is first
		}
	}
	if diff := cmp.Diff(wantFaults, faults, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(fixture(t, "testdata/host"), s.Threads, byTID); diff != "" {
		t.Errorf("threads (-want +got):\n%s", diff)
	}
	wantQueues := []features.Runqueue{
		{Online: true, Clock: 151_729_070_897},
		{Online: true, NrRunning: 2, NrQueued: 2, NrPreferredRunning: 1, NrNUMARunning: 1, LoadAvg: 1984, Clock: 151_729_100_000},
		{Online: true, NrRunning: 1, NrQueued: 1, NrNUMARunning: 1, LoadAvg: 335, Clock: 151_729_200_000},
		{}, // possible, not online
	}
	if diff := cmp.Diff(wantQueues, s.Runqueues); diff != "" {
		t.Errorf("runqueues (-want +got):\n%s", diff)
	}
	if !s.NUMABalancing || s.MigrationCost != 400_000 || s.Time <= 0 || len(r.Missing()) != 0 {
		t.Errorf("NUMA balancing %v, migration cost %d, time %d, missing %q",
			s.NUMABalancing, s.MigrationCost, s.Time, r.Missing())
	}
	// Two malformed threads and one that is gone, twice each.
	if r.Errors() != 4 || r.Vanished() != 2 {
		t.Errorf("%d errors (%v), %d vanished; want 4 and 2", r.Errors(), r.LastError(), r.Vanished())
	}
	for _, where := range []string{"/proc/200/task/200/sched: line 3: se.exec_start", "/proc/201/task/201/stat: field 4"} {
		if _, rest, ok := strings.Cut(r.LastError().Error(), "testdata/host"); ok && strings.Contains(rest, where) {
			return
		}
	}
	t.Errorf("the error does not name file and line: %v", r.LastError())
}

// copyFixture lets a test take files away.
func copyFixture(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir+"/proc", os.DirFS("testdata/host/proc")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir+"/sys", os.DirFS("testdata/host/sys")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestWithoutDebugfs(t *testing.T) {
	root := copyFixture(t)
	if err := os.RemoveAll(root + "/sys/kernel"); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	s := &features.Snapshot{}
	if err := r.Snapshot(s); err != nil {
		t.Fatal(err)
	}
	want := []features.Runqueue{
		{Online: true, Clock: 150_000_000_001},
		{Online: true, NrRunning: 1, NrQueued: 1, NrPreferredRunning: 1, NrNUMARunning: 1, LoadAvg: 1024, Clock: 151_700_000_000},
		{Online: true, NrRunning: 1, NrQueued: 1, NrNUMARunning: 1, LoadAvg: 335, Clock: 151_729_500_000},
		{},
	}
	if diff := cmp.Diff(want, s.Runqueues); diff != "" {
		t.Errorf("runqueues (-want +got):\n%s", diff)
	}
	for tid, running := range map[int]bool{1: false, 12: false, 100: true, 101: true} {
		if th := find(t, s, tid); th.Running != running {
			t.Errorf("thread %d: running %v", tid, th.Running)
		}
	}
	missing := strings.Join(r.Missing(), "\n")
	if s.MigrationCost != 500_000 || len(r.Missing()) != 2 ||
		!strings.Contains(missing, "the runqueues: ") || !strings.Contains(missing, "the migration cost: ") {
		t.Errorf("migration cost %d, missing:\n%s", s.MigrationCost, missing)
	}
}

// Whatever else is gone or malformed is named, and the threads are still read.
func TestDegraded(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string // text "" removes the file
		missing          string // "" for nothing
		errors           uint64 // beside the fixture's two
	}{
		{"no sched files", "/proc/self/sched", "", "the load of threads: 0", 0},
		{"debug malformed", debugFile, "cpu#0\n", "the runqueues: counted from the threads", 1},
		{"online gone", onlineFile, "", "the online CPUs: those of the runqueues", 0},
		{"online malformed", onlineFile, "0-", "the online CPUs: those of the runqueues", 1},
		{"cost malformed", costFile, "many\n", "the migration cost: 500000 ns", 0},
		{"balancing malformed", balancingFile, "x", "whether NUMA balancing is on: off", 0},
		{"no NUMA balancing", balancingFile, "", "", 0},
		{"nodes malformed", "/sys/devices/system/node/node0/cpulist", "a", "the nodes of CPUs: none", 1},
		{"no load averages", "/proc/100/task/101/sched", "worker (101, #threads: 2)\nse.exec_start : 1.000000\nse.sum_exec_runtime : 1.000000\nnuma_migrations, 0\n",
			"the load of threads: 0 (thread 101: no se.avg.load_avg", 0},
		{"no cgroup mount", "/proc/100/mountinfo", "20 1 254:0 / / rw - ext4 /dev/vda rw\n", "the cgroup of threads: 0", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := copyFixture(t)
			path := root + strings.Replace(tt.file, "self", "100", 1)
			err := os.WriteFile(path, []byte(tt.text), 0o644)
			if tt.text == "" {
				err = os.Remove(path)
			}
			if err != nil {
				t.Fatal(err)
			}
			r, err := Open(Options{Root: root})
			if err != nil {
				t.Fatal(err)
			}
			s := &features.Snapshot{}
			if err := r.Snapshot(s); err != nil {
				t.Fatal(err)
			}
			missing := strings.Join(r.Missing(), "\n")
			if tt.missing == "" && missing != "" || !strings.Contains(missing, tt.missing) {
				t.Errorf("missing %q, want %q", missing, tt.missing)
			}
			wantErrors, wantThreads := 2+tt.errors, 4
			if tt.name == "no sched files" {
				wantErrors, wantThreads = 1, 5 // the malformed one is not read
			}
			if r.Errors() != wantErrors || len(s.Threads) != wantThreads || len(s.Runqueues) != 4 || !s.Runqueues[1].Online {
				t.Errorf("%d errors (%v), %d threads, runqueues %+v", r.Errors(), r.LastError(), len(s.Threads), s.Runqueues)
			}
		})
	}
}

// TestNodesAsTopology: the nodes are those of package topology, whatever form
// sysfs tells them in.
func TestNodesAsTopology(t *testing.T) {
	node := "/sys/devices/system/node/"
	for name, change := range map[string]func(root string) error{
		"masks only": func(root string) error {
			return errors.Join(os.Remove(root+node+"node0/cpulist"), os.Remove(root+node+"node1/cpulist"),
				os.WriteFile(root+node+"node0/cpumap", []byte("00000003\n"), 0o644),
				os.WriteFile(root+node+"node1/cpumap", []byte("0000000c\n"), 0o644))
		},
		"numa=fake": func(root string) error {
			errs := []error{os.WriteFile(root+node+"node0/cpulist", []byte("0-3\n"), 0o644),
				os.WriteFile(root+node+"node1/cpulist", []byte("0-3\n\x00"), 0o644)}
			for _, link := range []string{"cpu0/node0", "cpu1/node0", "cpu2/node1", "cpu3/node1"} {
				errs = append(errs, os.MkdirAll(fmt.Sprintf("%s/sys/devices/system/cpu/%s", root, link), 0o755))
			}
			return errors.Join(errs...)
		},
	} {
		root := copyFixture(t)
		if err := change(root); err != nil {
			t.Fatal(err)
		}
		r, err := Open(Options{Root: root})
		if err != nil {
			t.Fatal(err)
		}
		s := &features.Snapshot{}
		if err := r.Snapshot(s); err != nil {
			t.Fatal(err)
		}
		if len(r.Missing()) != 0 || s.Runqueues[1].NrPreferredRunning != 1 || s.Runqueues[2].NrPreferredRunning != 0 || s.Runqueues[2].NrNUMARunning != 1 {
			t.Errorf("%s: missing %q, runqueues %+v", name, r.Missing(), s.Runqueues)
		}
		if diff := cmp.Diff([]int{0, 0, 1}, r.node); diff != "" {
			t.Errorf("%s: nodes (-want +got):\n%s", name, diff)
		}
	}
}

func TestMigrationCostAlwaysHot(t *testing.T) {
	root := copyFixture(t)
	if err := os.WriteFile(root+costFile, []byte("4294967295\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.readCost(); got != -1 {
		t.Errorf("migration cost %d, want -1", got)
	}
}

func TestNoProc(t *testing.T) {
	if _, err := Open(Options{Root: t.TempDir()}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open without /proc: %v", err)
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	r, err := Open(Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Snapshot(&features.Snapshot{}); !errors.Is(err, errNoThread) {
		t.Errorf("Snapshot of an empty /proc: %v", err)
	}
}

// TestRealHost holds a snapshot of the running kernel against what procfs
// reads of this process.
func TestRealHost(t *testing.T) {
	h, err := cgroup.DefaultHierarchy("/")
	if err != nil && !errors.Is(err, cgroup.ErrNotMounted) {
		t.Fatal(err)
	}
	g := threads.Sleep(t, 5)
	r, err := Open(Options{Hierarchy: h})
	if err != nil {
		t.Fatal(err)
	}
	s := &features.Snapshot{}
	if err := r.Snapshot(s); err != nil {
		t.Fatal(err)
	}
	if r.Errors() != 0 {
		t.Errorf("%d errors, the last: %v", r.Errors(), r.LastError())
	}
	proc, err := prom.NewFS("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, tid := range g.TIDs {
		p, err := proc.Thread(g.PID, tid)
		if err != nil {
			t.Fatal(err)
		}
		st, err := p.Stat()
		if err != nil {
			t.Fatal(err)
		}
		th := find(t, s, tid)
		got := []any{th.Name(), string(th.State), int(th.PPID), int(th.Session), th.Start, int(th.Nice), uint(th.Policy)}
		want := []any{st.Comm, st.State, st.PPID, st.Session, st.Starttime, st.Nice, st.Policy}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("thread %d (-procfs +ours):\n%s", tid, diff)
		}
		if int(th.TGID) != g.PID || th.Delta < 0 || (r.noSched == nil && th.Runtime == 0) {
			t.Errorf("thread %d: %+v", tid, th)
		}
		var set unix.CPUSet
		if err := unix.SchedGetaffinity(tid, &set); err != nil {
			t.Fatal(err)
		}
		if m := s.Masks[th.Allowed]; m.Count() != set.Count() || !set.IsSet(m.First()) {
			t.Errorf("thread %d: mask %s", tid, m)
		}
		if want := hostCgroup(t, h, g.PID, tid); want != 0 && th.Cgroup != want {
			t.Errorf("thread %d: cgroup %d, want %d", tid, th.Cgroup, want)
		}
	}
}

// hostCgroup asks procfs for the thread's cgroup, 0 if it is not mounted.
func hostCgroup(t *testing.T, hierarchy, pid, tid int) uint64 {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/task/" + strconv.Itoa(tid) + "/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if f[0] != strconv.Itoa(hierarchy) {
			continue
		}
		mounts, err := cgroup.Mounts("/")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range mounts {
			if m.Hierarchy == hierarchy && m.Root == "/" {
				return inodeOf(t, m.Point+f[2])
			}
		}
	}
	return 0
}
