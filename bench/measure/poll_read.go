// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mllb/internal/procfile"

	"golang.org/x/sys/unix"
)

// errNoThread is what a read of a file below /proc/PID says once it is reaped.
var errNoThread = unix.ESRCH

// readStat reads who a process or a thread is, and its CPU time.
func readStat(dir string) (taskID, use, error) {
	s, err := procfile.ReadStat(dir)
	return taskID{int(s.ID), s.Start}, use{utime: s.UTime, stime: s.STime}, err
}

// readStatus reads the context switches.
func readStatus(dir string) (voluntary, involuntary uint64, err error) {
	path := filepath.Join(dir, "status")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	voluntary, err = procfile.StatusUint(text, "voluntary_ctxt_switches", 64)
	if err == nil {
		involuntary, err = procfile.StatusUint(text, "nonvoluntary_ctxt_switches", 64)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return voluntary, involuntary, nil
}

func readSchedstat(dir string) (time.Duration, error) {
	path := filepath.Join(dir, "schedstat")
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	d, err := parseSchedstat(string(text))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// parseSchedstat reads "run delay timeslices", ns and ns (proc_pid_schedstat,
// fs/proc/base.c).
func parseSchedstat(text string) (time.Duration, error) {
	fields := strings.Fields(text)
	if len(fields) < 3 {
		return 0, fmt.Errorf("%q: want three numbers", text)
	}
	n, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("the delay %q is not a number of ns", fields[1])
	}
	return time.Duration(n), nil
}
