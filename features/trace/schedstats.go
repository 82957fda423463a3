// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mllb/internal/denial"
)

// enableSchedstats makes the kernel count failed migrations, which tell the
// rule's "stay" from a hard condition's, and returns what undoes it. A tracer
// that is killed leaves them on, which costs the kernel a few additions.
func enableSchedstats(root string) (restore func() error, err error) {
	on, err := Schedstats(root)
	if err != nil || on {
		return func() error { return nil }, err
	}
	path := filepath.Join(root, schedstats)
	if err := os.WriteFile(path, []byte("1\n"), 0); err != nil {
		return nil, fmt.Errorf("enable schedstats: %w", err)
	}
	return func() error { return os.WriteFile(path, []byte("0\n"), 0) }, nil
}

// haveSchedstats fails on a kernel that was built without them.
func haveSchedstats(root string) error {
	_, err := os.Stat(filepath.Join(root, schedstats))
	if errors.Is(err, fs.ErrNotExist) {
		return &denial.Error{
			Reason: "the kernel has no schedstats (CONFIG_SCHEDSTATS), by which the rule's refusals are told from others",
			Change: "a kernel with CONFIG_SCHEDSTATS=y, such as Debian's"}
	}
	return err
}

const schedstats = "proc/sys/kernel/sched_schedstats"

// Schedstats reports whether the kernel counts failed migrations now. It is an error
// if it does not and this process cannot have it do so.
func Schedstats(root string) (on bool, err error) {
	if err := haveSchedstats(root); err != nil {
		return false, err
	}
	path := filepath.Join(root, schedstats)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	switch was := strings.TrimSpace(string(text)); was {
	case "1":
		return true, nil
	case "0":
	default:
		return false, fmt.Errorf("read %s: %q is neither 0 nor 1", path, was)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return false, &denial.Error{Reason: "kernel.sched_schedstats is 0 and cannot be set",
			Change: "sysctl kernel.sched_schedstats=1, as root of the host", Err: err}
	}
	return false, f.Close()
}
