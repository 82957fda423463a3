// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"mllb/features/bpf"
	"mllb/internal/denial"
)

// judged answers on a host where only what is named fails.
func judged(failing map[string]error) []verdict {
	rows := (&checkCmd{}).probes()
	for i := range rows {
		p := &rows[i]
		p.run = func(string) (string, error) { return "found", failing[p.Name] }
		p.try("/")
	}
	return rows.judge()
}

// TestVerdicts: what each missing thing makes impossible, with whose reason.
func TestVerdicts(t *testing.T) {
	why := func(reason string) error { return &denial.Error{Reason: reason, Change: "change " + reason} }
	noBPF := map[string]error{"snapshot-bpf": why("caps"), "decisions-fentry": why("caps"), "decisions": why("caps")}
	for name, c := range map[string]struct {
		failing map[string]error
		want    map[string]string // the verdicts that are a no, and why
	}{
		"all": {nil, nil},
		"nobody": {map[string]error{"snapshot-bpf": why("caps"), "decisions-fentry": why("caps"), "decisions": why("caps"), "affinity-others": why("nice"), "state-dir": why("dir")},
			map[string]string{"assist": "nice", "own": "nice", "cpuset": "nice", "scx": "nice", "collect": "caps", "compare": "caps", "latency": "caps", "bench": "dir"}},
		"no eBPF":           {noBPF, map[string]string{"collect": "caps", "compare": "caps", "latency": "caps"}},
		"no schedstats":     {map[string]error{"decisions": why("schedstats")}, map[string]string{"collect": "schedstats", "compare": "schedstats"}},
		"no /proc":          {map[string]error{"snapshot-proc": why("proc")}, nil},
		"nothing to read":   {map[string]error{"snapshot-bpf": why("bpf"), "snapshot-proc": why("proc")}, map[string]string{"observe": "proc", "assist": "proc", "own": "proc", "cpuset": "proc", "scx": "proc", "compare": "proc", "latency": "bpf", "bench": "proc"}},
		"seccomp":           {map[string]error{"affinity": why("seccomp")}, map[string]string{"assist": "seccomp", "own": "seccomp", "cpuset": "seccomp", "scx": "seccomp", "bench": "seccomp"}},
		"no cpusets":        {map[string]error{"cpuset-v1": errAbsent, "cpuset-v2": why("v2")}, map[string]string{"cpuset": "v2"}},
		"v1 is read-only":   {map[string]error{"cpuset-v1": why("v1"), "cpuset-v2": why("v2")}, map[string]string{"cpuset": "v1"}},
		"v2 only":           {map[string]error{"cpuset-v1": errAbsent}, nil},
		"an mllbd runs":     {map[string]error{"alone": why("running")}, map[string]string{"assist": "running", "own": "running", "cpuset": "running", "scx": "running", "bench": "running"}},
		"a journal is left": {map[string]error{"restored": why("journal")}, nil},
		"sched_ext":         {map[string]error{"no-sched-ext": why("rusty")}, map[string]string{"assist": "rusty", "own": "rusty", "cpuset": "rusty", "scx": "rusty", "bench": "rusty"}},
		"no sched_ext":      {map[string]error{"sched-ext": why("old")}, map[string]string{"scx": "old"}},
		"no topology":       {map[string]error{"topology": why("sys")}, map[string]string{"observe": "sys", "assist": "sys", "own": "sys", "cpuset": "sys", "scx": "sys", "collect": "sys", "compare": "sys", "latency": "sys", "bench": "sys"}},
	} {
		got := map[string]string{}
		for _, v := range judged(c.failing) {
			if v.OK {
				continue
			}
			got[v.Name] = strings.TrimPrefix(v.Reason, "only mllbd's own pass can be timed: ")
			if !strings.HasPrefix(v.Change, "change "+got[v.Name]) {
				t.Errorf("%s: %s: change %q", name, v.Name, v.Change)
			}
		}
		if c.want == nil {
			c.want = map[string]string{}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	v := judged(map[string]error{"topology": errors.New("open x: odd\nsecond line")})[0]
	if v.OK || v.Reason != "open x: odd ..." || v.Change != "sysfs, mounted at /sys" {
		t.Errorf("an error without an explanation: %+v", v)
	}
}

// TestVerdictOfCommand: who may not balance others may balance a command.
func TestVerdictOfCommand(t *testing.T) {
	nice := &denial.Error{Reason: "nice", Change: "root"}
	for name, c := range map[string]struct {
		failing map[string]error
		want    string
	}{
		"may":              {map[string]error{"affinity-others": nice}, "root; for a single command neither is needed: mllbd run --mode own -- CMD"},
		"needs a place":    {map[string]error{"affinity-others": nice, "state-dir": errors.New("x")}, "root; for a single command neither is needed: mllbd run --mode own --state-dir DIR -- CMD"},
		"nor that, either": {map[string]error{"affinity-others": nice, "no-sched-ext": errors.New("x")}, "root"},
	} {
		all := judged(c.failing)
		own := all[slices.IndexFunc(all, func(v verdict) bool { return v.Name == "own" })]
		if own.OK || own.Change != c.want {
			t.Errorf("%s: %+v, want %s", name, own, c.want)
		}
	}
	v := judged(map[string]error{"snapshot-bpf": fmt.Errorf("ebpf: %w", bpf.ErrNamespace)})[0]
	if !v.OK || v.Note != "only what is in this pid namespace; threads are read from /proc" {
		t.Errorf("in a container: %+v", v)
	}
}

// TestCheckWidth: no line is longer than a terminal, and no word is lost.
func TestCheckWidth(t *testing.T) {
	long := &denial.Error{Reason: strings.Repeat("word ", 60) + strings.Repeat("x", 120) + " énd", Change: strings.Repeat("other ", 40)}
	found := checked{Verdicts: judged(map[string]error{"topology": long})}
	var b strings.Builder
	if err := (&checkCmd{}).print(&b, &found); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > maxColumns && !strings.Contains(line, strings.Repeat("x", 120)) {
			t.Errorf("%d columns: %q", n, line)
		}
	}
	if n := strings.Count(b.String(), " word"); n != 9*60 {
		t.Errorf("%d words", n)
	}
}
