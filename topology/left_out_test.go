// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"
)

// schedstatOf writes /proc/schedstat of a version; of each CPU is said whether it has domains.
func schedstatOf(version string, domains ...bool) string {
	var b strings.Builder
	b.WriteString("version " + version + "\ntimestamp 4295102030\n")
	for cpu, has := range domains {
		b.WriteString("cpu" + string(rune('0'+cpu)) + " 0 0 0 0 0 0 100 200 300\n")
		if !has {
			continue
		}
		if version == "17" { // the name came with 6.15
			b.WriteString("domain0 MC 0f 0 0 0\ndomain1 PKG ff 0 0 0\n")
		} else {
			b.WriteString("domain0 00000000,0000000f 0 0 0\ndomain1 ff 0 0\n")
		}
	}
	return b.String()
}

func TestReadLeftOut(t *testing.T) {
	for _, tt := range []struct {
		name               string
		isolated, nohzFull string // "-": no such file
		schedstat          string // "": no such file
		want               string
		err                string
	}{
		{"nothing", "", "", schedstatOf("15", true, true, true, true), "", ""},
		{"an old kernel", "-", "-", "", "", ""},
		{"isolcpus=2-3", "2-3", "", schedstatOf("15", true, true, false, false), "2-3 (isolated)", ""},
		{"isolcpus= without schedstats", "3", "", "", "3 (isolated)", ""},
		{"nohz_full=", "", "1-3", schedstatOf("15", true, true, true, true), "1-3 (nohz_full)", ""},
		{"nohz_full= as old kernels write none", "", "(null)", "", "", ""},
		{"both", "2", "2-3", "", "2 (isolated), 3 (nohz_full)", ""},
		{"a partition", "", "", schedstatOf("15", true, true, true, false), "3 (no sched domain)", ""},
		{"a partition, 6.15", "", "", schedstatOf("17", true, true, true, false), "3 (no sched domain)", ""},
		{"all three", "1", "0-2", schedstatOf("15", true, false, true, false), "1 (isolated), 3 (no sched domain), 0,2 (nohz_full)", ""},
		{"sched_load_balance off at the root", "", "", schedstatOf("15", false, false, false, false), "0-3 (no sched domain)", ""},
		{"one CPU left", "1-3", "", schedstatOf("15", false, false, false, false), "1-3 (isolated)", ""},
		{"off line ones", "2-7", "5", schedstatOf("15", true, true, false, false), "2-3 (isolated)", ""},
		{"CPUs that the file does not list", "", "", schedstatOf("15", true, true), "", ""},
		{"no list", "x", "", "", "", `sys/devices/system/cpu/isolated: cpu list "x"`},
		{"no CPU", "", "", "version 15\ncpux 0\n", "", "proc/schedstat: line 2: "},
	} {
		fsys := fstest.MapFS{}
		for name, text := range map[string]string{cpuDir + "/isolated": tt.isolated, cpuDir + "/nohz_full": tt.nohzFull} {
			if text != "-" {
				fsys[name] = &fstest.MapFile{Data: []byte(text + "\n")}
			}
		}
		if tt.schedstat != "" {
			fsys[schedstat] = &fstest.MapFile{Data: []byte(tt.schedstat)}
		}
		out, err := readLeftOut(fsys, NewCPUSet(0, 1, 2, 3))
		if got := DescribeLeftOut(out); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if (err != nil) != (tt.err != "") || err != nil && !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.err)
		}
	}
}

// TestIsolatedPartitions: without schedstats the root cgroup tells.
func TestIsolatedPartitions(t *testing.T) {
	for _, tt := range []struct{ name, booted, later, want, err string }{
		{"none", "", "", "", ""},
		{"one", "", "1,3", "1,3 (isolated)", ""},
		{"and isolcpus=", "0", "3", "0,3 (isolated)", ""},
		{"no list", "", "a", "", isolatedPartitions + `: cpu list "a"`},
	} {
		fsys := fstest.MapFS{
			cpuDir + "/isolated": {Data: []byte(tt.booted + "\n")},
			isolatedPartitions:   {Data: []byte(tt.later + "\n")},
		}
		out, err := readLeftOut(fsys, NewCPUSet(0, 1, 2, 3))
		if got := DescribeLeftOut(out); got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.HasPrefix(err.Error(), tt.err) {
			t.Errorf("%s: %q, %v, want %q, %q", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// TestLeftOutShown: what is left out is in no domain, and in every form that is
// for people or programs.
func TestLeftOutShown(t *testing.T) {
	top, err := Parse("2x2x2")
	if err != nil {
		t.Fatal(err)
	}
	fsys := sysfsOf(top).with(sysfs{"cpu/isolated": "2-5"}).fs()
	got, err := readStable(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var spans []string
	for _, d := range got.Domains {
		spans = append(spans, d.Level.String()+" "+d.CPUs.String())
	}
	if s := strings.Join(spans, ", "); s != "smt 0-1, smt 6-7, machine 0-1,6-7" {
		t.Errorf("domains: %s", s)
	}
	if got.Online.Count() != 8 || len(got.Cores) != 4 {
		t.Errorf("%s: cores and CPUs are there whoever balances them", got)
	}
	if s := got.String(); !strings.HasSuffix(s, ", left out: 2-5 (isolated)") {
		t.Errorf("%q", s)
	}
	b, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(b), `"left_out":[{"cpus":"2-5","why":"isolated"}]`) {
		t.Errorf("%v: %s", err, b)
	}
}

// TestLeftOutNests: the domains of any machine stay domains without any of its CPUs.
func TestLeftOutNests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		top, err := Parse(rapid.SampledFrom([]string{"1x4x1", "2x2x2", "2x2x4x2", "4x1x2x1"}).Draw(t, "machine"))
		if err != nil {
			t.Fatal(err)
		}
		var out CPUSet
		for cpu := range top.Online.All() {
			if rapid.Bool().Draw(t, "out") {
				out.Add(cpu)
			}
		}
		got, err := readStable(sysfsOf(top).with(sysfs{"cpu/isolated": out.String()}).fs())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got.Domains {
			if d.CPUs.Intersects(out) || len(d.Groups) < 2 {
				t.Fatalf("%s domain %s of %d groups, left out %s", d.Level, d.CPUs, len(d.Groups), out)
			}
			if err := partitions(d.CPUs, d.Groups, d.Level == Machine); err != nil {
				t.Fatal(err)
			}
		}
		for cpu := range top.Online.All() {
			if balanced := !out.Has(cpu) && top.Online.Count()-out.Count() > 1; balanced != (len(got.DomainsOf(cpu)) > 0) {
				t.Fatalf("cpu %d of %s without %s has domains %v", cpu, top, out, got.DomainsOf(cpu))
			}
		}
	})
}

func FuzzSchedstat(f *testing.F) {
	f.Add(schedstatOf("15", true, false))
	f.Add(schedstatOf("17", false, true))
	f.Add("cpu\ndomain0\n")
	f.Fuzz(func(t *testing.T, text string) {
		online := NewCPUSet(0, 1, 2)
		out, err := readLeftOut(fstest.MapFS{schedstat: &fstest.MapFile{Data: []byte(text)}}, online)
		if all := AllLeftOut(out); !all.SubsetOf(online) || err != nil && out != nil {
			t.Errorf("%q: %v, %v", text, out, err)
		}
	})
}
