// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reader reads an output of mllbd, until it stops.
type reader struct {
	fd    int
	typed bool // it sits at a terminal

	mu      sync.Mutex
	stopped bool
	closed  bool
}

// newReader starts to read.
func newReader(t *testing.T, fd int, typed bool) *reader {
	t.Helper()
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	r := &reader{fd: fd, typed: typed}
	go func() {
		for b := make([]byte, 1<<16); r.look(b); {
			time.Sleep(time.Millisecond)
		}
	}()
	return r
}

func (r *reader) look(b []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.stopped && !r.closed {
		_, _ = unix.Read(r.fd, b)
	}
	return !r.closed
}

// stop has the next write of mllbd wait.
func (r *reader) stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopped = true
	if r.typed {
		_, err := unix.Write(r.fd, []byte("\x13")) // ^S
		return err
	}
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", r.fd), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for size := 1 << 16; size > 0; {
		if _, err := unix.Write(fd, make([]byte, size)); err == unix.EAGAIN {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) goOn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.typed {
		_, _ = unix.Write(r.fd, []byte("\x11")) // ^Q
	}
	r.stopped = false
}

func (r *reader) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	unix.Close(r.fd)
}

// stalled is an mllbd whose outputs are read by those who may stop.
type stalled struct {
	*exec.Cmd
	readers []*reader
	scraper net.Conn
	files   []*os.File // mllbd's ends
	addr    string
}

// startStalled starts an mllbd with a view on a terminal or into a pager, events for
// a FIFO, a log for a pipe, and metrics.
func startStalled(t *testing.T, l *testLoad, state string, terminal bool) *stalled {
	t.Helper()
	defaultSignals()
	fifo := filepath.Join(t.TempDir(), "events")
	s := &stalled{addr: freeAddr(t)}
	s.Cmd = exec.Command("mllbd", append(runArgs(state, l.ownArgs("cfs")...), "--view", "--events", fifo, "--log-level", "debug", "--listen", s.addr)...)
	s.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if terminal {
		master, slave, err := openTerminal()
		if err != nil {
			t.Fatal(err)
		}
		defer master.Close()
		fd, err := unix.FcntlInt(master.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.Stdout, s.Env = slave, append(os.Environ(), "TERM=xterm")
		s.SysProcAttr.Setctty, s.SysProcAttr.Ctty = true, 1
		s.files, s.readers = append(s.files, slave), append(s.readers, newReader(t, fd, true))
	} else {
		s.Stdout = s.pipe(t)
	}
	s.Stderr = s.pipe(t)
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(fifo, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.readers = append(s.readers, newReader(t, fd, false))
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.files {
		f.Close()
	}
	return s
}

func (s *stalled) pipe(t *testing.T) *os.File {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	s.readers = append(s.readers, newReader(t, fds[0], false))
	s.files = append(s.files, os.NewFile(uintptr(fds[1]), "pipe"))
	return s.files[len(s.files)-1]
}

// scrape asks for metrics, as one does who will not read them.
func (s *stalled) scrape() error {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return nil // it has ended already
	}
	s.scraper = conn
	_ = conn.(*net.TCPConn).SetReadBuffer(1)
	_, _ = conn.Write([]byte(strings.Repeat("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 1000)))
	return nil
}

func (s *stalled) close() {
	for _, r := range s.readers {
		r.close()
	}
	if s.scraper != nil {
		s.scraper.Close()
	}
}

// TestReadersStopAtRandom has all who read what mllbd writes stop at random moments,
// and SIGTERM come at another. The masks are back before anybody goes on, and mllbd
// ends whether they do or not. MLLB_STALLS is the number of rounds.
func TestReadersStopAtRandom(t *testing.T) {
	needCPUs(t, 2)
	rounds := 40
	switch n, err := strconv.Atoi(os.Getenv("MLLB_STALLS")); {
	case err == nil:
		rounds = n
	case inGuest:
		rounds = 4
	case testing.Short():
		rounds = 10
	}
	l := startLoad(t, "forkload", "2")
	whole := ownMaskText()
	within := 200 // ms: of views, events and log lines
	if inGuest {
		within = 2000
	}
	random := rand.New(rand.NewPCG(3, uint64(rounds)))
	held, longest, over := 0, time.Duration(0), 0
	for round := range rounds {
		state := t.TempDir()
		d := startStalled(t, l, state, round%2 == 0)
		begun := round%10 > 0 // else perhaps not
		if begun {
			l.waitHeld(t, whole, nil)
		}
		var stops sync.WaitGroup
		stopped := make(chan error, 10)
		for _, stop := range append([]func() error{d.scrape}, stopsOf(d.readers)...) {
			after := time.Duration(random.IntN(within)) * time.Millisecond
			stops.Go(func() {
				time.Sleep(after)
				stopped <- stop()
			})
		}
		time.Sleep(time.Duration(random.IntN(within)) * time.Millisecond)
		if len(l.narrowed(whole, nil)) > 0 {
			held++
		}
		begin := time.Now()
		if err := d.Process.Signal(unix.SIGTERM); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		eventually(t, fmt.Sprintf("round %d: the masks are back", round), func() (bool, any) {
			bad := l.narrowed(whole, nil)
			return len(bad) == 0, strings.Join(bad, "\n")
		})
		took := time.Since(begin)
		longest = max(longest, took)
		if took > 2*time.Second {
			over++
		}
		stops.Wait()
		for close(stopped); len(stopped) > 0; {
			if err := <-stopped; err != nil {
				t.Fatalf("round %d: a reader did not stop: %v", round, err)
			}
		}
		if round%8 > 0 { // else it ends by itself
			for _, r := range d.readers {
				r.goOn()
			}
		}
		if err := waitAtMost(d.Cmd, patience()); err != nil && (begun || err.Error() != "signal: terminated") {
			t.Fatalf("round %d: mllbd: %v", round, err)
		}
		if bad := l.narrowed(whole, nil); len(bad) > 0 {
			t.Fatalf("round %d: left narrowed:\n%s", round, strings.Join(bad, "\n"))
		}
		d.close()
	}
	t.Logf("%d rounds, in %d of them threads were held at SIGTERM; the masks were back within %v, in %d rounds after more than 2 s",
		rounds, held, longest.Round(time.Millisecond), over)
	if held < rounds/2 {
		t.Errorf("threads were held in only %d of %d rounds", held, rounds)
	}
}

func stopsOf(readers []*reader) (stops []func() error) {
	for _, r := range readers {
		stops = append(stops, r.stop)
	}
	return stops
}

// waitAtMost waits for a command, and kills it if it does not end.
func waitAtMost(cmd *exec.Cmd, most time.Duration) error {
	late := time.AfterFunc(most, func() { _ = cmd.Process.Kill() })
	err := cmd.Wait()
	if !late.Stop() {
		return errors.Join(err, fmt.Errorf("it did not end within %v", most))
	}
	return err
}
