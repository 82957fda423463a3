// SPDX-License-Identifier: Apache-2.0

// Package lab runs commands in a virtual host: QEMU on a stock kernel, with
// the sockets, cores, SMT threads and NUMA nodes that were asked for. It needs
// no KVM, no disk image and no network: the root file system is an initramfs
// made here, init is this program, and one virtio-serial port carries
// everything back.
//
//	host: Run ── QEMU ── kernel, initramfs ── guest: GuestMain ── command
//	  ▲  ▲                     │ ttyS0: oopses     │
//	  │  └─────────────────────┘                   │
//	  └──── frames: output, status, files ─────────┘
//
// Emulated guests say nothing about time, but for how their CPUs share those of
// the host (place.go). What they do say is which decisions a kernel took.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Config is one run. Shape, Kernel and Init must be set.
type Config struct {
	Shape     Shape
	Kernel    Kernel
	Init      string // this program or another that calls GuestMain; /bin/mllb in the guest
	Files     []File
	Args      []string // command; none: boot and end
	Env       []string // KEY=VALUE
	Dir       string   // the command's directory; "": /root
	OutDir    string   // where /out goes; "": nowhere
	MemoryMiB int      // of the guest; 0: 1 GiB a node
	Params    string   // more kernel parameters
	CgroupV1  bool     // cpuset v1 instead of v2
	Accel     Accel    // "": tcg
	Single    bool     // TCG with one host thread: slower, never seen to oops
	HostCPUs  []int    // the host CPU of each guest CPU, which has a thread of its own; nil: any
	Slow      []Slow   // limits of guest CPUs, as ParseSlow puts them
	ICount    bool     // TCG with a clock that counts instructions
	Timeout   time.Duration
	Tries     int // guests to start when one oopses or hangs; 0: 1
	Stdin     io.Reader
	TTY       bool // a terminal for the command, of Rows x Cols
	Rows      uint16
	Cols      uint16
	Stdout    io.Writer
	Stderr    io.Writer
	Console   io.Writer    // a copy of the kernel's console; may be nil
	Notice    func(string) // what a person should know while it runs; may be nil
}

// Result is what is known of a run that gave an answer.
type Result struct {
	Release  string        // uname -r of the guest
	Boot     time.Duration // QEMU's start to init, on the host's clock
	Tries    int           // guests started
	Files    int           // brought back to OutDir
	Skipped  int           // in /out, but neither file, directory nor link
	Warnings []string      // "WARNING:" lines of the console
	Stalls   []string      // soft lockups, hung tasks, RCU stalls
}

// Run boots a guest, runs the command and returns when both have ended. A
// command that failed is an *ExitError; a guest that died, hung or ran out of
// time a *GuestError; any other error is the lab's own.
func Run(ctx context.Context, cfg Config) (res Result, err error) {
	cfg = cfg.withDefaults()
	qemu, err := findQEMU()
	if err != nil {
		return Result{}, err
	}
	var limits *throttle
	if len(cfg.Slow) > 0 {
		if limits, err = newThrottle("/"); err != nil {
			return Result{}, err
		}
		defer func() { err = errors.Join(err, limits.close()) }()
	}
	dir, err := os.MkdirTemp("", "mllb-lab-")
	if err != nil {
		return Result{}, fmt.Errorf("make a directory for the guest: %w", err)
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initrd")
	if err := cfg.writeImage(initrd); err != nil {
		return Result{}, err
	}
	m := machine{
		shape: cfg.Shape, memoryMiB: cfg.MemoryMiB, accel: cfg.Accel, single: cfg.Single, icount: cfg.ICount,
		kernel: cfg.Kernel.Path, initrd: initrd, params: cfg.Params, halted: cfg.placed(),
	}
	for try := 1; ; try++ {
		res, err := boot(ctx, cfg, qemu, m, limits)
		res.Tries = try
		var died *GuestError
		if !errors.As(err, &died) {
			return res, err
		}
		died.Tries = try
		if try >= cfg.Tries || !errors.Is(err, ErrOops) && !errors.Is(err, ErrHung) {
			return res, err
		}
		cfg.Notice(fmt.Sprintf("%v; starting a new guest, try %d of %d", died, try+1, cfg.Tries))
	}
}

func (c Config) withDefaults() Config {
	if c.MemoryMiB == 0 {
		c.MemoryMiB = 1024 * c.Shape.Sockets
	}
	if c.Dir == "" {
		c.Dir = "/root"
	}
	if c.Notice == nil {
		c.Notice = func(string) {}
	}
	if c.Stdout == nil {
		c.Stdout = io.Discard
	}
	if c.Stderr == nil {
		c.Stderr = io.Discard
	}
	if c.Accel == "" {
		c.Accel = AccelTCG
	}
	return c
}

// writeImage makes the guest's initramfs. It is not compressed: an emulated
// CPU would take longer to unpack it than the host to hand it over.
func (c Config) writeImage(file string) error {
	im := newImage()
	if err := im.add(append([]File{{Host: c.Init, Guest: guestInit}}, c.Files...)...); err != nil {
		return err
	}
	if err := im.addBusybox(); err != nil {
		c.Notice(err.Error())
	}
	modules, err := im.addModules(c.Kernel)
	if err != nil {
		return err
	}
	im.dirs[c.Dir] = true
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("make the guest's root: %w", err)
	}
	err = im.write(f, guestConfig{
		Args: c.Args, Env: c.Env, Dir: c.Dir, Modules: modules, CgroupV1: c.CgroupV1, Files: c.OutDir != "",
		Stdin: c.Stdin != nil, TTY: c.TTY, Rows: c.Rows, Cols: c.Cols,
	})
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("make the guest's root: %w", err)
	}
	return nil
}
