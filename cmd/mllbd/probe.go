// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/cgroup"
	"mllb/features"
	"mllb/features/bpf"
	"mllb/features/procfs"
	"mllb/topology"
)

// decider is the kernel function whose decisions are traced.
const decider = "can_migrate_task"

func probeTopology(root string) (string, error) {
	t, err := topology.Read(root)
	if err != nil {
		return "", err
	}
	smt := "no SMT"
	if len(t.Cores) < t.Online.Count() {
		smt = "SMT"
	}
	return t.String() + ", " + smt, nil
}

// errLive says that a probe asks the running kernel, not files below a root.
var errLive = errors.New("not probed: it would ask the running kernel, not --root")

// snapshotBPF takes one snapshot by eBPF.
func snapshotBPF(root string) (s features.Snapshot, err error) {
	if filepath.Clean(root) != "/" {
		return s, errLive
	}
	r, err := bpf.Open(bpf.Options{})
	if err != nil {
		return s, err
	}
	defer r.Close()
	return s, r.Snapshot(&s)
}

func probeBPF(root string) (string, error) {
	s, err := snapshotBPF(root)
	return fmt.Sprintf("%d threads", len(s.Threads)), err
}

// probeRunqueues looks whether the snapshot saw every runqueue: one that it
// missed has no clock.
func probeRunqueues(root string) (string, error) {
	s, err := snapshotBPF(root)
	if err != nil {
		return "", err
	}
	online, missed := 0, 0
	for i := range s.Runqueues {
		if s.Runqueues[i].Online {
			online++
			if s.Runqueues[i].Clock == 0 {
				missed++
			}
		}
	}
	if missed > 0 || online == 0 {
		return "", fmt.Errorf("%d of %d runqueues were not seen", missed, online)
	}
	return fmt.Sprintf("%d runqueues", online), nil
}

func probeProc(root string) (string, error) {
	r, err := procfs.Open(procfs.Options{Root: root})
	if err != nil {
		return "", err
	}
	var s features.Snapshot
	if err := r.Snapshot(&s); err != nil {
		return "", err
	}
	note := fmt.Sprintf("%d threads", len(s.Threads))
	if missing := r.Missing(); len(missing) > 0 {
		note += "; lacks " + strings.Join(missing, "; ")
	}
	return note, nil
}

func probeDebugfs(root string) (string, error) {
	_, err := readLine(filepath.Join(root, "sys/kernel/debug/sched/debug"))
	return "", err
}

// probeTracer loads and attaches a program that does nothing.
func probeTracer(root string, spec *ebpf.ProgramSpec, attach func(*ebpf.Program) (link.Link, error)) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11
		return "", err
	}
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	spec.License = "Dual BSD/GPL"
	prog, err := ebpf.NewProgram(spec)
	if errors.Is(err, unix.EPERM) {
		err = unix.EPERM // without the library's guess at MEMLOCK, which was lifted
	}
	if err != nil {
		return "", fmt.Errorf("load: %w", err)
	}
	defer prog.Close()
	l, err := attach(prog)
	if err != nil {
		return "", fmt.Errorf("attach: %w", err)
	}
	return "the kernel allows it", l.Close()
}

func probeFentry(root string) (string, error) {
	return probeTracer(root, &ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: decider},
		func(p *ebpf.Program) (link.Link, error) { return link.AttachTracing(link.TracingOptions{Program: p}) })
}

func probeKprobe(root string) (string, error) {
	return probeTracer(root, &ebpf.ProgramSpec{Type: ebpf.Kprobe},
		func(p *ebpf.Program) (link.Link, error) { return link.Kprobe(decider, p, nil) })
}

func probeForks(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	return "", bpf.ProbeForks()
}

func probeIdle(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	return "", bpf.ProbeIdle()
}

// probeAffinity sets the mask of a thread of mllbd's own to what it is.
func probeAffinity(string) (string, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return "", fmt.Errorf("sched_getaffinity: %w", err)
	}
	if err := unix.SchedSetaffinity(0, &mask); err != nil {
		return "", fmt.Errorf("sched_setaffinity: %w", err)
	}
	return "", nil
}

func probeNice(string) (string, error) {
	have, err := capabilities()
	if err != nil {
		return "", err
	}
	if missing := missingCaps(have, capSysNice); missing != "" {
		return "", fmt.Errorf("%s is missing", missing)
	}
	return "", nil
}

func probeCpusetV1(root string) (string, error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return "", err
	}
	for i := range mounts {
		if slices.Contains(mounts[i].Controllers, "cpuset") {
			return mounts[i].Point, nil
		}
	}
	return "", errors.New("not mounted")
}

func probeCpusetV2(root string) (string, error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return "", err
	}
	err = errors.New("not mounted")
	for i := range mounts {
		if mounts[i].Hierarchy != 0 {
			continue
		}
		var list string
		if list, err = readLine(filepath.Join(mounts[i].Point, "cgroup.controllers")); err != nil {
			continue
		}
		if slices.Contains(strings.Fields(list), "cpuset") {
			return mounts[i].Point, nil
		}
		err = fmt.Errorf("%s has no cpuset controller", mounts[i].Point)
	}
	return "", err
}

func probeCgroups(root string) (string, error) {
	mounts, err := cgroup.Mounts(root)
	if err != nil {
		return "", err
	}
	if len(mounts) == 0 {
		return "", cgroup.ErrNotMounted
	}
	var parts []string
	for i := range mounts {
		parts = append(parts, fmt.Sprintf("%s (%s)", mounts[i].Point, mounts[i].String()))
	}
	return strings.Join(parts, ", "), nil
}

func probeNUMA(root string) (string, error) {
	value, err := readLine(filepath.Join(root, "proc/sys/kernel/numa_balancing"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", errors.New("the kernel has no NUMA balancing")
	case err != nil:
		return "", err
	case value == "0":
		return "", errors.New("it is off")
	}
	return "on", nil
}

func probeSchedExt(root string) (string, error) {
	state, ops, err := schedExt(root)
	switch {
	case err != nil:
		return "", err
	case state == "":
		return "the kernel has no sched_ext", nil
	case state != "disabled":
		return "", fmt.Errorf("%q is loaded (%s)", ops, state)
	}
	return "none loaded", nil
}

// The files of package affinity in its state directory.
const (
	lockFile    = "lock"
	journalFile = "journal"
)

// probeState looks for another mllbd, which holds the lock, and for the journal
// of a killed one. It changes neither.
func (c *checkCmd) probeState(string) (string, error) {
	f, err := os.Open(filepath.Join(c.StateDir, lockFile))
	if err == nil {
		defer f.Close()
		err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return "", errors.New("an mllbd is running")
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(c.StateDir, journalFile)); err == nil {
		return "", fmt.Errorf("a killed mllbd left its journal in %s", c.StateDir)
	}
	return "", nil
}
