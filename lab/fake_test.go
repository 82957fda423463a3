// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets this binary stand in for QEMU, found by its name in PATH.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == qemuBinary {
		os.Exit(fakeQEMU(os.Getenv("FAKE_QEMU"), os.Getenv("FAKE_QEMU_STATE")))
	}
	os.Exit(m.Run())
}

// fakeQEMU plays a guest. state is a file that counts the guests started.
func fakeQEMU(play, state string) int {
	b, _ := os.ReadFile(state) // none at first
	if os.WriteFile(state, append(b, fmt.Sprintln(os.Getpid())...), 0o644) != nil {
		return 1
	}
	frames := &frameWriter{w: os.NewFile(portFD, "frames")}
	if play == "refuse" {
		fmt.Fprintln(os.Stderr, "qemu: invalid option")
		return 1
	}
	if play == "oops" || play == "oops once" && len(b) == 0 {
		fmt.Println("Oops: int3: 0000 [#1] PREEMPT SMP\r\nKernel panic - not syncing: Fatal exception\r")
		return 0
	}
	if play == "panic" {
		fmt.Println("Kernel panic - not syncing: System is deadlocked on memory\r")
		return 0
	}
	var threads string
	if play == "threads" || play == "hang slowly" {
		var err error
		if threads, err = fakeCPUs(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	for play == "hang slowly" {
		if _, err := os.Stat(state + ".seen"); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if play == "hang" && slices.Contains(os.Args, "-S") {
		time.Sleep(time.Hour)
	}
	if frames.send(kindReady, []byte(`{"release":"6.12-fake"}`)) != nil || frames.send(kindStdout, []byte("out\n"+threads)) != nil {
		return 1
	}
	if strings.HasPrefix(play, "hang") {
		time.Sleep(time.Hour)
	}
	status := 5
	if play == "wait for another" {
		status = 1
		for range 1000 {
			if b, _ := os.ReadFile(state); bytes.Count(b, []byte("\n")) > 1 {
				status = 0
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if script, ok := strings.CutPrefix(play, "tests "); ok {
		var out string
		if out, status = fakeTests(script, strings.Count(string(b), "\n")); frames.send(kindStdout, []byte(out)) != nil {
			return 1
		}
	}
	if frames.send(kindExit, fmt.Appendf(nil, `{"status":%d}`, status)) != nil {
		return 1
	}
	time.Sleep(time.Hour) // a guest that never turns itself off
	return 0
}

func TestRun(t *testing.T) {
	status5 := func(err error) bool {
		var e *ExitError
		return errors.As(err, &e) && e.Status == 5
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	tests := []struct {
		play   string
		guests int
		want   func(error) bool
		notice string
	}{
		{play: "answer", guests: 1, want: status5},
		{play: "oops once", guests: 2, want: status5, notice: "oopsed at boot: Oops: int3: 0000 [#1] PREEMPT SMP; starting a new guest, try 2 of 3"},
		{play: "oops", guests: 3, want: is(ErrOops), notice: "try 3 of 3"},
		{play: "panic", guests: 1, want: is(ErrPanic)},
		{play: "refuse", guests: 1, want: func(err error) bool { return err != nil && err.Error() == "QEMU: qemu: invalid option" }},
		{play: "hang", guests: 1, want: is(ErrTimeLimit)},
	}
	for _, tt := range tests {
		t.Run(tt.play, func(t *testing.T) {
			state := playFake(t, tt.play)
			var stdout bytes.Buffer
			var notices []string
			cfg := Config{
				Shape: Shape{1, 1, 1, 1}, Init: "/etc/hostname", Args: []string{"x"}, Tries: 3, Stdout: &stdout,
				Notice: func(s string) { notices = append(notices, s) },
			}
			if tt.play == "hang" {
				cfg.Timeout = time.Second
			}
			res, err := Run(context.Background(), cfg)
			if !tt.want(err) || res.Tries != tt.guests {
				t.Errorf("%d tries, %v", res.Tries, err)
			}
			if said := strings.Join(notices, "\n"); !strings.Contains(said, tt.notice) {
				t.Errorf("notices: %s", said)
			}
			if tt.guests == 1 && status5(err) && (stdout.String() != "out\n" || res.Release != "6.12-fake") {
				t.Errorf("stdout %q, release %q", &stdout, res.Release)
			}
			checkGone(t, state, tt.guests)
		})
	}
}

// checkGone fails for every fake QEMU that Run left behind.
func checkGone(t *testing.T, state string, guests int) {
	t.Helper()
	b, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	pids := strings.Fields(string(b))
	if len(pids) != guests {
		t.Errorf("%d guests were started, want %d", len(pids), guests)
	}
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("QEMU %d is still there: %v", pid, err)
		}
	}
}

func TestRunCancelled(t *testing.T) {
	state := playFake(t, "hang")
	ctx, cancel := context.WithCancel(context.Background())
	cfg := Config{Shape: Shape{1, 1, 1, 1}, Init: "/etc/hostname", Args: []string{"x"}, Stdout: writerFunc(cancel)}
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	checkGone(t, state, 1)
}

// writerFunc is called at each write.
type writerFunc func()

func (f writerFunc) Write(p []byte) (int, error) { f(); return len(p), nil }
