// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is a writer that may be read while it is written.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// Without a terminal there is a line now and then, with the time left by the pace since
// the first state.
func TestPlain(t *testing.T) {
	var out screen
	d := newDisplay(&out, "mllb test", false)
	at := time.Unix(1e9, 0)
	d.now = func() time.Time { return at }
	d.Step(State{Share: 0.5, Doing: "begin"})
	for _, s := range []State{{Share: 0.51}, {Share: 0.6, Doing: "go on"}, {Share: 0.6, Left: 2 * time.Hour, AtMost: true}} {
		at = at.Add(10 * time.Second)
		d.Set(s)
	}
	at = at.Add(20 * time.Second)
	d.Set(State{Share: 0.7, Left: 2 * time.Hour, AtMost: true})
	d.Say("a %s", "word")
	d.End()
	want := "mllb test: 50 %; begin\nmllb test: 60 %, about 80 s left; go on\nmllb test: 70 %, at most 2h00m left\nmllb test: a word\n"
	if got := strings.ReplaceAll(out.String(), "about 1 min", "about 80 s"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// On a terminal there is a bar with a table above it that are drawn over as a whole, lines
// stay, nothing is wider than the screen, and at the end all is gone.
func TestTerminal(t *testing.T) {
	master, slave := openTerminal(t, 60)
	var out screen
	go func() { _, _ = io.Copy(&out, master) }()
	t.Setenv("TERM", "xterm")
	d := New(slave, "mllb test")
	d.Say("before")
	d.Table([]string{"workload  arm", "spin  " + strings.Repeat("x", 300)})
	d.Set(State{Share: 0.25, Left: 5 * time.Minute, Doing: "round\x1b[2J 1"})
	wait := func(want string) {
		t.Helper()
		for range 150 {
			if strings.Contains(out.String(), want) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		drawn := out.String()
		t.Errorf("%q is not drawn in ...%q", want, drawn[max(0, len(drawn)-300):])
	}
	wait("mllb test: before\r\nworkload  arm\r\nspin  " + strings.Repeat("x", 53) + "\r\n [######..................] 25 %, about 5 min left; roun")
	d.Table([]string{"workload  arm", "spin  1.0"})
	d.Set(State{Share: 1})
	wait("\x1b[3A\x1b[Jworkload  arm\r\nspin  1.0\r\n [########################] 100 %\r\n")
	d.Say("a line")
	wait("\x1b[3A\x1b[Jmllb test: a line\r\nworkload")
	d.End()
	d.Say("after")
	wait("\x1b[3A\x1b[Jmllb test: after\r\n")
}

// openTerminal is openpty(3), for a terminal of so many columns.
func openTerminal(t *testing.T, columns uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0), unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns})); err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// A terminal that takes nothing stops neither the work nor its end.
func TestTerminalStopped(t *testing.T) {
	d := newDisplay(stopped{}, "mllb test", true)
	began := time.Now()
	for i := range 1000 {
		d.Set(State{Share: float64(i) / 1000})
		time.Sleep(time.Millisecond / 2)
	}
	d.End()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

type stopped struct{}

func (stopped) Write([]byte) (int, error) { select {} }
