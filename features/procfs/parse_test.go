// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"math"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/features"
)

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const thread100 = "host/proc/100/task/100/"

// wantError checks that a parser refused its input and said where.
func wantError(t *testing.T, what string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s: err = %v, want one with %q", what, err, want)
	}
}

func TestParseSched(t *testing.T) {
	var got sched
	if err := got.parse(read(t, thread100+"sched")); err != nil {
		t.Fatal(err)
	}
	want := sched{
		comm: []byte("a) b (c\nd"), execStart: 151_700_000_000, runtime: 900_000_007,
		load: 1024, runnable: 1000, preferred: 0, total: 60, group: 100,
		faults: features.NodeFaults{
			Task: []uint64{40, 20}, Group: []uint64{305, 40}, TaskTotal: 60, GroupTotal: 345,
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sched{})); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}

	// The same memory again, of a kernel without NUMA balancing: nothing of
	// the first thread may be left.
	text, _, _ := strings.Cut(string(read(t, thread100+"sched")), "numa_pages_migrated")
	if err := got.parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if got.hasFaults() || got.preferred != features.NoNode || len(got.faults.Task) != 0 || got.faults.GroupTotal != 0 {
		t.Errorf("without NUMA lines: %+v", got)
	}
}

// TestParseSchedOlder reads what 3.10 of RHEL 7 writes, and lines of no form.
func TestParseSchedOlder(t *testing.T) {
	var got sched
	if err := got.parse(read(t, "sched-3.10")); err != nil {
		t.Fatal(err)
	}
	want := sched{
		comm: []byte("dbus-daemon"), execStart: 70_000_000_001, runtime: 100_000_002, noLoad: true, preferred: features.NoNode,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sched{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("parse (-want +got):\n%s", diff)
	}
	good := string(read(t, thread100+"sched"))
	if err := want.parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	unknown := "\nnew\nnew, 0\nnew = 1\nnuma_faults, 0, 1\nnuma_faults_memory, 0, 0, 1, 0, -1\nnew : \n\n"
	if err := got.parse([]byte(strings.ReplaceAll(good, "\nse.avg", unknown+"se.avg") + unknown)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(sched{})); diff != "" {
		t.Errorf("with lines that are not known (-without +with):\n%s", diff)
	}
}

func TestParseSchedMalformed(t *testing.T) {
	good := string(read(t, thread100+"sched"))
	line := func(key, with string) string {
		i := strings.Index(good, "\n"+key)
		end := i + 1 + strings.IndexByte(good[i+1:], '\n')
		return good[:i+1] + with + good[end:]
	}
	for _, tt := range []struct{ text, want string }{
		{"", "line 1: no"},
		{"a name that is too long (1, #threads: 1)\n", "line 1: no"},
		{line("se.exec_start", "se.exec_start : 12"), "line 4: se.exec_start: \"12\""},
		{line("se.exec_start", "se.exec_start : 1.00000x"), "line 4: se.exec_start"},
		{line("se.exec_start", "se.exec_start : 99999999999999999.000000"), "line 4: se.exec_start"},
		{line("se.exec_start", "nothing here"), "ends before"},
		{line("se.exec_start", "other : 1"), "ends before"},
		{line("se.avg.load_avg", "se.avg.load_avg : -1"), "se.avg.load_avg"},
		{line("numa_preferred_nid", "numa_preferred_nid : 1024"), "1024 is not a node"},
		{line("numa_preferred_nid", "numa_preferred_nid : -2"), "-2 is not a node"},
		{line("current_node", "current_node=0"), "no numa_group_id"},
		{line("numa_faults node=0", "numa_faults node=4096 task_private=0 task_shared=0 group_private=0 group_shared=0"), "4096 is not a node"},
		{line("numa_faults node=0", "numa_faults node=0 task_private=x"), "numa_faults task_private="},
		{line("numa_faults node=0", "numa_faults node=0 task_private=1"), "no task_shared="},
		{good[:strings.Index(good, "se.sum_exec_runtime")], "ends before"},
	} {
		var s sched
		wantError(t, tt.want, s.parse([]byte(tt.text)), tt.want)
	}
}

func TestParseCgroup(t *testing.T) {
	const text = "9:name=systemd:/\n3:cpuset:/a:b\n0::/x y\n"
	for h, want := range map[int]string{9: "/", 3: "/a:b", 0: "/x y", 7: ""} {
		got, err := parseCgroup([]byte(text), h)
		if err != nil || string(got) != want || got == nil != (h == 7) {
			t.Errorf("hierarchy %d: %q, %v; want %q", h, got, err, want)
		}
	}
	for _, bad := range []string{"x:a:/\n", "1\n", "1:a\n", "-1:a:/\n"} {
		_, err := parseCgroup([]byte("7::/\n"+bad), 3)
		wantError(t, bad, err, "line 2: ")
	}
}

func TestParseDebug(t *testing.T) {
	for _, tt := range []struct {
		file string
		want []block
	}{
		{"debug-6.1", []block{{cpu: 0, running: 3, queued: 3, loadAvg: 3072, clock: 7_000_001, curr: 41}}},
		{"host/sys/kernel/debug/sched/debug", []block{
			{cpu: 0, clock: 151_729_070_897},
			{cpu: 1, running: 2, queued: 2, loadAvg: 1984, clock: 151_729_100_000, curr: 100},
			{cpu: 2, running: 1, queued: 1, loadAvg: 335, clock: 151_729_200_000, curr: 101},
		}},
		{"debug-6.18", []block{
			{cpu: 0, loadAvg: 1984, clock: 1416317186148},
			{cpu: 1, running: 9, queued: 9, loadAvg: 9216, clock: 1416317186149, curr: 59},
		}},
	} {
		got, err := parseDebug(read(t, tt.file), nil)
		if err != nil {
			t.Errorf("%s: %v", tt.file, err)
		}
		for i := range got {
			got[i].seen = 0
		}
		if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(block{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.file, diff)
		}
	}
}

func TestParseDebugMalformed(t *testing.T) {
	good := string(read(t, "debug-6.18"))
	for _, tt := range []struct{ text, want string }{
		{"", "no cpu#N block"},
		{"Sched Debug Version: v0.11\n", "no cpu#N block"},
		{good[:strings.Index(good, "runnable")], "line 9: block without its tasks"},
		{strings.Replace(good, "cpu#0,", "cpu#x,", 1), "line 9: \"cpu#x, 2596.128 MHz\" is not"},
		{strings.Replace(good, "cpu#0,", "cpu#8192,", 1), "line 9: "},
		{strings.Replace(good, ".nr_running                    : 0", ".nr_running                    : -1", 1), "line 10: cpu 0: nr_running"},
		{strings.Replace(good, ": 1416317.186148", ": 1416317", 1), "line 16: cpu 0: clock_task"},
		{strings.Replace(good, ".curr->pid", ".donor->pid", 1), "block of cpu 0 lacks"},
		{strings.ReplaceAll(good, ".h_nr_queued", ".h_nr_other"), "block of cpu 0 lacks"},
	} {
		_, err := parseDebug([]byte(tt.text), nil)
		wantError(t, tt.want, err, tt.want)
	}
}

// TestParseDebugUnknown: lines in no known form are another kernel's.
func TestParseDebugUnknown(t *testing.T) {
	good := string(read(t, "debug-6.18"))
	want, err := parseDebug([]byte(good), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseDebug([]byte(strings.NewReplacer("  .avg_idle ", "  new, 0\n  new\n  .avg_idle ", "  .h_nr_queued ", "  new : 1\n  .h_nr_queued ").Replace(good)), nil)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(block{})); err != nil || diff != "" {
		t.Errorf("%v (-without +with):\n%s", err, diff)
	}
}

// No name may forge a block, whatever 15 bytes it is made of.
func TestParseDebugHostileName(t *testing.T) {
	good := string(read(t, "debug-6.18"))
	want, err := parseDebug([]byte(good), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"\ncpu#9\n", "\ncpu#9\n  .nr_ru", "\nrunnable tas", "\ncfs_rq[0]:/\n", "\n\ncpu#0, 1 MHz\n"} {
		got, err := parseDebug([]byte(strings.Replace(good, "              y ", name, 1)), nil)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(block{})); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", name, err, diff)
		}
	}
}

func TestParseMillis(t *testing.T) {
	for text, want := range map[string]uint64{
		"0.000000": 0, "151729.070897": 151_729_070_897, "0.000001": 1,
		"9223372036853.999999": 9223372036853999999,
	} {
		if got, err := parseMillis([]byte(text)); err != nil || got != want || got > math.MaxInt64 {
			t.Errorf("parseMillis(%s) = %d, %v; want %d", text, got, err, want)
		}
	}
}
