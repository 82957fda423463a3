// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/procfile"
)

// fakeCPUs is QEMU's side of place: threads for CPUs, and a monitor that knows
// them. It returns after cont, and what the kernel says of each thread then.
func fakeCPUs() (string, error) {
	smp := os.Args[slices.Index(os.Args, "-smp")+1]
	n, err := strconv.Atoi(smp[:strings.IndexByte(smp, ',')])
	if err != nil {
		return "", err
	}
	type cpu struct {
		Index  int `json:"cpu-index"`
		Thread int `json:"thread-id"`
	}
	tid := make(chan int)
	var cpus []cpu
	for i := range n {
		go func() {
			runtime.LockOSThread()
			tid <- unix.Gettid()
			select {}
		}()
		cpus = append(cpus, cpu{i, <-tid})
	}
	qmp := os.NewFile(monitorFD, "qmp")
	to, from := json.NewEncoder(qmp), json.NewDecoder(qmp)
	if _, err := io.WriteString(qmp, greeting); err != nil {
		return "", err
	}
	for {
		var got struct{ Execute string }
		if err := from.Decode(&got); err != nil {
			return "", err
		}
		var answer any = struct{}{}
		if got.Execute == "query-cpus-fast" {
			slices.Reverse(cpus)
			answer = cpus
		}
		if err := to.Encode(map[string]any{"return": answer}); err != nil {
			return "", err
		}
		if got.Execute == "cont" {
			break
		}
	}
	var text strings.Builder
	slices.Reverse(cpus)
	for _, c := range cpus {
		task := fmt.Sprintf("/proc/self/task/%d/", c.Thread)
		status, err := os.ReadFile(task + "status")
		if err != nil {
			return "", err
		}
		allowed, err := procfile.StatusAllowed(status, nil)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, "CPU %d: host CPU %s\n", c.Index, allowed)
	}
	return text.String(), nil
}

// hostPair is two CPUs that this process may use, or the same one twice.
func hostPair(t *testing.T) (a, b int) {
	allowed, err := AllowedCPUs()
	if err != nil {
		t.Fatal(err)
	}
	for cpu := range allowed.All() {
		b = cpu
	}
	return allowed.First(), b
}

// Every CPU is where it belongs before the guest's first instruction: the fake
// says so when it is told to go on.
func TestPlace(t *testing.T) {
	state := playFake(t, "threads")
	a, b := hostPair(t)
	var stdout bytes.Buffer
	cfg := Config{Shape: Shape{1, 1, 4, 1}, Init: "/etc/hostname", Args: []string{"x"}, Stdout: &stdout, HostCPUs: []int{a, b, b, a}}
	var failed *ExitError
	if _, err := Run(context.Background(), cfg); !errors.As(err, &failed) {
		t.Fatal(err)
	}
	want := fmt.Sprintf("CPU 0: host CPU %d\nCPU 1: host CPU %d\nCPU 2: host CPU %d\nCPU 3: host CPU %d\n", a, b, b, a)
	if got := strings.TrimPrefix(stdout.String(), "out\n"); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
	checkGone(t, state, 1)
}

// A QEMU that refuses its command line never answers the monitor: what it says
// is the error.
func TestPlaceRefused(t *testing.T) {
	state := playFake(t, "refuse")
	a, _ := hostPair(t)
	cfg := Config{Shape: Shape{1, 1, 1, 1}, Init: "/etc/hostname", HostCPUs: []int{a}}
	if _, err := Run(context.Background(), cfg); err == nil || err.Error() != "QEMU: qemu: invalid option" {
		t.Errorf("got %v", err)
	}
	checkGone(t, state, 1)
}

// A QEMU that is silent is ended by ^C.
func TestPlaceCancelled(t *testing.T) {
	state := playFake(t, "hang")
	a, _ := hostPair(t)
	ctx, cancel := context.WithCancel(context.Background())
	cfg := Config{Shape: Shape{1, 1, 1, 1}, Init: "/etc/hostname", HostCPUs: []int{a}}
	go func() {
		for {
			if b, _ := os.ReadFile(state); len(b) > 0 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	checkGone(t, state, 1)
}

// Run limits a CPU and lifts the limit after the command has begun, and leaves
// nothing behind.
func TestRunSlow(t *testing.T) {
	probe := realThrottle(t)
	parent := filepath.Dir(probe.top)
	if err := probe.close(); err != nil {
		t.Fatal(err)
	}
	state := playFake(t, "hang slowly")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := Config{
		Shape: Shape{1, 1, 2, 1}, Init: "/etc/hostname", Args: []string{"x"}, Timeout: time.Minute,
		Slow: []Slow{{1, 50, 0}, {1, 100, time.Millisecond}, {0, 25, 2 * time.Millisecond}},
	}
	ended := make(chan error, 1)
	go func() { _, err := Run(ctx, cfg); ended <- err }()
	limits := func(want string) {
		t.Helper()
		for got := ""; got != want; {
			select {
			case err := <-ended:
				t.Fatalf("limits %q: %v", got, err)
			case <-time.After(time.Millisecond):
			}
			tops, _ := filepath.Glob(filepath.Join(parent, throttlePrefix+"*"))
			for _, top := range tops {
				now := &throttle{top: top, v2: probe.v2}
				got = readLimit(t, now, 0) + " " + readLimit(t, now, 1)
			}
		}
	}
	limits("max 50")
	if err := os.WriteFile(state+".seen", nil, 0o644); err != nil { // now the command begins
		t.Fatal(err)
	}
	limits("25 max")
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(parent, throttlePrefix+"*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
	checkGone(t, state, 1)
}
