// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// BootOffset returns the nanoseconds that the caller's time namespace adds to
// the boot time, and to the start times in /proc (time_namespaces(7)): 0 where
// there are none.
func BootOffset(root string) (int64, error) {
	path := filepath.Join(root, "proc/self/timens_offsets")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil // before 5.6, or not built
	}
	if err != nil {
		return 0, fmt.Errorf("read the offsets of the time namespace: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		// 7 is CLOCK_BOOTTIME, as kernels before 5.7 wrote it.
		if len(f) != 3 || f[0] != "boottime" && f[0] != "7" {
			continue
		}
		sec, err := strconv.ParseInt(f[1], 10, 64)
		nsec, err2 := strconv.ParseInt(f[2], 10, 64)
		if err = errors.Join(err, err2); err != nil || sec > 1<<33 || sec < -1<<33 {
			return 0, fmt.Errorf("%s: %.80q is not an offset", path, line)
		}
		return sec*1e9 + nsec, nil
	}
	return 0, fmt.Errorf("%s: no offset of boottime", path)
}
