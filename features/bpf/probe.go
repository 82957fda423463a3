// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/denial"
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
	ErrNoBTF = error(&denial.Error{
		Reason: "the kernel has no BTF (CONFIG_DEBUG_INFO_BTF)",
		Change: "a kernel with CONFIG_DEBUG_INFO_BTF=y, such as Debian's",
	})
	ErrNoGroupSched = error(&denial.Error{
		Reason: "the kernel has no runqueue pointers (CONFIG_FAIR_GROUP_SCHED)",
		Change: "a kernel with CONFIG_FAIR_GROUP_SCHED=y",
	})
	ErrNamespace = error(&denial.Error{
		Reason: "not in the initial pid namespace, whose thread ids the kernel gives",
		Change: "run it outside of the container, or in one that shares the host's pid namespace",
	})
	ErrVersion = errors.New("the eBPF object is of another version: make generate")
)

// explain puts the likely cause before an error of the loader.
func explain(err error) error {
	var refused *ebpf.VerifierError
	switch {
	case errors.Is(err, ebpf.ErrNotSupported) && !haveBTF():
		return fmt.Errorf("%w: %w", ErrNoBTF, err)
	case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) && !errors.As(err, &refused):
		return denial.BPF(unix.EPERM) // without the library's guess at MEMLOCK
	case errors.As(err, &refused):
		if denial.LockedDown() {
			return denial.BPF(err)
		}
		return fmt.Errorf("the verifier refuses the program: %w", err)
	}
	return err
}

func haveBTF() bool {
	_, err := btf.LoadKernelSpec()
	return err == nil
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
