// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// How long is waited for what should be there at once, but on a crowded machine
// is not.
const (
	startTimeout = time.Minute      // for the launcher; mllbd loads its programs before it
	endTimeout   = 30 * time.Second // for mllbd, which gives masks back
)

// process is one launcher with what is around and below it, seen from the
// benchmark.
type process struct {
	cmd      *exec.Cmd
	listener *net.UnixListener
	conn     net.Conn
	lines    *bufio.Reader
	pid      int           // of the launcher
	answer   chan answer   // one, after begin
	exited   chan struct{} // closed when cmd has ended
	err      error         // how; valid then
	stdout   string        // files
	stderr   string
}

// spec is a command to launch.
type spec struct {
	around []string // what runs the launcher, such as mllbd with its flags; nil: nothing
	argv   []string
	env    []string
	dir    string
	tree   bool
	grace  time.Duration
	name   string // of its files in the scratch directory
}

// launch starts a launcher that waits to be told to go.
func (x *executor) launch(ctx context.Context, g *processGroup, s spec) (p *process, err error) {
	socket := filepath.Join(x.scratch, s.name+".sock")
	p = &process{exited: make(chan struct{}), stdout: filepath.Join(x.scratch, s.name+".out"), stderr: filepath.Join(x.scratch, s.name+".err")}
	if p.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"}); err != nil {
		return nil, err
	}
	defer p.listener.Close() // it removes the file, too
	argv := append(append([]string{}, s.around...), x.Self, "bench-run", "--socket", socket, "--grace", s.grace.String())
	if s.tree {
		argv = append(argv, "--tree")
	}
	argv = append(append(argv, "--"), s.argv...)
	if err := p.start(argv, s, g); err != nil {
		return nil, err
	}
	if err := p.accept(ctx); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// start has the process in a group of its own, so that ^C reaches the benchmark
// alone, and in the run's cgroup, if there is one.
func (p *process) start(argv []string, s spec, g *processGroup) error {
	stdout, err := os.Create(p.stdout)
	if err != nil {
		return err
	}
	defer stdout.Close()
	stderr, err := os.Create(p.stderr)
	if err != nil {
		return err
	}
	defer stderr.Close()
	cgroup := g.openCgroup()
	if cgroup != nil {
		defer cgroup.Close()
	}
	for {
		p.cmd = exec.Command(argv[0], argv[1:]...)
		p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = stdout, stderr, s.dir
		p.cmd.Env = append(append(environment(), s.env...), g.env())
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if cgroup != nil {
			p.cmd.SysProcAttr.UseCgroupFD, p.cmd.SysProcAttr.CgroupFD = true, int(cgroup.Fd())
		}
		err := p.cmd.Start()
		if err == nil {
			break
		}
		if cgroup == nil {
			return err
		}
		cgroup = nil // this kernel or this hierarchy does not have it
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	return nil
}

// environment is this process's without what mllbd would take for flags.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MLLBD_") })
}

// accept waits for the launcher to say that it is there.
func (p *process) accept(ctx context.Context) error {
	type accepted struct {
		conn net.Conn
		err  error
	}
	got := make(chan accepted, 1)
	_ = p.listener.SetDeadline(time.Now().Add(startTimeout))
	go func() {
		conn, err := p.listener.Accept()
		got <- accepted{conn, err}
	}()
	select {
	case a := <-got:
		if a.err != nil {
			return fmt.Errorf("wait for the launcher: %w", a.err)
		}
		p.conn, p.lines = a.conn, bufio.NewReader(a.conn)
		m, err := p.read()
		p.pid = m.PID
		return err
	case <-p.exited:
		return p.ended()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *process) read() (m message, err error) {
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return m, fmt.Errorf("the launcher has exited: %w", err)
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return m, fmt.Errorf("the launcher sent %q: %w", line, err)
	}
	if m.Error != "" {
		return m, errors.New(m.Error)
	}
	return m, nil
}

// answer is what the launcher said last.
type answer struct {
	usage *Usage
	err   error
}

// begin has the command go.
func (p *process) begin() error {
	if _, err := p.conn.Write([]byte("go\n")); err != nil {
		return fmt.Errorf("start the command: %w", err)
	}
	p.answer = make(chan answer, 1)
	go func() {
		m, err := p.read()
		if err == nil && m.Usage == nil {
			err = errors.New("the launcher did not say how the command ended")
		}
		p.answer <- answer{m.Usage, err}
	}()
	return nil
}

// wait returns once the command has ended, the process around it has, or ctx does.
func (p *process) wait(ctx context.Context) (*Usage, error) {
	select {
	case a := <-p.answer:
		return a.usage, a.err
	case <-p.exited:
		select {
		case a := <-p.answer: // it said so first
			return a.usage, a.err
		case <-time.After(100 * time.Millisecond):
			return nil, p.ended()
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stop asks for the end of the command, and waits for it.
func (p *process) stop(ctx context.Context) (*Usage, error) {
	if err := p.conn.(*net.UnixConn).CloseWrite(); err != nil {
		return nil, fmt.Errorf("stop the command: %w", err)
	}
	return p.wait(ctx)
}

// ended says how the process around the launcher ended, with its last words.
func (p *process) ended() error {
	text := p.cmd.Args[0] + " ended"
	if p.err != nil {
		text += ": " + p.err.Error()
	}
	return errors.New(text + p.lastWords())
}

// lastWords is ": " and the last line of stderr, if there is one.
func (p *process) lastWords() string {
	b, err := tail(p.stderr, 2<<10)
	if err != nil {
		return ""
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return ""
	}
	return ": " + text[strings.LastIndexByte(text, '\n')+1:]
}

// close ends the launcher, and with it the command if it still runs, and waits
// for the process around it. An error says that it had to be killed: then the
// process group is to be killed.
func (p *process) close() error {
	if p.conn != nil {
		p.conn.Close()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(endTimeout):
		_ = p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("%s did not end within %v", p.cmd.Args[0], endTimeout)
	}
}

// tail reads the end of a file.
func tail(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, st.Size()-n)
	b := make([]byte, st.Size()-from)
	got, err := f.ReadAt(b, from)
	if got < len(b) {
		return b[:got], err
	}
	return b, nil
}
