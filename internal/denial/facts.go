// SPDX-License-Identifier: Apache-2.0

package denial

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"mllb/internal/procfile"
)

// initialUserNS is PROC_USER_INIT_INO (include/linux/proc_ns.h).
const initialUserNS = "user:[4026531837]"

// ReadFacts reads them. What cannot be read is taken to be as usual.
func ReadFacts() (f Facts) {
	f.Caps, _ = Capabilities()
	ns, err := userNamespace("/", "self")
	f.UserNS = err == nil && ns != initialUserNS
	if status, err := os.ReadFile("/proc/thread-self/status"); err == nil {
		mode, err := procfile.StatusUint(status, "Seccomp", 8)
		f.Filtered = err == nil && mode == 2
	}
	f.BPFDenied = bpfDenied()
	f.Lockdown = lockdown()
	return f
}

func userNamespace(root, process string) (string, error) {
	return os.Readlink(filepath.Join(root, "proc", process, "ns/user"))
}

// Capabilities returns the effective set of this process as a bitmap.
func Capabilities() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

// bpfDenied asks bpf(2) for what does not exist. Who may call it at all gets EINVAL.
func bpfDenied() bool {
	const noSuchCommand = 1 << 20
	_, _, errno := unix.Syscall(unix.SYS_BPF, noSuchCommand, 0, 0)
	return errno == unix.EPERM || errno == unix.EACCES || errno == unix.ENOSYS
}

// lockdown returns how far the kernel is locked down (kernel_lockdown(7)); "" if
// nobody can tell.
func lockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if errors.Is(err, os.ErrNotExist) {
		text, err = unmounted("securityfs", "lockdown")
	}
	if err != nil {
		return ""
	}
	_, level, _ := strings.Cut(string(text), "[")
	level, _, _ = strings.Cut(level, "]")
	return level
}

// unmounted reads a file of a file system that need not be mounted anywhere, and
// mounts it nowhere (fsopen(2), fsmount(2)).
func unmounted(fs, name string) ([]byte, error) {
	context, err := unix.Fsopen(fs, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, err
	}
	top, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(top)
	fd, err := unix.Openat(top, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(f)
}
