// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/topology"
)

// TestLargeHosts holds threads on the last CPU of hosts whose masks have several
// words, some of them full, and gives them back: a close, a kill and a restore.
func TestLargeHosts(t *testing.T) {
	for _, tt := range []struct {
		cpus   int
		marked bool // the last word has bits to spare
	}{{64, false}, {65, true}, {96, true}, {127, false}, {128, false}, {256, false}, {257, true}, {1022, true}, {1023, false}, {1024, false}, {8192, false}} {
		for _, marks := range []bool{false, true} {
			for _, killed := range []bool{false, true} {
				t.Run(fmt.Sprint(tt.cpus, " marks ", marks, " killed ", killed), func(t *testing.T) {
					h := newFakeHostOf(tt.cpus)
					cfg := fakeConfig(t.TempDir(), h)
					if marks {
						cfg.Marks, h.keeps = fakeMarks{h}, true
					}
					e, _, err := Open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					if e.marked != (marks && tt.marked) {
						t.Errorf("marked is %v", e.marked)
					}
					whole, odd := h.spawn(h.all()), h.spawn(everyOther(tt.cpus))
					last := int32(tt.cpus - 1)
					holdAll(t, e, h, last)
					child := h.fork(odd, false, false)
					for _, p := range []*fakeTask{whole, odd, child} {
						if single(p.Mask) != last {
							t.Errorf("held on cpu %d, a thread has {%s}", last, p.Mask)
						}
					}
					finish := e.Close
					if killed {
						e.kill()
						finish = func() (Report, error) { return Restore(cfg) }
					}
					r, err := finish()
					if want := (Report{Restored: 2, Inherited: 1}); err != nil || !cmp.Equal(r, want) {
						t.Errorf("%+v, %v; want %+v", r, err, want)
					}
					if err := h.check(); err != nil {
						t.Error(err)
					}
				})
			}
		}
	}
}

// everyOther is CPUs 1, 3, ..., and the last.
func everyOther(cpus int) topology.CPUSet {
	s := topology.NewCPUSet(cpus - 1)
	for cpu := 1; cpu < cpus; cpu += 2 {
		s.Add(cpu)
	}
	return s
}

// TestLargeMarks: what is asked for fits the kernel's own mask, to the bit.
func TestLargeMarks(t *testing.T) {
	for _, cpus := range []int{65, 96, 257, 961, 1000, 1022} {
		m := newMark(topology.NewCPUSet(0, cpus-1), &testHeader)
		for _, cpu := range []int32{0, 63, 64, int32(cpus - 1)} {
			owner := everyOther(cpus)
			asked := m.ask(cpu, owner)
			granted := slices.DeleteFunc(slices.Collect(asked.All()), func(c int) bool { return c >= cpus })
			sum, ok := m.read(asked)
			if !ok || sum != m.sum(owner) || !slices.Equal(granted, []int{int(cpu)}) || len(asked) != (cpus+63)/64 {
				t.Errorf("%d CPUs, cpu %d: asked for {%s} in %d words, read %d %v; want %d", cpus, cpu, asked, len(asked), sum, ok, m.sum(owner))
			}
		}
		if _, ok := m.read(everyCPU); ok {
			t.Errorf("%d CPUs: every bit counts as a mark", cpus)
		}
	}
}

// TestLargeRecords writes the longest masks there are to a journal and reads them.
func TestLargeRecords(t *testing.T) {
	for _, owner := range []topology.CPUSet{
		mask(0, 64), mask(255, 256), mask(1, 1023), everyOther(65), everyOther(257), everyOther(1024), everyOther(topology.MaxCPUs),
	} {
		want := testRecord(91, int32(owner.First()))
		want.Owner = owner
		line := string(want.append(nil, opHold))
		op, got, err := parseRecord(strings.TrimSuffix(line, "\n"))
		if err != nil || op != opHold || !cmp.Equal(want, got, cmp.Comparer(topology.CPUSet.Equal)) {
			t.Errorf("owner {%.40s...}: %q %+v, %v", owner, op, got, err)
		}
	}
}

// TestLargeStatus reads the masks that the kernel writes for 1,024 and 8,192 CPUs.
func TestLargeStatus(t *testing.T) {
	for _, tt := range []struct {
		mask, want string
	}{
		{strings.Repeat("ffffffff,", 31) + "ffffffff", "0-1023"},
		{"80000000," + strings.Repeat("00000000,", 30) + "00000000", "1023"},
		{"1,00000000,00000000", "64"},
		{strings.Repeat("00000000,", 224) + strings.Repeat("ffffffff,", 31) + "ffffffff", "0-1023"},
	} {
		var got Task
		text := strings.Replace(goodStatus, "ff,00000000,80000001", tt.mask, 1)
		if err := parseStatus(&got, []byte(text)); err != nil || got.Mask.String() != tt.want {
			t.Errorf("%.40s...: {%s}, %v; want {%s}", tt.mask, got.Mask, err, tt.want)
		}
	}
}

// TestLargeCPUSets reads the cpusets of hosts of 96 and 1,024 CPUs, numbered as
// Linux does.
func TestLargeCPUSets(t *testing.T) {
	for _, tt := range []struct{ possible, online, cpuset string }{
		{"0-95", "0-4,6-95", "24-47,72-95"},
		{"0-1023", "0-1023", "448-511,960-1023"},
	} {
		l, err := newLinux(hostRoot(t, v2Mounts, "0::/\n", map[string]string{
			"/sys/devices/system/cpu/possible":         tt.possible + "\n",
			"/sys/devices/system/cpu/online":           tt.online + "\n",
			"/proc/90/task/91/cgroup":                  "0::/app\n",
			"/sys/fs/cgroup/app/cpuset.cpus.effective": tt.cpuset + "\n",
		}))
		if err != nil {
			t.Fatal(err)
		}
		widest, err := l.Widest(90, 91)
		online, err2 := l.Online()
		if err := errors.Join(err, err2); err != nil || widest.String() != tt.cpuset || online.String() != tt.online || l.Possible().String() != tt.possible {
			t.Errorf("{%s} of {%s}, possible {%s}, %v; want {%s} of {%s}, {%s}", widest, online, l.Possible(), err, tt.cpuset, tt.online, tt.possible)
		}
	}
	if got := cpuList(1023); got != "1023" {
		t.Errorf("the list of cpu 1023 is %q", got)
	}
}
