// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// staying is a model that never moves anything, of the 15 features of the paper.
const staying = `{"schema": 1, "feature_set": "paper15",
 "features": ["src_non_pref_nr","delta_hot","cpu_idle","cpu_not_idle","cpu_newly_idle","same_node","prefer_src","prefer_dst",
   "src_len","src_load","dst_load","dst_len","delta_faults","extra_fails","buddy_hot"],
 "layers": [15, 1, 1], "weights": [[[1,0,0,0,0,0,0,0,0,0,0,0,0,0,0]], [[1]]], "biases": [[0], [-9]], "threshold": 0.5}`

// TestReload changes the configuration of a run that goes on.
func TestReload(t *testing.T) {
	needCPUs(t, 2)
	l := startLoad(t, "forkload", "2")
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(file(name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	log := func() string {
		b, _ := os.ReadFile(file("log"))
		return string(b)
	}
	says := func(d *daemonProc, text string) {
		t.Helper()
		if err := d.Process.Signal(unix.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "mllbd says "+text, func() (bool, any) { return strings.Contains(log(), text), log() })
	}
	base := "mode: assist\npolicy: mlp\ninterval: 20ms\nmax-cpu: 0\n"
	write("config", base)
	write("model", staying)
	d := prepareProgram(t, t.TempDir(), "mllbd", "run", "--state-dir", t.TempDir(), "--config", file("config"), "--cgroup", l.dir,
		"--events", file("events"), "--report", file("report"))
	stderr, err := os.Create(file("log"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	d.Stderr = stderr
	d.start()
	eventually(t, "there are decisions of the built-in model, which is of more features", func() (bool, any) {
		b, _ := os.ReadFile(file("events"))
		return strings.Contains(string(b), `"has_numa_faults"`), log()
	})

	write("config", base+"modell: x\n")
	says(d, `msg="the configuration stays as it is" err="`+file("config")+`:5: unknown key \"modell\", did you mean \"model\"?"`)
	write("config", base+"model: "+file("nowhere")+"\n")
	says(d, "nowhere: no such file or directory")
	write("config", strings.Replace(base, "20ms", "30ms", 1)+"model: "+file("model")+"\nexclude: [no-such-program]\nlog-level: debug\nlease: 2s\nbudget: 3\n")
	says(d, `msg="a reload cannot change this: restart mllbd for it" flags=budget,interval`)
	says(d, `msg="configuration is reloaded" model=model exclude=[no-such-program] max_cpu=0 lease=2s log_level=DEBUG`)

	// What is asked from now on is asked of the new model.
	if err := os.Rename(file("events"), file("before")); err != nil {
		t.Fatal(err)
	}
	says(d, "") // reopens it
	eventually(t, "decisions are by the new model", func() (bool, any) {
		b, _ := os.ReadFile(file("events"))
		return strings.Contains(string(b), `"verdict"`), log()
	})
	b, err := os.ReadFile(file("events"))
	if err != nil || strings.Contains(string(b), `"has_numa_faults"`) || strings.Contains(string(b), `"verdict":"migrate"`) {
		t.Errorf("%v, events of another model: %s", err, b)
	}

	// A cgroup that is excluded from now on is left alone.
	managed := regexp.MustCompile(` managed=[1-9]`) // of those that are awake
	if !managed.MatchString(log()) {
		t.Errorf("nothing was managed before, so nothing is shown:\n%s", log())
	}
	write("config", base+"model: "+file("model")+"\nexclude: "+l.dir+"\n")
	says(d, "exclude=["+l.dir+"]")
	var after string
	eventually(t, "some seconds pass", func() (bool, any) {
		_, after, _ = strings.Cut(log(), "exclude=["+l.dir+"]")
		return strings.Count(after, " managed=") > 4, after
	})
	if _, after, _ = strings.Cut(after, " managed="); managed.MatchString(after) { // the first line may be of a tick before
		t.Errorf("what is excluded is managed:\n%s", log())
	}
	if err := d.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log())
	}
	if report, err := os.ReadFile(file("report")); err != nil || !strings.Contains(string(report), `"model": "model"`) {
		t.Errorf("%s, %v", report, err)
	}
}

// TestEarlyHangup: a SIGHUP that comes before mllbd balances reloads once it does.
func TestEarlyHangup(t *testing.T) {
	if signal.Ignored(unix.SIGHUP) {
		t.Skip("SIGHUP is ignored here, and so by mllbd")
	}
	args := []string{"run", "--root", fixtureHost(t), "--snapshot", "proc", "--interval", "10ms"}
	by := newInvocation(args)
	by.terminal = false
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is there", func() (bool, any) { return len(by.hangups) > 0, "no" })
	var c cli
	parsed, err := c.parse(args, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	by.values = flagValues(parsed)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s := &session{cfg: &c.Run, by: by, stdout: io.Discard, stderr: log}
	defer s.close()
	s.openLog()
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.balance(ctx) }()
	eventually(t, "it is obeyed", func() (bool, any) {
		b, _ := os.ReadFile(log.Name())
		return strings.Contains(string(b), "configuration is reloaded"), string(b)
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestServiceManager is the service manager (sd_notify(3)).
func TestServiceManager(t *testing.T) {
	dir := t.TempDir()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	gate := filepath.Join(dir, "gate")
	start := func(program ...string) *daemonProc {
		d := prepareProgram(t, t.TempDir(), append(program, "run", "--root", fixtureHost(t), "--snapshot", "proc", "--interval", "10ms", "--max-cpu", "0")...)
		d.Env = append(os.Environ(), "NOTIFY_SOCKET="+conn.LocalAddr().String(), "WATCHDOG_USEC=400000")
		d.start()
		return d
	}
	hear := func(within time.Duration) string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(within))
		b := make([]byte, 1000)
		n, err := conn.Read(b)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	hearAll := func(want ...string) {
		t.Helper()
		var heard []string
		for _, w := range want {
			for {
				got := hear(patience())
				heard = append(heard, got)
				if got == "" {
					t.Fatalf("waiting for %q, heard %q", w, heard)
				}
				if strings.HasPrefix(got, w) {
					break
				}
				if got != "WATCHDOG=1" {
					t.Fatalf("waiting for %q, heard %q", w, heard)
				}
			}
		}
	}
	d := start("mllbd")
	hearAll("READY=1", "WATCHDOG=1", "WATCHDOG=1")
	if err := d.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hearAll("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	if err := d.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	hearAll("STOPPING=1")
	if err := d.Wait(); err != nil {
		t.Error(err)
	}

	// A loop that hangs feeds no watchdog.
	d = start("faulty", "hangs", gate)
	hearAll("READY=1", "WATCHDOG=1")
	writeFile(t, gate)
	silent := 0
	eventually(t, "the watchdog hears nothing any more", func() (bool, any) {
		if silent++; hear(time.Second) != "" {
			silent = 0
		}
		return silent >= 3, fmt.Sprint(silent)
	})
	_ = d.Process.Signal(syscall.SIGKILL)
	_ = d.Wait()

	// To a command the manager is its own.
	d = prepareProgram(t, t.TempDir(), "mllbd", "run", "--mode", "observe", "--no-compare", "--", "sleep", "1")
	d.Env = append(os.Environ(), "NOTIFY_SOCKET="+conn.LocalAddr().String())
	d.start()
	d.end()
	if got := hear(100 * time.Millisecond); got != "" {
		t.Errorf("heard %q of a command", got)
	}
}
