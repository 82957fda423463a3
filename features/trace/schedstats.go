// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// enableSchedstats makes the kernel count failed migrations, which tell the
// rule's "stay" from a hard condition's, and returns what undoes it. A tracer
// that is killed leaves them on, which costs the kernel a few additions.
func enableSchedstats(root string) (restore func() error, err error) {
	path := filepath.Join(root, "proc/sys/kernel/sched_schedstats")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("the kernel has no schedstats (CONFIG_SCHEDSTATS): a refusal by the rule looks like any other")
	}
	if err != nil {
		return nil, err
	}
	switch was := strings.TrimSpace(string(text)); was {
	case "1":
		return func() error { return nil }, nil
	case "0":
		if err := os.WriteFile(path, []byte("1\n"), 0); err != nil {
			return nil, fmt.Errorf("enable schedstats: %w", err)
		}
		return func() error { return os.WriteFile(path, []byte("0\n"), 0) }, nil
	default:
		return nil, fmt.Errorf("read %s: %q is neither 0 nor 1", path, was)
	}
}
