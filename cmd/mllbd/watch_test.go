// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
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

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/screen"
	"mllb/mlp"
	"mllb/scheduler"
)

// watched is a watcher of stats, with the built-in model.
func watched(t testing.TB) *watcher {
	t.Helper()
	m, err := mlp.Default()
	if err != nil {
		t.Fatal(err)
	}
	w := newWatcher(&stats{start: time.Now()})
	w.identify(identity{Mode: "own", Policy: "mlp", Model: "built-in"}, judge{model: m, set: m.Set}, 100*time.Millisecond)
	return w
}

func (w *watcher) tick(t *scheduler.Tick) {
	w.stats.Tick(t)
	w.Tick(t)
}

// TestWatcher: what is shown of a tick, and what its moves came to.
func TestWatcher(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	w.tick(tick)
	w.lookers.Add(1)
	tick.Start = tick.Start.Add(time.Second)
	tick.Snapshot.Threads[0].Hold = 2
	w.tick(tick)
	st, setup, version := w.look(nil, 0)
	if st.Setup == nil || setup != st.Setup || len(setup.CPUs) != 4 || len(setup.Features) != len(w.judge.set.Features) {
		t.Errorf("setup: %+v", st.Setup)
	}
	if diff := cmp.Diff([]uint32{5, 1, 0, 12}, st.Queue); diff != "" || st.Speed != nil || st.Mode != "own" || !st.Read.Equal(tick.Start) {
		t.Errorf("state: %+v", st)
	}
	if n := slots; st.Imbalance[n-1] != 12 || st.Imbalance[n-2] != -1 || st.Imbalance[n-3] != 12 || st.Moves[n-1] != 2 || st.Moves[n-3] != 2 {
		t.Errorf("timeline: %v, %v", st.Imbalance[n-4:], st.Moves[n-4:])
	}
	d := screen.Decision{At: tick.Start, TGID: 100, Comm: "we\"ird\n\xff", FromQueue: 5}
	want := []screen.Decision{d, d, d, d}
	for i, edit := range []func(d *screen.Decision){
		func(d *screen.Decision) {
			d.TID, d.To, d.Level, d.Migrate, d.Network, d.Logit, d.Moved, d.Why = 100, 2, "machine", true, true, 1.5, true, "moved"
		},
		func(d *screen.Decision) {
			d.TID, d.To, d.Level, d.Migrate, d.Why = 101, 1, "node", true, "no such process"
		},
		func(d *screen.Decision) {
			d.TID, d.From, d.To, d.Level, d.Network, d.Logit, d.Why = 102, 3, 2, "node", true, -1, "stay"
		},
		func(d *screen.Decision) {
			d.TID, d.From, d.To, d.Level, d.Active, d.Migrate, d.Moved, d.Why = 103, 3, 2, "node", true, true, true, "moved"
		},
	} {
		edit(&want[i])
		want[i].Seq, want[i].Rule = uint64(i+1), scheduler.CFS{}.Decide(&tick.Plan.Candidates[0].Decision).Migrate
	}
	if diff := cmp.Diff(want, st.Decisions, cmpopts.IgnoreFields(screen.Decision{}, "Values", "Outside")); diff != "" {
		t.Errorf("decisions (-want +got):\n%s", diff)
	}

	// A second later the first thread is back where it was, and the last ran half the time.
	next := sampleTick(t)
	next.Start, next.Snapshot.Time = tick.Start.Add(time.Second), tick.Snapshot.Time+int64(time.Second)
	next.Plan, next.Errors, next.ReleaseErrors, next.Topology = &scheduler.Plan{}, nil, nil, tick.Topology
	next.Snapshot.Threads = next.Snapshot.Threads[:4]
	next.Snapshot.Threads[3].Hold, next.Snapshot.Threads[3].CPU, next.Snapshot.Threads[3].Runtime = 2, 2, uint64(time.Second/2)
	w.tick(next)
	st, _, _ = w.look(setup, version)
	after := make(map[int32]screen.After)
	for _, d := range st.Decisions {
		after[d.TID] = *d.After
	}
	if diff := cmp.Diff(map[int32]screen.After{100: {Seen: true, Undone: true}, 103: {Seen: true, CPU: 2, Share: 0.5}}, after); diff != "" {
		t.Errorf("what became of the moves (-want +got):\n%s", diff)
	}
}

// TestWatcherMovedAgain: what a thread ran until its next move is what the first came to.
func TestWatcherMovedAgain(t *testing.T) {
	w := watched(t)
	w.lookers.Add(1)
	tick := sampleTick(t)
	w.tick(tick)
	tick.Snapshot.Time += int64(time.Second / 5)
	tick.Snapshot.Threads[3].Runtime, tick.Snapshot.Threads[3].Hold, tick.Snapshot.Threads[3].CPU = uint64(time.Second/20), 2, 2
	w.tick(tick)
	st, _, _ := w.look(nil, 0)
	var got []*screen.After
	for _, d := range st.Decisions {
		if d.TID == 103 {
			got = append(got, d.After)
		}
	}
	if diff := cmp.Diff([]*screen.After{{Seen: true, CPU: 2, Share: 0.25}, nil}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestWatcherOutside: each feature that is out of its range is named.
func TestWatcherOutside(t *testing.T) {
	w := watched(t)
	w.lookers.Add(1)
	tick := sampleTick(t)
	c := &tick.Plan.Candidates[0]
	c.Decision.SrcLen, c.Verdict = 100_000, scheduler.Verdict{OutOfDistribution: true}
	w.tick(tick)
	st, setup, _ := w.look(nil, 0)
	d := st.Decisions[0]
	var names []string
	for _, k := range d.Outside {
		names = append(names, setup.Features[k].Name)
	}
	if d.Network || !strings.Contains(strings.Join(names, " "), "src_len") {
		t.Errorf("outside: %v of %+v", names, d)
	}
}

// TestWatcherAlone: nobody looks, and a tick costs no memory.
func TestWatcherAlone(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	if n := testing.AllocsPerRun(100, func() { tick.Start = tick.Start.Add(time.Second / 10); w.Tick(tick) }); n != 0 {
		t.Errorf("%v allocations a tick, want 0", n)
	}
	if st, _, _ := w.look(nil, 0); len(st.Decisions) != 0 || len(st.Queue) != 4 {
		t.Errorf("state: %+v", st)
	}
}

// TestWatcherThrottled: what was not read is not taken for read.
func TestWatcherThrottled(t *testing.T) {
	w := watched(t)
	tick := sampleTick(t)
	w.tick(tick)
	for i, late := range []scheduler.Tick{{Throttled: true}, {Err: errors.New("blind")}} {
		late.Start = tick.Start.Add(time.Duration(i+1) * time.Second)
		w.tick(&late)
		if st, _, _ := w.look(nil, 0); st.Throttled != late.Throttled || !st.Read.Equal(tick.Start) || st.Imbalance[slots-1] != -1 {
			t.Errorf("tick %d: throttled %t, read %v, imbalance %v", i, st.Throttled, st.Read, st.Imbalance[slots-3:])
		}
	}
}

// TestViewerRedrawsInPlace draws over the frame before, unless the terminal's size changed.
func TestViewerRedrawsInPlace(t *testing.T) {
	w := watched(t)
	w.tick(sampleTick(t))
	var out bytes.Buffer
	width, height := 80, 24
	v := &viewer{watcher: w, out: &out, size: func() (int, int) { return width, height }}
	frame := func() string {
		out.Reset()
		v.draw(time.Now())
		return out.String()
	}
	for i, want := range []string{"\r\x1b[0;1mmllbd own", "\x1b[23A\r", "\x1b[23A\r"} {
		if got := frame(); !strings.HasPrefix(got, want) || strings.Count(got, "\x1b[K\n") != 23 {
			t.Errorf("frame %d: %q", i, got)
		}
	}
	width, height = 60, 10
	if got := frame(); !strings.HasPrefix(got, "\x1b[H\x1b[2J\r") || strings.Count(got, "\n") != 9 {
		t.Errorf("after another size: %q", got)
	}
	q := newQueue(io.Discard, 0)
	_ = q.close(time.Now().Add(patience()))
	v.out, width = q, 70 // which drops it
	if v.draw(time.Now()); v.width != 60 {
		t.Error("a frame that was dropped is taken for drawn")
	}
}

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
	w.id.Model = strings.Repeat("long", queueLimit/8) // so that few states fill its queue
	w.mu.Unlock()
	for w.lookers.Load() == 2 {
		tick.Start = tick.Start.Add(time.Second)
		w.tick(tick)
		var st screen.State
		if err := other.Decode(&st); err != nil {
			t.Fatal(err)
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

func BenchmarkWatcher(b *testing.B) {
	for _, lookers := range []int32{0, 1} {
		b.Run(fmt.Sprint(lookers, "-lookers"), func(b *testing.B) {
			w := watched(b)
			w.lookers.Store(lookers)
			tick := sampleTick(b)
			tick.Snapshot.Runqueues = make([]features.Runqueue, 1024)
			b.ReportAllocs()
			for b.Loop() {
				tick.Start = tick.Start.Add(100 * time.Millisecond)
				w.Tick(tick)
			}
		})
	}
}
