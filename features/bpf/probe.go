// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"mllb/features"
)

// Probe reports whether snapshots by eBPF work here, by taking one. The error
// says in one line what is missing.
func Probe(opt Options) error {
	r, err := Open(opt)
	if err != nil {
		return err
	}
	return r.Close()
}

// ProbeForks reports whether forks can be followed here.
func ProbeForks() error {
	f, err := OpenForks()
	if err != nil {
		return err
	}
	return f.Close()
}

// ProbeIdle reports whether idle CPUs can be watched here.
func ProbeIdle() error {
	r, err := Open(Options{})
	if err != nil {
		return err
	}
	defer r.Close()
	var s features.Snapshot
	if err := r.Snapshot(&s); err != nil {
		return err
	}
	w, err := r.OpenIdle()
	if err != nil {
		return err
	}
	return w.Close()
}

// Errors that say what this kernel or process lacks. Those of Open and
// OpenForks wrap one of them where the cause is known.
var (
	ErrNoBTF        = errors.New("the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
	ErrNoGroupSched = errors.New("the kernel has no runqueue pointers (CONFIG_FAIR_GROUP_SCHED)")
	ErrNamespace    = errors.New("not in the initial pid namespace, whose thread ids the kernel gives")
	ErrDenied       = errors.New("the kernel denies bpf(2) although the capabilities are there (seccomp, lockdown or LSM)")
	ErrVersion      = errors.New("the eBPF object is of another version: make generate")
)

// explain puts the likely cause before an error of the loader.
func explain(err error) error {
	var refused *ebpf.VerifierError
	switch {
	case errors.Is(err, ebpf.ErrNotSupported) && !haveBTF():
		return fmt.Errorf("%w: %w", ErrNoBTF, err)
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !errors.As(err, &refused):
		if caps := missing(); caps != "" {
			return fmt.Errorf("needs %s: %w", caps, err)
		}
		return fmt.Errorf("%w: %w", ErrDenied, err)
	case errors.As(err, &refused):
		return fmt.Errorf("the verifier refuses the program: %w", err)
	}
	return err
}

func haveBTF() bool {
	_, err := btf.LoadKernelSpec()
	return err == nil
}

// missing names the capabilities that loading tracing programs needs and this
// thread lacks (capabilities(7); CAP_SYS_ADMIN stands for both).
func missing() string {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return "CAP_BPF and CAP_PERFMON"
	}
	has := func(c int) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	if has(unix.CAP_SYS_ADMIN) {
		return ""
	}
	var names []string
	if !has(unix.CAP_BPF) {
		names = append(names, "CAP_BPF")
	}
	if !has(unix.CAP_PERFMON) {
		names = append(names, "CAP_PERFMON")
	}
	return strings.Join(names, " and ")
}

// initialPIDNamespace is PROC_PID_INIT_INO (include/linux/proc_ns.h).
const initialPIDNamespace = "pid:[4026531836]"

// checkNamespace fails where thread ids mean something else to this process
// than to the program, which reads the initial namespace's.
func checkNamespace(root string) error {
	ns, err := os.Readlink(filepath.Join(root, "proc/self/ns/pid"))
	if err != nil {
		return err
	}
	if ns != initialPIDNamespace {
		return fmt.Errorf("%w: %s", ErrNamespace, ns)
	}
	return nil
}

// checkVersion holds the object's version against this package's.
func checkVersion(spec *ebpf.CollectionSpec) error {
	var v uint32
	if err := spec.Variables[threadsVarVersion].Get(&v); err != nil {
		return fmt.Errorf("read the object's version: %w", err)
	}
	if v != version {
		return fmt.Errorf("%w: %d, want %d", ErrVersion, v, version)
	}
	return nil
}

// checkGroupSched fails with a clear word where CO-RE would only say that a
// relocation was poisoned.
func checkGroupSched() error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return err
	}
	var se *btf.Struct
	if err := kernel.TypeByName("sched_entity", &se); err != nil {
		return err
	}
	for _, m := range se.Members {
		if m.Name == "cfs_rq" {
			return nil
		}
	}
	return ErrNoGroupSched
}
