// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mllb/topology"
)

const goodStatus = "Name:\tCpus_allowed\\nTgid\nTgid:\t7600\nPid:\t7601\nNSpid:\t7601\t12\t1\n" +
	"Cpus_allowed:\tff,00000000,80000001\nCpus_allowed_list:\t0,31,64-71\n" +
	"voluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t3\n"

func TestStatus(t *testing.T) {
	text := []byte(goodStatus)
	for name, want := range map[string]string{
		"NSpid": "7601\t12\t1", "Cpus_allowed_list": "0,31,64-71", "voluntary_ctxt_switches": "12",
	} {
		if got, err := StatusField(text, name); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]uint64{"Tgid": 7600, "voluntary_ctxt_switches": 12, "nonvoluntary_ctxt_switches": 3} {
		if got, err := StatusUint(text, name, 64); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", name, got, err, want)
		}
	}
	want := topology.CPUSet{0x80000001, 0xff}
	if got, err := StatusAllowed(text, topology.NewCPUSet(200)); err != nil || !got.Equal(want) {
		t.Errorf("Cpus_allowed: {%s}, %v; want {%s}", got, err, want)
	}
}

func TestStatusMalformed(t *testing.T) {
	mask := func(with string) string { return strings.Replace(goodStatus, "ff,00000000,80000001", with, 1) }
	for _, tt := range []struct{ text, want string }{
		{"", "no Tgid line"},
		{"Tgid:\t1\n", "no Tgid line"}, // line 1 is the name
		{"Name:\tx\nTgid:\t1", "Tgid: the line is cut off"},
		{strings.Replace(goodStatus, "7600", "one", 1), "Tgid: "},
		{strings.Replace(goodStatus, "7600", "99999999999", 1), "Tgid: "},
		{strings.Replace(goodStatus, "Cpus_allowed:", "Cpus:", 1), "no Cpus_allowed line"},
		{mask(""), "Cpus_allowed: cpu mask"},
		{mask("fffffffff"), "Cpus_allowed: cpu mask"},
		{mask("fg"), "Cpus_allowed: cpu mask"},
		{mask("+f"), "Cpus_allowed: cpu mask"},
		{mask("0" + strings.Repeat(",0", 256)), "Cpus_allowed: cpu mask of 257 words"},
		{goodStatus[:strings.Index(goodStatus, "80000001")], "Cpus_allowed: the line is cut off"},
	} {
		_, err := StatusUint([]byte(tt.text), "Tgid", 31)
		if err == nil {
			_, err = StatusAllowed([]byte(tt.text), nil)
		}
		wantError(t, tt.text, err, tt.want)
	}
}

func FuzzStatus(f *testing.F) {
	f.Add([]byte(goodStatus))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := StatusAllowed(b, nil); err == nil && len(m) > topology.MaxCPUs/64 {
			t.Errorf("%q: %d words", b, len(m))
		}
		if n, err := StatusUint(b, "Tgid", 31); err == nil && n >= 1<<31 {
			t.Errorf("%q: %d", b, n)
		}
	})
}

// TestAllocs: a tick parses the files of every thread of the host.
func TestAllocs(t *testing.T) {
	stat, status := []byte(goodStat), []byte(goodStatus)
	mask := make(topology.CPUSet, 2)
	var s Stat
	n := testing.AllocsPerRun(100, func() {
		if err := s.Parse(stat); err != nil {
			t.Fatal(err)
		}
		var err error
		if mask, err = StatusAllowed(status, mask); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a thread, want none", n)
	}
}

func TestParseCPUTime(t *testing.T) {
	got, err := ParseCPUTime([]byte("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4\n"))
	if want := (CPUTime{Total: 36, Idle: 4, IOWait: 5, Steal: 8}); err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, text := range []string{"", "cpu  1 2 3\n", "cpu0 1 2 3 4 5 6 7 8 9\n", "cpu 1 2 3 x 5 6 7 8 9\n", "cpu 1 2 3 4 5 6 7 8"} {
		_, err := ParseCPUTime([]byte(text))
		wantError(t, text, err, "line 1: ")
	}
}

func TestParseLoad(t *testing.T) {
	got, err := ParseLoad([]byte("0.25 1.50 12.00 1/80 11206\n"))
	if want := [3]float64{0.25, 1.5, 12}; err != nil || got != want {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, text := range []string{"", "1 2", "1 2 x", "1 2 NaN", "1 -2 3", "1 2 1e300"} {
		_, err := ParseLoad([]byte(text))
		wantError(t, text, err, "load average")
	}
}

func FuzzHost(f *testing.F) {
	f.Add([]byte("0.1 0.2 0.3 1/2 3\n"))
	f.Add([]byte("cpu  1 2 3 4 5 6 7 8\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if load, err := ParseLoad(text); err == nil && !(load[0] >= 0 && load[2] < 1e9) {
			t.Errorf("%q: %v", text, load)
		}
		_, _ = ParseCPUTime(text)
	})
}

func TestIDs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1", "20", "self", "-3", "99999999999", "4x"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ids, err := IDs(dir)
	slices.Sort(ids)
	if err != nil || !slices.Equal(ids, []int{1, 20}) {
		t.Errorf("%d, %v", ids, err)
	}
	if _, err := IDs(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no directory: %v", err)
	}
	if ids, err := IDs("/proc/self/task"); err != nil || !slices.Contains(ids, os.Getpid()) {
		t.Errorf("threads of %d: %d, %v", os.Getpid(), ids, err)
	}
}

func TestSchedExt(t *testing.T) {
	for _, tt := range []struct {
		name       string
		files      map[string]string
		state, ops string
	}{
		{"a kernel without it", nil, "", ""},
		{"none loaded", map[string]string{"state": "disabled\n", "root/ops": "left\n"}, "disabled", ""},
		{"loaded", map[string]string{"state": "enabled\n", "root/ops": "rusty\n"}, "enabled", "rusty"},
		{"on its way", map[string]string{"state": "enabling\n"}, "enabling", "unknown"},
	} {
		root := t.TempDir()
		for name, text := range tt.files {
			path := filepath.Join(root, "sys/kernel/sched_ext", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if state, ops, err := SchedExt(root); err != nil || state != tt.state || ops != tt.ops {
			t.Errorf("%s: %q, %q, %v; want %q, %q", tt.name, state, ops, err, tt.state, tt.ops)
		}
	}
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "sys/kernel/sched_ext/state"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SchedExt(root); err == nil {
		t.Error("a state that cannot be read is no error")
	}
}
