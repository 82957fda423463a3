// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errNoThread is what a read of a file below /proc/PID says once it is reaped.
var errNoThread = unix.ESRCH

func readText(path string) (string, error) {
	b, err := os.ReadFile(path)
	return string(b), err
}

// readStat reads who a process or a thread is, and its CPU time.
func readStat(dir string) (taskID, use, error) {
	path := filepath.Join(dir, "stat")
	text, err := readText(path)
	if err != nil {
		return taskID{}, use{}, err
	}
	id, u, err := parseStat(text)
	if err != nil {
		return id, u, fmt.Errorf("%s: %w", path, err)
	}
	return id, u, nil
}

// Fields of proc_pid_stat(5) after the command's name, which is the second.
const (
	fieldUtime = 14 - 3
	fieldStime = 15 - 3
	fieldStart = 22 - 3
)

func parseStat(text string) (id taskID, u use, err error) {
	pid, rest, ok := strings.Cut(text, " (")
	end := strings.LastIndexByte(rest, ')') // a name may hold any character
	if !ok || end < 0 {
		return id, u, errors.New("there is no command name")
	}
	if id.id, err = strconv.Atoi(pid); err != nil {
		return id, u, fmt.Errorf("%q is not a thread id", pid)
	}
	fields := strings.Fields(rest[end+1:])
	if len(fields) <= fieldStart {
		return id, u, fmt.Errorf("%d fields after the name: want at least %d", len(fields), fieldStart+1)
	}
	for at, to := range map[int]*uint64{fieldUtime: &u.utime, fieldStime: &u.stime, fieldStart: &id.start} {
		if *to, err = strconv.ParseUint(fields[at], 10, 64); err != nil {
			return id, u, fmt.Errorf("field %d: %w", at+3, err)
		}
	}
	return id, u, nil
}

func readStatus(dir string) (voluntary, involuntary uint64, err error) {
	path := filepath.Join(dir, "status")
	text, err := readText(path)
	if err != nil {
		return 0, 0, err
	}
	if voluntary, involuntary, err = parseStatus(text); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", path, err)
	}
	return voluntary, involuntary, nil
}

// parseStatus finds the context switches, the last lines of proc_pid_status(5).
func parseStatus(text string) (voluntary, involuntary uint64, err error) {
	for name, to := range map[string]*uint64{"\nvoluntary_ctxt_switches:": &voluntary, "\nnonvoluntary_ctxt_switches:": &involuntary} {
		_, rest, ok := strings.Cut(text, name)
		line, _, _ := strings.Cut(rest, "\n")
		if !ok {
			return 0, 0, fmt.Errorf("there are no %s", strings.TrimSpace(name))
		}
		if *to, err = strconv.ParseUint(strings.TrimSpace(line), 10, 64); err != nil {
			return 0, 0, fmt.Errorf("%s %w", strings.TrimSpace(name), err)
		}
	}
	return voluntary, involuntary, nil
}

func readSchedstat(dir string) (time.Duration, error) {
	path := filepath.Join(dir, "schedstat")
	text, err := readText(path)
	if err != nil {
		return 0, err
	}
	d, err := parseSchedstat(text)
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
