// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/features/bpf"
	"mllb/features/procfs"
	"mllb/features/speed"
	"mllb/features/trace"
	"mllb/internal/cgroup"
	"mllb/internal/denial"
	"mllb/internal/number"
	"mllb/internal/procfile"
	"mllb/scx"
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
	note := t.String() + ", " + smt
	if seen := spot(root, t); seen != "" {
		note += "; " + seen
	}
	return note, nil
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
	return number.Of(len(s.Threads), "thread"), err
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
	return number.Of(online, "runqueue"), nil
}

func probeProc(root string) (string, error) {
	hierarchy, err := cgroup.DefaultHierarchy(root)
	if err != nil && !errors.Is(err, cgroup.ErrNotMounted) {
		return "", err
	}
	r, err := procfs.Open(procfs.Options{Root: root, Hierarchy: hierarchy})
	if err != nil {
		return "", err
	}
	var s features.Snapshot
	if err := r.Snapshot(&s); err != nil {
		return "", err
	}
	note := number.Of(len(s.Threads), "thread")
	if missing := r.Missing(); len(missing) > 0 {
		note += "; lacks " + strings.Join(missing, "; ")
	}
	if n := r.Errors(); n > 0 {
		note += fmt.Sprintf("; leaves out what cannot be read: %d, the last %v", n, r.LastError())
	}
	return note, nil
}

func probeDebugfs(root string) (string, error) {
	if _, err := readLine(filepath.Join(root, "sys/kernel/debug/sched/debug")); err != nil {
		return "", denial.Debugfs(err)
	}
	return "", nil
}

// probeTracer loads and attaches a program that does nothing.
func probeTracer(root string, spec *ebpf.ProgramSpec, attach func(*ebpf.Program) (link.Link, error)) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	err := rlimit.RemoveMemlock() // kernels before 5.11
	if err == nil {
		err = attachOnce(spec, attach)
	}
	var refused *ebpf.VerifierError
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !errors.As(err, &refused) {
		err = denial.BPF(unix.EPERM) // without the library's guess at MEMLOCK
	}
	return "", err
}

func attachOnce(spec *ebpf.ProgramSpec, attach func(*ebpf.Program) (link.Link, error)) error {
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	spec.License = "Dual BSD/GPL"
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer prog.Close()
	l, err := attach(prog)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return l.Close()
}

func probeFentry(root string) (string, error) {
	return probeTracer(root, &ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFEntry, AttachTo: decider},
		func(p *ebpf.Program) (link.Link, error) { return link.AttachTracing(link.TracingOptions{Program: p}) })
}

func probeKprobe(root string) (string, error) {
	if runtime.GOARCH != "amd64" {
		return "", trace.ErrKprobeArch
	}
	return probeTracer(root, &ebpf.ProgramSpec{Type: ebpf.Kprobe},
		func(p *ebpf.Program) (link.Link, error) {
			l, err := link.Kprobe(decider, p, nil)
			if err != nil && !haveKprobes() {
				err = &denial.Error{Reason: "the kernel has no kprobes (CONFIG_KPROBES)", Change: "a kernel with CONFIG_KPROBES=y", Err: err}
			}
			return l, err
		})
}

// haveKprobes looks for the two ways to make one.
func haveKprobes() bool {
	for _, file := range []string{"bus/event_source/devices/kprobe/type", "kernel/tracing/kprobe_events", "kernel/debug/tracing/kprobe_events"} {
		if _, err := os.Stat(filepath.Join("/sys", file)); err == nil {
			return true
		}
	}
	return false
}

func probeSchedstats(root string) (string, error) {
	on, err := trace.Schedstats(root)
	if on {
		return "on", err
	}
	return "off; collect and compare turn them on and back off", err
}

func probeDecisions(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	backend, err := trace.Probe()
	return backend, err
}

// probeLeftOut says which CPUs are left out, and where that cannot be told.
func probeLeftOut(root string) (string, error) {
	t, err := topology.Read(root)
	if err != nil {
		return "", err
	}
	note := "none"
	if len(t.LeftOut) > 0 {
		note = topology.DescribeLeftOut(t.LeftOut)
	}
	if _, err := os.Stat(filepath.Join(root, "proc/schedstat")); err != nil {
		return "", &denial.Error{Reason: note + " that is known; CPUs of v1 cpusets without sched_load_balance are not seen",
			Change: "a kernel with CONFIG_SCHEDSTATS=y, such as Debian's", Err: err}
	}
	return note, nil
}

func probeForks(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	return "", bpf.ProbeForks()
}

func probeMarks(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	r, err := bpf.OpenLook(bpf.Options{})
	if err != nil {
		return "", err
	}
	return "", r.Close()
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
		return "", fmt.Errorf("sched_setaffinity: %w", denial.Affinity(err))
	}
	return "", nil
}

// probeSpeed looks at a CPU once.
func probeSpeed(root string) (string, error) {
	if filepath.Clean(root) != "/" {
		return "", errLive
	}
	s, err := speed.Probe()
	if err == nil && s.Late < 0 {
		return "but not whether a host takes it away", nil
	}
	return "", err
}

func probeNice(root string) (string, error) { return "", denial.Others(root) }

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

func probeOwnSchedExt(root string) (string, error) {
	if root != "/" {
		return "", errors.New("only of the running kernel")
	}
	whole := &session{cfg: &runCmd{common: common{Root: root}}, log: slog.New(slog.DiscardHandler)}
	if err := cmp.Or(whole.schedExtFits(), scx.Probe()); err != nil {
		return "", err
	}
	if served, err := scx.Served(); err != nil || !served {
		return "with CMD or --cgroup its threads can starve beside busy ones: the kernel has no deadline server for SCHED_EXT", err
	}
	return "the programs load", nil
}

func probeSchedExt(root string) (string, error) {
	state, ops, err := procfile.SchedExt(root)
	switch {
	case err != nil:
		return "", err
	case state == "":
		return "this kernel has no sched_ext", nil
	case ops != "":
		return "", &denial.Error{Reason: fmt.Sprintf("the sched_ext scheduler %q is loaded (%s) and places threads itself", ops, state), Change: "unload it"}
	}
	return "none loaded", nil
}
