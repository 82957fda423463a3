// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/number"
)

// The descriptors that QEMU inherits by exec.Cmd.ExtraFiles.
const (
	portFD    = 3 // frames
	monitorFD = 4 // QMP
)

// Limits are wide: the guest is emulated, and the host may be busy.
const (
	bootLimit  = 4 * time.Minute  // to the ready frame; 56 emulated CPUs take 30 s on two cores
	beatLimit  = 2 * time.Minute  // without a frame; init sends one every 2 s
	slowClock  = 10               // times as long where the guest's clock counts instructions: its seconds are long
	deathGrace = 10 * time.Second // from an oops to QEMU's end, for the rest of the report
	quitGrace  = 5 * time.Second  // from QEMU's end to the end of its frames
)

// session is one guest on its way from power-on to its answer.
type session struct {
	cfg     Config
	con     *console
	started time.Time
	release atomic.Pointer[string] // set once init is up
	bootIn  atomic.Int64
	last    atomic.Int64  // when the last frame came, nanoseconds since started
	busy    atomic.Bool   // a frame is being written to the caller: not the guest's fault
	up      chan struct{} // closed when init is up
	greet   sync.Once
	slow    *schedule // nil: no limits
}

func newSession(cfg Config) *session {
	return &session{cfg: cfg, con: newConsole(cfg.Console), started: time.Now(), up: make(chan struct{})}
}

// boot runs one guest to its end.
func boot(ctx context.Context, cfg Config, qemu string, m machine, limits *throttle) (Result, error) {
	s := newSession(cfg)
	ours, theirs, err := socketPair()
	if err != nil {
		return Result{}, err
	}
	defer ours.Close()
	qmp, qmpTheirs, err := socketPair()
	if err != nil {
		theirs.Close()
		return Result{}, err
	}
	defer qmp.Close()
	var complaints bytes.Buffer
	cmd := exec.Command(qemu, m.args()...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.con, &complaints, []*os.File{theirs, qmpTheirs}
	// Its own group: the terminal's Ctrl-C comes to us, and we end it. SIGKILL
	// to us ends it too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	ended, err := start(cmd)
	theirs.Close()
	qmpTheirs.Close()
	if err != nil {
		return Result{}, fmt.Errorf("start QEMU: %w", err)
	}
	answer := make(chan outcome, 1)
	go func() { answer <- s.receive(ours) }()
	if cfg.Stdin != nil {
		go forward(cfg.Stdin, &frameWriter{w: ours})
	}
	var got outcome
	if err = s.place(ctx, qmp, cmd.Process.Pid, limits); err == nil {
		got, err = s.await(ctx, answer, ended)
	}
	_ = cmd.Process.Kill() // fails only if it has ended
	<-ended
	rep := s.con.report()
	res := Result{
		Boot: time.Duration(s.bootIn.Load()), Files: got.files, Skipped: got.end.Skipped,
		Warnings: rep.Warnings, Stalls: rep.Stalls,
	}
	if r := s.release.Load(); r != nil {
		res.Release = *r
	}
	if errors.Is(err, ErrLost) && complaints.Len() > 0 {
		return res, fmt.Errorf("QEMU: %s", strings.TrimSpace(complaints.String()))
	}
	return res, err
}

// start starts QEMU from a thread that lives as long as it does: Pdeathsig
// fires when the thread ends, not the process (prctl(2), PR_SET_PDEATHSIG).
func start(cmd *exec.Cmd) (ended chan struct{}, err error) {
	ended = make(chan struct{})
	began := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		began <- err
		if err == nil {
			_ = cmd.Wait() // QEMU's own status says nothing about the guest
			close(ended)
		}
	}()
	return ended, <-began
}

func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "frames"), os.NewFile(uintptr(fds[1]), "frames")
	defer ours.Close() // FileConn duplicates it
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("frames: %w", err)
	}
	return conn, theirs, nil
}

// await waits for the first of: the answer, QEMU's end, an oops, silence, the
// time limit, the caller.
func (s *session) await(ctx context.Context, answer <-chan outcome, ended <-chan struct{}) (outcome, error) {
	var limit <-chan time.Time
	if s.cfg.Timeout > 0 {
		limit = time.After(s.cfg.Timeout)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case got := <-answer:
			if lost(got.err) { // why may stand in the console, which is not read yet
				select {
				case <-ended:
				case <-time.After(quitGrace):
				}
			}
			return got, s.verdict(got)
		case <-s.con.dead:
			return s.died(answer, ended)
		case <-ended:
			return s.ended(answer)
		case <-ctx.Done():
			return outcome{}, context.Cause(ctx)
		case <-s.up:
			s.up = nil
			if s.slow != nil {
				s.slow.begin()
			}
		case <-s.slow.due():
			if err := s.slow.next(); err != nil {
				return outcome{}, err
			}
		case <-limit:
			return outcome{}, s.failure(s.cfg.Timeout.String(), ErrTimeLimit)
		case <-tick.C:
			if reason := s.silence(); reason != "" {
				return outcome{}, s.failure(reason, ErrHung)
			}
		}
	}
}

// died gives an oops time to be reported whole.
func (s *session) died(answer <-chan outcome, ended <-chan struct{}) (outcome, error) {
	select {
	case <-ended:
	case <-time.After(deathGrace):
	}
	return outcome{}, s.failure(s.deathReason())
}

// ended reads what QEMU left in the socket.
func (s *session) ended(answer <-chan outcome) (outcome, error) {
	select {
	case got := <-answer:
		return got, s.verdict(got)
	case <-time.After(quitGrace):
		return outcome{}, s.failure(s.deathReason())
	}
}

// deathReason is an oops or a panic if the console shows one.
func (s *session) deathReason() (cause string, reason error) {
	switch rep := s.con.report(); rep.Worst {
	case oopsed:
		return rep.Cause, ErrOops
	case panicked:
		return rep.Cause, ErrPanic
	}
	return "", ErrLost
}

func (s *session) silence() string {
	now := time.Since(s.started)
	quiet := now - time.Duration(s.last.Load())
	boot, beat := bootLimit, beatLimit
	if s.cfg.ICount {
		boot, beat = boot*slowClock, beat*slowClock
	}
	switch {
	case s.release.Load() == nil && now > boot:
		return fmt.Sprintf("not up after %v", boot)
	case s.release.Load() != nil && !s.busy.Load() && quiet > beat:
		return fmt.Sprintf("silent for %v", beat)
	}
	return ""
}

func (s *session) failure(detail string, reason error) error {
	rep := s.con.report()
	phase := "while the command ran"
	if s.release.Load() == nil {
		phase = "at boot"
	}
	if n := len(rep.Stalls); n > 0 && detail != rep.Cause {
		detail += fmt.Sprintf("; the console reports %s, first: %s", number.Of(n, "stall"), rep.Stalls[0])
	}
	return &GuestError{Reason: reason, Phase: phase, Detail: detail, Console: rep.Tail, Tries: 1}
}

// lost: QEMU closed the socket before the guest's answer.
func lost(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// verdict turns what the guest sent into Run's error.
func (s *session) verdict(got outcome) error {
	switch {
	case s.con.report().Worst >= oopsed:
		return s.failure(s.deathReason()) // a status from a broken kernel is no answer
	case lost(got.err):
		return s.failure(s.deathReason())
	case got.err != nil:
		return got.err
	case got.end.Status != 0:
		return &ExitError{Status: got.end.Status}
	}
	return nil
}
