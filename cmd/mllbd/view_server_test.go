// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/screen"
)

// serveStates binds a socket in a directory of the test's own.
func serveStates(t *testing.T, w *watcher, dir string) *viewServer {
	t.Helper()
	s, err := openViewServer(w, dir, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s
}

func dial(t *testing.T, dir string) *net.UnixConn {
	t.Helper()
	conn, err := screen.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// waitLookers waits until so many look.
func waitLookers(t *testing.T, w *watcher, n int32) {
	t.Helper()
	eventually(t, fmt.Sprint(n, " look"), func() (bool, any) { got := w.lookers.Load(); return got == n, got })
}

// TestViewServer: who connects has all at once, and then what is new; when they go nothing
// is collected any more.
func TestViewServer(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	w.tick(tick)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40)) // more than the path of a socket has
	serveStates(t, w, dir)
	conn := dial(t, dir)
	in := json.NewDecoder(conn)
	var st screen.State
	if err := in.Decode(&st); err != nil || st.Setup == nil || len(st.Queue) != 4 {
		t.Fatalf("first state: %+v, %v", st, err)
	}
	waitLookers(t, w, 1)
	tick.Start = tick.Start.Add(time.Second)
	w.tick(tick)
	st = screen.State{}
	if err := in.Decode(&st); err != nil || st.Setup != nil || len(st.Decisions) != 4 {
		t.Errorf("next state: %+v, %v", st, err)
	}
	conn.Close()
	waitLookers(t, w, 0)
	conn = dial(t, dir)
	waitLookers(t, w, 1)
	if _, err := conn.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	waitLookers(t, w, 0) // nobody has anything to say
}

// TestLookerStops: one that reads nothing holds up neither ticks nor others, and is cut off.
func TestLookerStops(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	w.tick(tick)
	dir := t.TempDir()
	serveStates(t, w, dir)
	dial(t, dir)
	other := json.NewDecoder(dial(t, dir))
	waitLookers(t, w, 2)
	w.mu.Lock()
	w.id.Model = strings.Repeat("long", queueLimit/64) // so that some states fill its queue, but not two
	w.mu.Unlock()
	for w.lookers.Load() == 2 {
		tick.Start = tick.Start.Add(time.Second)
		w.tick(tick)
		for read := (time.Time{}); !read.Equal(tick.Start); { // or it would fall behind as well
			var st screen.State
			if err := other.Decode(&st); err != nil {
				t.Fatal(err)
			}
			read = st.Read
		}
	}
}

// TestSocketTaken: an mllbd that changes something takes the name; one that observes leaves
// it to one that lives; whoever ends removes only its own.
func TestSocketTaken(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	path := filepath.Join(dir, screen.Socket)
	first := serveStates(t, watched(t), dir)
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := openViewServer(watched(t), dir, false, log); err == nil || err.Error() != "it is another mllbd's" {
		t.Errorf("beside one that lives: %v", err)
	}
	second := serveStates(t, watched(t), dir)
	if first.close(); len(files(t, dir)) != 1 {
		t.Errorf("the first removed what is the second's: %q", files(t, dir))
	}
	if second.close(); len(files(t, dir)) != 0 {
		t.Errorf("left: %q", files(t, dir))
	}
	// One that was killed leaves a socket that nobody listens at.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	third, err := openViewServer(watched(t), dir, false, log)
	if err != nil {
		t.Fatal(err)
	}
	dial(t, dir)
	third.close()
	made, err := openViewServer(watched(t), filepath.Join(dir, "made"), false, log)
	if err != nil {
		t.Fatal(err)
	}
	if made.close(); len(files(t, dir)) != 0 {
		t.Errorf("a directory that was made is left: %q", files(t, dir))
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := openViewServer(watched(t), dir, true, log); err == nil || !strings.Contains(err.Error(), "others may write to it") {
		t.Errorf("in a directory of everybody's: %v", err)
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// knocks is a program that reads what a socket sends.
func knocks(args []string) error {
	conn, err := net.Dial("unix", args[0])
	if err != nil {
		return err
	}
	b, err := io.ReadAll(conn)
	fmt.Printf("%d bytes\n", len(b))
	return err
}

// TestWrongPeer: what the mode of the socket would let in is refused for who it is.
func TestWrongPeer(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("to be another user needs root")
	}
	if inGuest {
		t.Skip("there is no room for another copy of the tests")
	}
	dir, err := os.MkdirTemp("/tmp", "mllb-peer-") // that of the test is root's, up to /tmp
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := watched(t)
	w.tick(sampleTick(t))
	serveStates(t, w, dir)
	path := filepath.Join(dir, screen.Socket)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "knocks")
	if err := os.WriteFile(program, exe, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "0 bytes\n" {
		t.Errorf("another user got %q, %v", out, err)
	}
	if n := w.lookers.Load(); n != 0 {
		t.Errorf("%d look", n)
	}
}

// TestSocketOfRun: an mllbd has its socket while it runs, also after one that was killed, and
// who reads nothing of it does not hold up its end.
func TestSocketOfRun(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, screen.Socket)
	for i, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		d := startProgram(t, state, append([]string{"mllbd"}, runArgs(state, "--mode", "observe", "--no-compare", "--no-view")...)...)
		eventually(t, "it sends", func() (bool, any) {
			conn, err := screen.Dial(state)
			if err != nil {
				return false, err
			}
			t.Cleanup(func() { conn.Close() })
			var st screen.State
			err = json.NewDecoder(conn).Decode(&st)
			return err == nil, err
		})
		if err := d.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		_ = waitAtMost(d.Cmd, patience())
		if _, err := os.Lstat(path); (err == nil) != (i == 0) {
			t.Errorf("after %v: %v", sig, err)
		}
	}
}
