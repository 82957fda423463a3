// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"mllb/internal/screen"
	"mllb/topology"
)

// tty is a program at a terminal of its own.
type tty struct {
	t      *testing.T
	cmd    *exec.Cmd
	master *os.File
	slave  *os.File
	screen *vt.SafeEmulator
	cooked *term.State // of the terminal, at first
}

func startAtTerminal(t *testing.T, env []string, argv ...string) *tty {
	t.Helper()
	p := &tty{t: t, screen: vt.NewSafeEmulator(80, 24)}
	var err error
	if p.master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	fd := int(p.master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if p.slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	if p.cooked, err = term.GetState(int(p.slave.Fd())); err != nil {
		t.Fatal(err)
	}
	p.resize(80, 24)
	go func() { _, _ = io.Copy(p.screen, p.master) }()
	go func() { _, _ = io.Copy(p.master, p.screen) }() // what the terminal answers, and what is typed
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append(os.Environ(), append([]string{"TERM=xterm-256color", "LC_ALL=C.UTF-8"}, env...)...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = p.slave, p.slave, p.slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.slave.Close()
		p.master.Close()
	})
	return p
}

func (p *tty) resize(width, height int) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)}); err != nil {
		p.t.Fatal(err)
	}
	p.screen.Resize(width, height)
}

func (p *tty) enter(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// expect waits until the screen shows all of the texts.
func (p *tty) expect(texts ...string) {
	p.t.Helper()
	shown := ""
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		shown = p.screen.String()
		missing := false
		for _, text := range texts {
			missing = missing || !strings.Contains(shown, text)
		}
		if !missing {
			return
		}
	}
	p.t.Fatalf("no %q:\n%s", texts, shown)
}

// buildDaemon builds the daemon beside nothing else, and has it found.
func buildDaemon(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir, "mllb/cmd/mllbd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	return filepath.Join(dir, "mllbd")
}

// TestTop looks at an mllbd that moves threads of the test's own, at a terminal.
func TestTop(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs mllbd")
	}
	if runtime.NumCPU() < 2 {
		t.Skip("on one CPU nothing is moved")
	}
	state := t.TempDir()
	var log bytes.Buffer
	daemon := exec.Command(buildDaemon(t), "run", "--state-dir", state, "--mode", "own", "--hold", "busy", "--max-cpu", "0", "--",
		"sh", "../mllbd/demo.sh", "7")
	daemon.Stderr, daemon.SysProcAttr = &log, &syscall.SysProcAttr{Setpgid: true}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(-daemon.Process.Pid, unix.SIGKILL) })
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(state, "view.sock")); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("mllbd does not begin:\n%s", log.String())
		}
	}
	p := startAtTerminal(t, nil, "mllb", "top", "--state-dir", state)
	p.expect("mllbd own", "policy mlp", "node 0", "imbalance", "moves", "q quit")
	p.expect("ran ") // sh was moved, and a second is over
	p.enter("/moved\r")
	p.expect(`with "moved"`)
	p.enter("\x1b[B") // down
	p.enter("\r")
	p.expect("why sh ", "src_len", "the rule: ")
	p.resize(120, 40)
	p.expect("why sh ", "src_len")
	p.enter("\r")
	p.enter("p")
	p.expect("PAUSED")
	p.enter("p")
	p.enter("h")
	p.expect("this help")
	p.enter("h")
	if err := daemon.Wait(); err != nil {
		t.Errorf("mllbd: %v\n%s", err, log.String())
	}
	p.expect("mllbd HAS ENDED", "STALE")
	p.enter("q")
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("mllb top: %v", err)
	}
	after, err := term.GetState(int(p.slave.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if *after != *p.cooked {
		t.Errorf("the terminal's modes are %+v, and were %+v", *after, *p.cooked)
	}
	for end := time.Now().Add(time.Minute); p.screen.IsAltScreen(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the terminal does not show what was there before")
		}
	}
}

// sends is an mllbd of another machine: it sends states as fast as one does, in which
// all queues and decisions change all the time, until the test ends.
func sends(t *testing.T, desc string) (stateDir string) {
	t.Helper()
	topo, err := topology.Parse(desc)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, screen.Socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		st := screen.State{Setup: &screen.Setup{CPUs: screen.Places(topo)}, Mode: "own", Interval: 100 * time.Millisecond}
		random, out := rand.New(rand.NewPCG(1, 2)), json.NewEncoder(conn)
		for n := uint64(1); ; n++ {
			st.Queue, st.Speed, st.Decisions = nil, nil, nil
			for cpu := range uint32(topo.Online.Count()) {
				st.Queue, st.Speed = append(st.Queue, random.Uint32N(5)), append(st.Speed, 1024-cpu%3*256)
			}
			for seq := range uint64(4) {
				d := screen.Decision{Seq: 4*n + seq, At: time.Now(), Comm: "stress-ng-cpu", TID: int32(n), To: int32(seq), Level: "node", Moved: true}
				st.Decisions = append(st.Decisions, d)
			}
			st.Imbalance = append(st.Imbalance, random.Int32N(5))
			st.Moves = append(st.Moves, random.Int32N(2))
			st.Sent, st.Read = time.Now(), time.Now()
			if out.Encode(&st) != nil {
				return
			}
			st.Setup = nil
			time.Sleep(screen.Every)
		}
	}()
	return dir
}

// TestTopOf1024CPUs shows such a machine, and says what that costs. MLLB_TOP is for how
// many seconds.
func TestTopOf1024CPUs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	seconds, _ := strconv.Atoi(os.Getenv("MLLB_TOP"))
	for _, size := range [][2]int{{80, 24}, {200, 60}} {
		p := startAtTerminal(t, nil, "mllb", "top", "--state-dir", sends(t, "8x64x2"))
		p.resize(size[0], size[1])
		p.expect("mllbd own", "8 nodes 8 LLCs 512 cores 1024 CPUs", "node 7", "stress-ng-cpu")
		time.Sleep(time.Duration(seconds) * time.Second)
		p.enter("q")
		began := time.Now()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("mllb top: %v", err)
		}
		used := p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
		t.Logf("at %dx%d, in %d s: %v of CPU time; ended within %v", size[0], size[1], seconds, used, time.Since(began).Round(time.Millisecond))
	}
}

// TestTopAlone: where no mllbd runs, one is started, and ended; and without a terminal there is text.
func TestTopAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs mllbd")
	}
	buildDaemon(t)
	t.Setenv("TMPDIR", t.TempDir())
	nobody := t.TempDir()
	out, err := exec.Command("mllb", "top", "--state-dir", nobody).CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "mllbd observe  policy mlp") || bytes.ContainsRune(out, 0x1b) || strings.Count(string(out), "\n") > 23 || !strings.Contains(string(out), "\nnode 0 ") {
		t.Errorf("%v\n%s", err, out)
	}
	p := startAtTerminal(t, []string{"NO_COLOR=1"}, "mllb", "top", "--state-dir", nobody)
	p.expect("mllbd observe", "node 0")
	if err := p.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("mllb top: %v", err)
	}
	if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	dumb := startAtTerminal(t, []string{"TERM=dumb"}, "mllb", "top", "--state-dir", nobody)
	if err := dumb.cmd.Wait(); err != nil {
		t.Errorf("mllb top: %v", err)
	}
	dumb.expect("mllbd observe", "node 0")
}
