// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mllb/internal/procfile"
	"mllb/topology"
)

// guestConfigFor returns what boots a guest of the kernel series here. Without
// QEMU or the kernel the test is skipped, but fails where CI must have both.
func guestConfigFor(t *testing.T, series string) Config {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: boots a guest")
	}
	missing := func(err error) {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	if _, err := findQEMU(); err != nil {
		missing(err)
	}
	cache, err := CacheDir()
	if err != nil {
		missing(err)
	}
	k, err := FindKernel(cache, series)
	if err != nil {
		missing(err)
	}
	mllb := filepath.Join(t.TempDir(), "mllb")
	if err := goBuild(t.Context(), "..", "build", "-o", mllb, "./cmd/mllb"); err != nil {
		t.Fatal(err)
	}
	return Config{
		Shape: Shape{2, 1, 4, 2}, Kernel: k, Init: mllb, Single: true, Tries: 3, Timeout: 5 * time.Minute,
		Notice: func(s string) { t.Log(s) },
	}
}

// One guest shows everything that Run promises: the shape, the output, the
// status and the files.
func TestGuest(t *testing.T) {
	for _, series := range Series() {
		t.Run(series, func(t *testing.T) {
			cfg := guestConfigFor(t, series)
			var stdout, stderr bytes.Buffer
			cfg.Stdout, cfg.Stderr, cfg.OutDir = &stdout, &stderr, filepath.Join(t.TempDir(), "out")
			cfg.Env = []string{"GREETING=hello"}
			cfg.Args = []string{"sh", "-c", `
				mllb topology --json >/out/topology.json || exit 1
				mkdir /out/d && head -c 8000001 /dev/urandom >/out/d/random && sha256sum </out/d/random
				grep -c . /sys/kernel/debug/sched/debug >/dev/null || exit 2
				sleep 1000 & # does not keep the guest
				echo "$GREETING $MLLB_LAB" >&2; exit 7`}
			res, err := Run(context.Background(), cfg)
			var failed *ExitError
			if !errors.As(err, &failed) || failed.Status != 7 {
				t.Fatalf("%+v, %v; stderr %s", res, err, &stderr)
			}
			if res.Release != cfg.Kernel.Release || res.Files != 2 || stderr.String() != "hello 1\n" {
				t.Errorf("%+v, stderr %q", res, &stderr)
			}
			random, err := os.ReadFile(filepath.Join(cfg.OutDir, "d/random"))
			sum := sha256.Sum256(random)
			if err != nil || !strings.HasPrefix(stdout.String(), hex.EncodeToString(sum[:])) {
				t.Errorf("%d random bytes: %v, digest %x, the guest's: %s", len(random), err, sum, &stdout)
			}
			b, err := os.ReadFile(filepath.Join(cfg.OutDir, "topology.json"))
			if err != nil {
				t.Fatal(err)
			}
			var top struct { // NUMAType does not read what it writes
				CPUs  []topology.CPU
				Cores []topology.CPUSet
				Nodes []topology.NUMANode
			}
			if err := json.Unmarshal(b, &top); err != nil {
				t.Fatal(err)
			}
			want, err := topology.Parse(cfg.Shape.String())
			if err != nil {
				t.Fatal(err)
			}
			if len(top.Nodes) != 2 || len(top.Cores) != len(want.Cores) || len(top.CPUs) != 16 || !cmp.Equal(top.Cores, want.Cores) {
				t.Errorf("%d nodes, %d cores, %d CPUs", len(top.Nodes), len(top.Cores), len(top.CPUs))
			}
		})
	}
}

func TestGuestEnds(t *testing.T) {
	cfg := guestConfigFor(t, "6.12")
	cfg.Shape = Shape{1, 1, 2, 1}
	tests := []struct {
		name string
		args []string
		want func(error) bool
	}{
		{"not found", []string{"nosuch"}, func(err error) bool { var e *ExitError; return errors.As(err, &e) && e.Status == 127 }},
		{"signal", []string{"sh", "-c", "kill -9 $$"}, func(err error) bool { var e *ExitError; return errors.As(err, &e) && e.Status == 137 }},
		{"crash", []string{"sh", "-c", "echo c >/proc/sysrq-trigger"}, func(err error) bool { return errors.Is(err, ErrPanic) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg.Args = tt.args
			if res, err := Run(context.Background(), cfg); !tt.want(err) {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// Standard input reaches the command, and its end does too.
func TestGuestStdin(t *testing.T) {
	cfg := guestConfigFor(t, "6.12")
	cfg.Shape = Shape{1, 1, 2, 1}
	var stdout bytes.Buffer
	cfg.Args, cfg.Stdin, cfg.Stdout = []string{"cat"}, strings.NewReader("first\nlast\n"), &stdout
	if _, err := Run(context.Background(), cfg); err != nil || stdout.String() != "first\nlast\n" {
		t.Errorf("%q, %v", &stdout, err)
	}
	stdout.Reset()
	// On a terminal the end of the input is Ctrl-D, not a hang-up.
	cfg.Args, cfg.Stdin = []string{"sh", "-c", "stty -echo; stty size; tty; read x; echo end"}, strings.NewReader("")
	cfg.TTY, cfg.Rows, cfg.Cols = true, 33, 99
	if _, err := Run(context.Background(), cfg); err != nil || stdout.String() != "33 99\r\n/dev/pts/0\r\nend\r\n" {
		t.Errorf("%q, %v", &stdout, err)
	}
}

// Two loops keep guest CPUs 0 and 1 busy, which share a host CPU because their
// threads may not run elsewhere; QEMU names the threads. How long the loops take
// is no matter of this test.
func TestGuestHostCPUs(t *testing.T) {
	cfg := guestConfigFor(t, "6.12")
	a, b := hostPair(t)
	cfg.Shape, cfg.Single, cfg.HostCPUs = Shape{1, 1, 4, 1}, false, []int{a, a, b, b}
	want := map[string]string{
		"CPU 0/TCG": fmt.Sprint(a), "CPU 1/TCG": fmt.Sprint(a), "CPU 2/TCG": fmt.Sprint(b), "CPU 3/TCG": fmt.Sprint(b),
	}
	got := map[string]string{}
	cfg.Stdout = writerFunc(func() {
		tasks, err := filepath.Glob("/proc/[0-9]*/task/[0-9]*")
		if err != nil {
			t.Error(err)
		}
		for _, task := range tasks {
			stat, err := procfile.ReadStat(filepath.Dir(filepath.Dir(task)))
			comm, err2 := os.ReadFile(task + "/comm")
			status, err3 := os.ReadFile(task + "/status")
			name := strings.TrimSpace(string(comm))
			if errors.Join(err, err2, err3) != nil || int(stat.PPID) != os.Getpid() || !strings.HasPrefix(name, "CPU ") {
				continue
			}
			allowed, err := procfile.StatusAllowed(status, nil)
			if err != nil {
				t.Error(err)
			}
			got[name] = allowed.String()
		}
	})
	cfg.Args = []string{"sh", "-c", `
		for cpu in 1 2; do taskset $cpu sh -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done' & done
		test $(nproc) = 4 && echo busy; wait`}
	if res, err := Run(context.Background(), cfg); err != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("threads and host CPUs (-want +got):\n%s", diff)
	}
}
