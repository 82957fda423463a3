// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
	"mllb/topology"
)

const (
	goodStat = "7601 (a) b) (c) S 7557 7550 6385 0 -1 4194304 100 0 0 0 40 2 0 0 20 0 3 0 214416 3133440 390 " +
		"18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n"
	goodStatus = "Name:\tx\nTgid:\t7600\nNgid:\t0\nPid:\t7601\nNSpid:\t7601\t12\t1\nCpus_allowed:\tff,00000000,80000001\nCpus_allowed_list:\t0\n"
)

func TestParseTask(t *testing.T) {
	var got Task
	if err := errors.Join(parseStatus(&got, []byte(goodStatus)), parseStat(&got, []byte(goodStat))); err != nil {
		t.Fatal(err)
	}
	want := Task{ID: features.ID{TID: 7601, Start: 214416}, TGID: 7600, PPID: 7557, Session: 6385, State: 'S', Ran: 42, Flags: 4194304,
		Threads: 3, NSInit: true, Mask: topology.CPUSet{0x80000001, 0xff}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseTaskMalformed(t *testing.T) {
	if err := parseStat(new(Task), []byte(goodStat[:40])); err == nil {
		t.Error("stat, cut short: no error")
	}
	if err := parseStat(new(Task), []byte(strings.Replace(goodStat, "6385", "-1", 1))); !errors.Is(err, ErrGone) {
		t.Errorf("stat of a thread on its way out: %v, want ErrGone", err)
	}
	for name, text := range map[string]string{
		"no mask":  "Name:\tx\nTgid:\t1\n",
		"no tgid":  strings.Replace(goodStatus, "Tgid", "Tgif", 1),
		"bad tgid": strings.Replace(goodStatus, "7600", "-1", 1),
	} {
		if err := parseStatus(new(Task), []byte(text)); err == nil {
			t.Errorf("status, %s: no error", name)
		}
	}
}

// hostRoot is a fixture of a host with these cgroup mounts.
func hostRoot(t *testing.T, mountinfo, self string, files map[string]string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{
		"/proc/42/mountinfo": mountinfo, "/proc/42/cgroup": self,
		"/sys/devices/system/cpu/possible": "0-7\n", "/sys/devices/system/cpu/online": "0-3\n",
	}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		if err := os.MkdirAll(filepath.Dir(root+name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(root+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("42", root+"/proc/self"); err != nil {
		t.Fatal(err)
	}
	return root
}

const (
	v1Mounts = "34 31 0:31 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	v2Mounts = "31 20 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
)

func TestWidest(t *testing.T) {
	tests := []struct {
		name, mounts, self, thread string
		want                       topology.CPUSet
	}{
		{"v1 root", v1Mounts, "3:cpuset:/\n0::/\n", "3:cpuset:/\n0::/app\n", mask(0, 1, 2, 3, 4, 5, 6, 7)},
		{"v1", v1Mounts, "3:cpuset:/\n0::/\n", "3:cpuset:/app\n0::/\n", mask(1, 2)},
		{"v2", v2Mounts, "0::/\n", "0::/app\n", mask(2, 3)},
		{"v2 without the controller", v2Mounts, "0::/\n", "0::/app/below/far\n", mask(2, 3)},
		{"v2 root", v2Mounts, "0::/\n", "0::/other\n", mask(0, 1, 2, 3, 4, 5, 6, 7)},
		{"no cgroups", "", "", "", mask(0, 1, 2, 3, 4, 5, 6, 7)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := newLinux(hostRoot(t, tt.mounts, tt.self, map[string]string{
				"/proc/90/task/91/cgroup":                         tt.thread,
				"/sys/fs/cgroup/cpuset/app/cpuset.effective_cpus": "1-2\n",
				"/sys/fs/cgroup/app/cpuset.cpus.effective":        "2-3\n",
			}))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := l.Widest(90, 91); err != nil || !got.Equal(tt.want) {
				t.Errorf("{%s}, %v; want {%s}", got, err, tt.want)
			}
			if _, err := l.Widest(90, 92); !errors.Is(err, ErrGone) && tt.mounts != "" {
				t.Errorf("no such thread: %v", err)
			}
		})
	}
}

// TestWidestWithoutCgroups: a kernel without CONFIG_CGROUPS has no cgroup files.
func TestWidestWithoutCgroups(t *testing.T) {
	root := hostRoot(t, "20 1 254:0 / / rw - ext4 /dev/vda rw\n", "", nil)
	if err := os.Remove(root + "/proc/42/cgroup"); err != nil {
		t.Fatal(err)
	}
	l, err := newLinux(root)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := l.Widest(90, 91); err != nil || !got.Equal(mask(0, 1, 2, 3, 4, 5, 6, 7)) {
		t.Errorf("{%s}, %v; want every possible CPU", got, err)
	}
}

// TestLinux asks the running kernel about this very process and a child.
func TestLinux(t *testing.T) {
	l := needRealHost(t)
	pid := int32(os.Getpid())
	self, err := l.Task(pid, pid)
	if err != nil {
		t.Fatal(err)
	}
	if self.TGID != pid || int(self.PPID) != os.Getppid() || self.Start == 0 || self.Threads < 1 {
		t.Errorf("%+v", self)
	}
	if now, err := l.Now(); err != nil || now < self.Start {
		t.Errorf("now %d, %v; this process started at %d", now, err, self.Start)
	}
	if w, err := l.Widest(pid, pid); err != nil || !self.Mask.SubsetOf(w) {
		t.Errorf("widest {%s}, %v; mask {%s}", w, err, self.Mask)
	}
	if in, err := l.InCgroup(pid, pid, 1<<62); err != nil || in {
		t.Errorf("in no such cgroup: %v, %v", in, err)
	}
	child := exec.Command("sleep", "100")
	if err := child.Start(); err != nil {
		t.Skip(err)
	}
	tid := int32(child.Process.Pid)
	alive, done, err := l.Watch(tid)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := l.SetAffinity(tid, mask(self.Mask.First())); err != nil || !alive() {
		t.Errorf("set: %v, alive %v", err, alive())
	}
	if c, err := l.Task(tid, tid); err != nil || !c.Mask.Equal(mask(self.Mask.First())) {
		t.Errorf("{%s}, %v", c.Mask, err)
	}
	_ = child.Process.Signal(syscall.SIGKILL)
	_ = child.Wait()
	if alive() {
		t.Error("alive after it ended")
	}
	for name, err := range map[string]error{
		"set":   l.SetAffinity(tid, self.Mask),
		"read":  func() error { _, err := l.Task(tid, tid); return err }(),
		"watch": func() error { _, _, err := l.Watch(tid); return err }(),
	} {
		if !errors.Is(err, ErrGone) {
			t.Errorf("%s a thread that ended: %v, want ErrGone", name, err)
		}
	}
	for _, tid := range []int32{-1, 0, 1} {
		if err := l.SetAffinity(tid, self.Mask); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("set thread %d: %v, want EINVAL", tid, err)
		}
	}
}

// TestNoThread: 0 is the parent or session of who came from an outer pid namespace. To
// system calls it is the caller, who lives; it is no thread that /proc hides.
func TestNoThread(t *testing.T) {
	sys, err := newLinux("/")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sys.Task(0, 0); !errors.Is(err, ErrGone) {
		t.Errorf("thread 0: %v", err)
	}
}
