// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestBandwidth(t *testing.T) {
	for percent, want := range map[int][2]int{100: {-1, 10_000}, 50: {5000, 10_000}, 10: {1000, 10_000}, 9: {1000, 11_112}, 1: {1000, 100_000}} {
		if quota, period := bandwidth(percent); quota != want[0] || period != want[1] {
			t.Errorf("%d %%: %d of %d us, want %d", percent, quota, period, want)
		}
	}
	for percent := 1; percent < 100; percent++ {
		quota, period := bandwidth(percent)
		if quota < 1000 || quota*100 > period*percent || (quota+1)*100 < period*percent {
			t.Errorf("%d %%: %d of %d us", percent, quota, period)
		}
	}
}

// Where a cgroup is made, on hosts of files.
func TestNewThrottle(t *testing.T) {
	const rootMount = "20 1 254:0 / / rw - ext4 /dev/vda rw\n"
	const v1 = rootMount + "32 20 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	const v2 = rootMount + "31 20 0:28 / /cg rw - cgroup2 cgroup2 rw\n"
	for _, tt := range []struct {
		name, mountinfo, cgroup string
		files                   map[string]string
		want                    string // the parent
		err                     string
	}{
		{name: "v1", mountinfo: v1, cgroup: "4:cpu,cpuacct:/app\n0::/x\n", files: map[string]string{"cg/cpu,cpuacct/app/tasks": ""}, want: "cg/cpu,cpuacct/app"},
		{name: "v1 root", mountinfo: v1, cgroup: "4:cpu,cpuacct:/\n", files: map[string]string{"cg/cpu,cpuacct/tasks": ""}, want: "cg/cpu,cpuacct"},
		{name: "v2, next above that passes it on", mountinfo: v2, cgroup: "0::/user/session\n", want: "cg/user", files: map[string]string{
			"cg/cgroup.controllers": "cpu\n", "cg/user/cgroup.subtree_control": "memory cpu pids\n", "cg/user/session/cgroup.subtree_control": "cpuset memory\n"}},
		{name: "v2 root", mountinfo: v2, cgroup: "0::/a\n", want: "cg", files: map[string]string{
			"cg/cgroup.controllers": "cpu\n", "cg/cgroup.subtree_control": "cpu\n", "cg/a/cgroup.subtree_control": ""}},
		{name: "v2 passed on by none", mountinfo: v2, cgroup: "0::/a\n", err: "no cgroup from ROOT/cg/a up has +cpu in cgroup.subtree_control", files: map[string]string{
			"cg/cgroup.controllers": "cpu\n", "cg/cgroup.subtree_control": "cpuset\n", "cg/a/cgroup.subtree_control": ""}},
		{name: "v2 without it", mountinfo: v2, cgroup: "0::/\n", err: "ROOT/cg has none", files: map[string]string{"cg/cgroup.controllers": "cpuset memory\n"}},
		{name: "nothing mounted", mountinfo: rootMount, err: "it is not mounted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			files := map[string]string{"proc/self/mountinfo": tt.mountinfo, "proc/self/cgroup": tt.cgroup}
			for name, text := range tt.files {
				files[name] = text
			}
			for name, text := range files {
				if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755), os.WriteFile(filepath.Join(root, name), []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			got, err := newThrottle(root)
			if tt.err != "" {
				if want := strings.ReplaceAll(tt.err, "ROOT", root); !errors.Is(err, ErrNoController) || !strings.HasSuffix(err.Error(), ": "+want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("%v, want %q", err, want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if dir := filepath.Dir(got.top); dir != filepath.Join(root, tt.want) {
				t.Errorf("made %s, want it in %s", got.top, tt.want)
			}
			if err := got.close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(got.top); !os.IsNotExist(err) {
				t.Errorf("%s is still there: %v", got.top, err)
			}
		})
	}
}

// realThrottle is one on this host, or none and the test is skipped.
func realThrottle(t *testing.T) *throttle {
	t.Helper()
	limits, err := newThrottle("/")
	if errors.Is(err, ErrNoController) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return limits
}

// readLimit is the percentage that the kernel has, "max" for none, "-" where the
// cgroup is not there, or not yet filled.
func readLimit(t *testing.T, limits *throttle, cpu int) string {
	t.Helper()
	read := func(file string) string {
		b, err := os.ReadFile(filepath.Join(limits.dir(cpu), file))
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	text := read("cpu.max")
	if !limits.v2 {
		text = read("cpu.cfs_quota_us") + " " + read("cpu.cfs_period_us")
	}
	var quota, period int
	if _, err := fmt.Sscan(text, &quota, &period); err == nil && quota > 0 {
		return fmt.Sprint((quota*100 + period/2) / period)
	}
	if strings.HasPrefix(text, "max ") || quota < 0 {
		return "max"
	}
	return "-"
}

// A thread of this process is limited by the running kernel, which says so.
func TestThrottle(t *testing.T) {
	limits := realThrottle(t)
	tid, done := make(chan int), make(chan struct{})
	id := os.Getpid()
	for id == os.Getpid() { // the main thread, which does not end with its goroutine
		go func() {
			runtime.LockOSThread() // and never unlocked: the thread ends here
			tid <- unix.Gettid()
			<-done
		}()
		id = <-tid
	}
	home, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	if err := limits.add(os.Getpid(), 3, id); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/cgroup", id))
	if want := strings.TrimPrefix(limits.dir(3), "/sys/fs/cgroup"); err != nil || !strings.Contains(string(b), strings.TrimPrefix(want, "/cpu")) {
		t.Errorf("the thread is in %s, want %s (%v)", b, want, err)
	}
	if got := readLimit(t, limits, 3); got != "max" {
		t.Errorf("limit at first: %s", got)
	}
	for _, percent := range []int{50, 1, 99, 7, 100, 33} {
		if err := limits.set(3, percent); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(percent)
		if percent == 100 {
			want = "max"
		}
		if got := readLimit(t, limits, 3); got != want {
			t.Errorf("limit %s, want %s", got, want)
		}
	}
	// As for the guest of a second try.
	if err := limits.add(os.Getpid(), 3, id); err != nil || readLimit(t, limits, 3) != "max" {
		t.Errorf("%v, limit of a thread that is put there again: %s", err, readLimit(t, limits, 3))
	}
	close(done)
	if limits.v2 { // this process is in it; a guest's would have ended
		for line := range strings.Lines(string(home)) {
			if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
				if err := write(filepath.Join("/sys/fs/cgroup", path), "cgroup.procs", fmt.Sprint(os.Getpid())); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := limits.close(); err != nil {
		t.Error(err)
	}
}

// What a guest left whose owner was killed is removed by the next; that of one
// which is running is not.
func TestThrottleLeftovers(t *testing.T) {
	running := realThrottle(t)
	killed := realThrottle(t)
	if err := os.Mkdir(killed.dir(0), 0o755); err != nil {
		t.Fatal(err)
	}
	killed.lock.Close() // as the kernel does at the owner's end
	next := realThrottle(t)
	if _, err := os.Stat(killed.top); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", killed.top, err)
	}
	for _, limits := range []*throttle{running, next} {
		if _, err := os.Stat(limits.top); err != nil {
			t.Error(err)
		}
		if err := limits.close(); err != nil {
			t.Error(err)
		}
	}
}
