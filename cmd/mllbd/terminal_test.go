// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// console is an interactive bash at a terminal.
type console struct {
	t      *testing.T
	master *os.File
	output chan string
	shown  string // what the terminal has shown
	seen   int    // how much of it was waited for
}

// openConsole starts the shell. $M is an mllbd that changes nothing, and $D a
// directory of the test's own.
func openConsole(t *testing.T) *console {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	master, slave, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defaultSignals()
	sh := exec.Command(bash, "--norc", "--noprofile", "-i")
	sh.Env = append(os.Environ(), "TERM=dumb", "PS1="+prompt, "HISTFILE=", "D="+t.TempDir(),
		"M=mllbd run --mode observe --no-compare --max-cpu 0 --log-level error --")
	sh.Stdin, sh.Stdout, sh.Stderr = slave, slave, slave
	sh.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	c := &console{t: t, master: master, output: make(chan string, 1000)}
	go c.read()
	t.Cleanup(func() {
		_ = sh.Process.Kill()
		_ = sh.Wait()
		master.Close() // the jobs get SIGHUP
	})
	return c
}

// openTerminal is openpty(3).
func openTerminal() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}

func (c *console) read() {
	defer close(c.output)
	for buf := make([]byte, 4096); ; {
		n, err := c.master.Read(buf)
		if err != nil {
			return
		}
		c.output <- string(buf[:n])
	}
}

func (c *console) enter(keys string) {
	c.t.Helper()
	if _, err := c.master.WriteString(keys); err != nil {
		c.t.Fatal(err)
	}
}

// expect waits for the terminal to show text, after what was waited for before.
func (c *console) expect(text string) {
	c.t.Helper()
	for deadline := time.After(patience()); ; {
		if i := strings.Index(c.shown[c.seen:], text); i >= 0 {
			c.seen += i + len(text)
			return
		}
		select {
		case more, ok := <-c.output:
			if !ok {
				c.t.Fatalf("the terminal is gone, waiting for %q:\n%s", text, c.shown)
			}
			c.shown += more
		case <-deadline:
			c.t.Fatalf("no %q:\n%s", text, c.shown)
		}
	}
}

// interrupts is a program that says each SIGINT that it gets, until there is a file.
func interrupts(args []string) error {
	got := make(chan os.Signal, 10)
	signal.Notify(got, unix.SIGINT)
	fmt.Println("ready")
	for look := time.Tick(50 * time.Millisecond); ; {
		select {
		case <-got:
			fmt.Println("int")
		case <-look:
			if _, err := os.Stat(args[0]); err == nil {
				fmt.Println("over")
				return nil
			}
		}
	}
}

// awaits is a program that says that it is ready and ends when there is a file. A shell
// in its place forks, and one that is stopped while the child of its vfork(2) has
// stopped already (dash) looks as if it went on.
func awaits(args []string) error {
	fmt.Println("ready")
	for range time.Tick(50 * time.Millisecond) {
		if _, err := os.Stat(args[0]); err == nil {
			break
		}
	}
	return nil
}

const ctrlC, ctrlZ = "\x03", "\x1a"

// prompt is the shell's: what is typed before it is shown, while a job stops or
// ends, may be thrown away.
const prompt = "at> "

// TestTerminal has mllbd at a terminal where env(1) could be. A word that is
// waited for is typed in two parts, since the terminal echoes what is typed.
func TestTerminal(t *testing.T) {
	if inGuest {
		t.Skip("there is no bash")
	}
	for _, tt := range []struct {
		name  string
		steps []string // to enter and to expect in turn
		never string   // what is not to be shown
	}{
		{"the pager has the terminal", []string{
			"$M seq 100000 2>/dev/null | { head -n 1; read key </dev/tty; echo key-$key.; }\n", "1\r\n", "k\n", "key-k."}, "Stopped"},
		{"what feeds it has the terminal", []string{
			"head -n 1 | $M sh -c 'read line; echo line-$line.'\n", "", "l\n", "line-l."}, "Stopped"},
		{"^C reaches a pipeline once", []string{
			"$M interrupts $D/go | (trap '' INT; cat)\n", "ready",
			ctrlC, "int\r\n", "TOUCH", "over"}, "int\r\nint"},
		{"^C reaches a job of its own once", []string{
			"$M interrupts $D/go\n", "ready",
			ctrlC, "int\r\n", "TOUCH", "over"}, "int\r\nint"},
		{"^C ends a script", []string{
			"sh -c '$M awaits $D/go; echo aft\"\"er'\n", "ready", ctrlC, prompt, "echo code-$?.\n", "code-130."}, "after"},
		{"^Z stops a pipeline", []string{
			"$M sh -c 'echo rea\"\"dy; read key </dev/tty; echo key-$key.' | cat\n", "ready",
			ctrlZ, "Stopped", "fg\n", "cat\r\n", "k\n", "key-k."}, ""},
		{"^Z stops a script", []string{
			"sh -c '$M sh -c \"echo rea\"dy\"; read key; echo key-\\$key.\"; :'\n", "ready",
			ctrlZ, "Stopped", "fg\n", "\r\n", "k\n", "key-k."}, ""},
		{"^Z stops a job of its own", []string{
			"$M sh -c 'echo rea\"\"dy; read key; echo key-$key.'\n", "ready",
			ctrlZ, "Stopped", "fg\n", "\r\n", "k\n", "key-k."}, ""},
		{"a job in the background leaves the terminal to the shell", []string{
			"$M sh -c 'awaits $D/go; echo ov\"\"er'\n", "ready", ctrlZ, "Stopped", "bg\n", "&\r\n", "TOUCH", "over",
			"wait; echo code-$?.\n", "code-0.", "echo b''ack\n", "back", "echo ag''ain\n", "again"}, ""},
		{"what reads in the background is stopped", []string{
			"$M sh -c 'read key; echo key-$key.' &\n", "", "wait %1; jobs\n", "Stopped", "fg\n", "\r\n", "k\n", "key-k."}, ""},
		{"what is stopped in the background is not the shell's terminal", []string{
			"$M sh -c 'awaits $D/go; read key; echo key-$key.'\n", "ready", ctrlZ, "Stopped", "bg\n", "&\r\n", "TOUCH", "",
			"wait %1; jobs\n", "Stopped", "echo b''ack\n", "back", "fg\n", "\r\n", "k\n", "key-k."}, ""},
		{"the end of a reader", []string{"$M yes | head -n 1; echo code-${PIPESTATUS[0]}.\n", "y\r\n", "", "code-141."}, "mllbd:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := openConsole(t)
			c.enter("echo dir-$D.\n")
			c.expect("\ndir-")
			c.expect(".\r\n")
			dir := strings.TrimSuffix(c.shown[strings.LastIndex(c.shown[:c.seen], "\ndir-")+len("\ndir-"):c.seen], ".\r\n")
			for i, step := range tt.steps {
				switch {
				case i%2 == 1:
					c.expect(step)
					if step == "Stopped" {
						c.expect(prompt)
						// What waits for a key and is about to stop, too, takes one that comes first
						// (n_tty_read, drivers/tty/n_tty.c).
						time.Sleep(300 * time.Millisecond)
					}
				case step == "TOUCH":
					if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o666); err != nil {
						t.Fatal(err)
					}
				default:
					c.enter(step)
				}
			}
			if tt.never != "" && strings.Contains(c.shown, tt.never) {
				t.Errorf("%q was shown:\n%s", tt.never, c.shown)
			}
		})
	}
}

// TestDrawable: control sequences are for terminals that know them.
func TestDrawable(t *testing.T) {
	master, slave, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer slave.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tt := range []struct {
		term string
		out  *os.File
		want bool
	}{{"xterm", slave, true}, {"dumb", slave, false}, {"", slave, false}, {"xterm", file, false}} {
		t.Setenv("TERM", tt.term)
		if got := drawable(tt.out); got != tt.want {
			t.Errorf("TERM=%s, %s: %t", tt.term, tt.out.Name(), got)
		}
	}
}
