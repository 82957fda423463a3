// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/argv"
)

// earlyMounts are the file systems of an ordinary host, in this order.
var earlyMounts = []struct{ source, target, kind, data string }{
	{"proc", "/proc", "proc", ""},
	{"sysfs", "/sys", "sysfs", ""},
	{"devtmpfs", "/dev", "devtmpfs", ""},
	{"devpts", "/dev/pts", "devpts", "ptmxmode=0666"},
	{"tmpfs", "/dev/shm", "tmpfs", "mode=1777"},
	{"debugfs", "/sys/kernel/debug", "debugfs", ""},
	{"tracefs", "/sys/kernel/tracing", "tracefs", ""},
	{"bpf", "/sys/fs/bpf", "bpf", ""},
	{"tmpfs", "/tmp", "tmpfs", "mode=1777"},
	{"tmpfs", "/run", "tmpfs", "mode=0755"},
	{"tmpfs", guestOut, "tmpfs", "mode=0755"},
}

const (
	beatInterval = 2 * time.Second
	portWait     = 10 * time.Second // the port appears a moment after the bus
	drainWait    = 10 * time.Second // output of killed processes; a task in D state may hold its pipe
	ackWait      = 10 * time.Second // the host ends QEMU when it has the last frame
)

// InGuest says whether this process is the init of a lab guest. main must ask
// before it does anything else and then call GuestMain.
func InGuest() bool { return os.Getpid() == 1 && os.Getenv(guestEnv) == "1" }

// GuestMain is the guest's init: it mounts what a host has, runs the command of
// the configuration, sends its output, status and files, and turns the guest
// off. It does not return. The command is another process, started after the
// mounts, so it is no matter that libraries look at /proc when a process starts.
func GuestMain() {
	if err := guestMain(); err != nil {
		fmt.Fprintf(os.Stderr, "mllb lab init: %v\n", err) // the console: the host shows it
	}
	// Only fails for want of privilege; then the kernel panics when init ends.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func guestMain() error {
	conf, err := mountAll()
	if err != nil {
		return err
	}
	for _, m := range conf.Modules {
		if err := loadModule(m); err != nil {
			return err
		}
	}
	port, err := openPort("/sys/class/virtio-ports", portName, portWait)
	if err != nil {
		return err
	}
	frames := &frameWriter{w: port}
	status, err := serve(conf, port, frames)
	if err != nil {
		return errors.Join(err, frames.send(kindFailed, []byte(err.Error())))
	}
	b, err := json.Marshal(status)
	if err != nil {
		return err
	}
	if err := frames.send(kindExit, b); err != nil {
		return err
	}
	time.Sleep(ackWait)
	return nil
}

func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
		return fmt.Errorf("load %s: %w", file, err)
	}
	return nil
}

func mountAll() (guestConfig, error) {
	var conf guestConfig
	b, err := os.ReadFile(guestConf)
	if err != nil {
		return conf, err
	}
	if err := json.Unmarshal(b, &conf); err != nil {
		return conf, fmt.Errorf("read %s: %w", guestConf, err)
	}
	for _, m := range earlyMounts {
		if err := mount(m.source, m.target, m.kind, m.data); err != nil {
			return conf, err
		}
	}
	if err := mountCgroups(conf.CgroupV1); err != nil {
		return conf, err
	}
	return conf, errors.Join(loopbackUp(), unix.Sethostname([]byte("mllb-lab")))
}

func mount(source, target, kind, data string) error {
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(source, target, kind, 0, data); err != nil {
		return fmt.Errorf("mount %s at %s: %w", kind, target, err)
	}
	return nil
}

// mountCgroups makes a v2 host whose root hands on the controllers, as systemd
// does, or a v1 host with cpuset.
func mountCgroups(v1 bool) error {
	const root = "/sys/fs/cgroup"
	if v1 {
		if err := mount("tmpfs", root, "tmpfs", "mode=0755"); err != nil {
			return err
		}
		if err := mount("cgroup", root+"/cpuset", "cgroup", "cpuset"); err != nil {
			return fmt.Errorf("%w (does this kernel have CONFIG_CPUSETS_V1?)", err)
		}
		return nil
	}
	if err := mount("cgroup2", root, "cgroup2", ""); err != nil {
		return err
	}
	return os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpuset +cpu +memory +pids"), 0)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// openPort waits for the virtio-serial port of that name. Go opens it
// non-blocking: a blocking write spins in the kernel, interrupts off, until the
// host has read (drivers/char/virtio_console.c, __send_to_port).
func openPort(class, name string, wait time.Duration) (*os.File, error) {
	for end := time.Now().Add(wait); ; time.Sleep(10 * time.Millisecond) {
		names, err := filepath.Glob(class + "/*/name")
		if err != nil {
			return nil, err
		}
		for _, file := range names {
			if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) == name {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(file)), os.O_RDWR, 0)
			}
		}
		if time.Now().After(end) {
			return nil, fmt.Errorf("no virtio-serial port %q within %v", name, wait)
		}
	}
}

// serve runs the command and sends everything but its status.
func serve(conf guestConfig, port io.Reader, frames *frameWriter) (exit, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return exit{}, fmt.Errorf("uname: %w", err)
	}
	hello, err := json.Marshal(ready{Release: unix.ByteSliceToString(uts.Release[:])})
	if err != nil {
		return exit{}, err
	}
	if err := frames.send(kindReady, hello); err != nil {
		return exit{}, err
	}
	go func() {
		for range time.Tick(beatInterval) {
			if frames.send(kindBeat, nil) != nil {
				return // the host is gone, and with it QEMU
			}
		}
	}()
	var end exit
	if len(conf.Args) > 0 {
		if end.Status, err = command(conf, port, frames); err != nil {
			return exit{}, err
		}
	}
	if conf.Files {
		out := &stream{to: frames, kind: kindFiles}
		if end.Files, end.Skipped, err = writeTar(out, guestOut); err != nil {
			return exit{}, fmt.Errorf("send %s: %w", guestOut, err)
		}
		end.Bytes = out.bytes
	}
	return end, nil
}

// command runs CMD to its end and kills whatever it left behind.
func command(conf guestConfig, port io.Reader, frames *frameWriter) (int, error) {
	for _, kv := range append([]string{"PATH=" + guestPath, "HOME=/root", "TMPDIR=/tmp", "USER=root",
		"TERM=linux", "LD_LIBRARY_PATH=" + guestLibs}, conf.Env...) {
		key, value, _ := strings.Cut(kv, "=")
		if err := os.Setenv(key, value); err != nil {
			return 0, fmt.Errorf("set %s: %w", key, err)
		}
	}
	stderr := &stream{to: frames, kind: kindStderr}
	plumb := pipes
	if conf.TTY {
		plumb = terminal
	}
	pl, err := plumb(conf, frames)
	if err != nil {
		return 0, err
	}
	attr := &syscall.ProcAttr{Dir: conf.Dir, Env: os.Environ(), Sys: pl.attr}
	for _, f := range pl.child {
		attr.Files = append(attr.Files, f.Fd())
	}
	pid, err := argv.Start(conf.Args, attr)
	for _, f := range pl.child {
		f.Close()
	}
	if err != nil {
		_, failed := fmt.Fprintf(stderr, "mllb lab: run %s: %v\n", conf.Args[0], err)
		return argv.ExitCode(err), failed
	}
	if conf.Stdin {
		go feed(port, pl.stdin)
	}
	status, err := reap(pid)
	if err != nil {
		return 0, err
	}
	// ESRCH: it left nothing behind.
	if err := unix.Kill(-1, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return 0, fmt.Errorf("kill what the command left: %w", err)
	}
	return status, drain(&pl.copies)
}

func drain(copies *sync.WaitGroup) error {
	done := make(chan struct{})
	go func() { copies.Wait(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(drainWait):
		return fmt.Errorf("the command's output did not end %v after everything was killed", drainWait)
	}
}

// reap waits for the child as init must: for any, since orphans become its own.
func reap(pid int) (int, error) {
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the command: %w", err)
		case got == pid && ws.Signaled():
			return 128 + int(ws.Signal()), nil
		case got == pid:
			return ws.ExitStatus(), nil
		}
	}
}

// feed writes the host's stdin frames to the command.
func feed(port io.Reader, stdin io.WriteCloser) {
	defer stdin.Close()
	for {
		k, payload, err := readFrame(port)
		if err != nil || k == kindStdin && len(payload) == 0 {
			return
		}
		if k == kindStdin {
			if _, err := stdin.Write(payload); err != nil {
				return // the command closed its stdin
			}
		}
	}
}
