// SPDX-License-Identifier: Apache-2.0

// Package denial tells why the kernel denied this process something. EPERM alone
// does not: root gets it too, in a container, under a seccomp filter or where the
// kernel is locked down.
package denial

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Error is something that does not work, with the one reason and what would change
// it.
type Error struct {
	Reason string
	Change string // "": nothing that is known
	Err    error  // what the system said, or nil
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Explain returns the reason and the change of an error, if it wraps an Error.
func Explain(err error) (reason, change string, ok bool) {
	var e *Error
	if !errors.As(err, &e) {
		return "", "", false
	}
	return e.Reason, e.Change, true
}

// Facts are what of this process and this kernel can be a reason.
type Facts struct {
	Caps      uint64 // effective capabilities
	UserNS    bool   // in a user namespace other than the first
	Filtered  bool   // a seccomp filter is installed
	BPFDenied bool   // bpf(2) fails whatever it is asked
	Lockdown  string // none, integrity or confidentiality; "": not known
}

// BPF explains why eBPF programs that trace the kernel, and read its memory, are
// refused.
func BPF(err error) error {
	f := ReadFacts()
	return f.BPF(err)
}

// BPF is BPF for what is known already.
func (f *Facts) BPF(err error) error {
	switch missing := Missing(f.Caps, CapBPF, CapPerfmon); {
	case f.UserNS:
		return &Error{"in a user namespace, whose capabilities do not count for eBPF", "run it outside of the container, or in one that shares the host's user namespace", err}
	case missing != "":
		return &Error{"needs " + missing, "run it as root, or give it " + missing, err}
	case f.BPFDenied && f.Filtered:
		return &Error{"a seccomp filter denies bpf(2)", "run it outside of the container, or with a seccomp profile that allows bpf(2)", err}
	case f.BPFDenied:
		return &Error{"a security module denies bpf(2)", "its policy must allow it", err}
	case f.Lockdown == "confidentiality":
		return &Error{"the kernel is locked down (confidentiality), so eBPF may not read its memory", "boot with lockdown=integrity, or none", err}
	}
	return &Error{"the kernel itself refuses eBPF programs of this kind, not for want of capabilities, nor by seccomp, a namespace or lockdown",
		"another kernel, or another policy of its security modules", err}
}

// LockedDown reports whether eBPF may not read the kernel's memory. The verifier
// then refuses programs in words that say nothing of it.
func LockedDown() bool { return lockdown() == "confidentiality" }

// Affinity explains why this process may not set the mask of its own threads, which
// needs no capability.
func Affinity(err error) error {
	f := ReadFacts()
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	if f.Filtered {
		return &Error{"a seccomp filter denies sched_setaffinity(2)", "run it outside of the sandbox, or with a seccomp profile that allows it", err}
	}
	return &Error{"a security module denies sched_setaffinity(2)", "its policy must allow it", err}
}

// Others says why the masks of other users' threads, which it sees, are not this
// process's to set (sched_setaffinity(2)).
func Others(root string) error {
	have, err := Capabilities()
	if err != nil {
		return err
	}
	if missing := Missing(have, CapSysNice); missing != "" {
		return &Error{"needs " + missing + " for the threads of other users", "run it as root, or give it " + missing, nil}
	}
	own, err := userNamespace(root, "self")
	if err != nil || own == initialUserNS {
		return nil
	}
	// The first process that it sees may be the host's, and be none of its business.
	if first, err := userNamespace(root, "1"); err != nil || first != own {
		return &Error{"in a user namespace, whose capabilities do not count for the threads outside of it", "run it outside of that namespace, or in a pid namespace of its own", nil}
	}
	return nil
}

// Debugfs explains why a file of debugfs cannot be read.
func Debugfs(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return &Error{"debugfs is not mounted", "mount -t debugfs none /sys/kernel/debug", err}
	}
	if errors.Is(err, unix.EACCES) {
		return &Error{"debugfs is root's", "run it as root, or give it CAP_DAC_READ_SEARCH", err}
	}
	if level := lockdown(); errors.Is(err, unix.EPERM) && (level == "integrity" || level == "confidentiality") {
		return &Error{"the kernel is locked down (" + level + "), so debugfs shows only what nobody can write", "boot with lockdown=none", err}
	}
	return err
}

// Capability is one bit of capabilities(7).
type Capability struct {
	bit   uint
	name  string
	admin bool // CAP_SYS_ADMIN stands for it as well
}

// The capabilities that mllb asks for.
var (
	CapSysNice = Capability{unix.CAP_SYS_NICE, "CAP_SYS_NICE", false}
	CapBPF     = Capability{unix.CAP_BPF, "CAP_BPF", true}
	CapPerfmon = Capability{unix.CAP_PERFMON, "CAP_PERFMON", true}
	CapSetuid  = Capability{unix.CAP_SETUID, "CAP_SETUID", false}
	CapSetgid  = Capability{unix.CAP_SETGID, "CAP_SETGID", false}
)

// Missing returns the names of those that have lacks, joined by " and ".
func Missing(have uint64, need ...Capability) string {
	var names []string
	for _, c := range need {
		if have&(1<<c.bit) == 0 && !(c.admin && have&(1<<unix.CAP_SYS_ADMIN) != 0) {
			names = append(names, c.name)
		}
	}
	return strings.Join(names, " and ")
}
