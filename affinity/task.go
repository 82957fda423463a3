// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"

	"mllb/topology"
)

// The fields of proc_pid_stat(5) that are read, counted from the state, which
// is the first after the command's closing parenthesis (field 3).
const (
	statPPID    = 4 - 3
	statSession = 6 - 3
	statFlags   = 9 - 3
	statUser    = 14 - 3
	statSystem  = 15 - 3
	statThreads = 20 - 3
	statStart   = 22 - 3
)

// parseStat reads /proc/TGID/task/TID/stat.
func parseStat(t *Task, text []byte) error {
	id, rest, ok := bytes.Cut(text, []byte(" ("))
	end := bytes.LastIndexByte(rest, ')') // a command may hold any byte but NUL
	if !ok || end < 0 {
		return fmt.Errorf("stat: no command in %.40q", text)
	}
	fields := strings.Fields(string(rest[end+1:]))
	if len(fields) <= statStart {
		return fmt.Errorf("stat: %d fields after the command, want %d", len(fields), statStart+1)
	}
	// Without its signal handlers a thread is all but gone: the kernel then has
	// no session to tell (sid = -1 in do_task_stat, fs/proc/array.c, 6.12).
	if fields[statSession] == "-1" {
		return ErrGone
	}
	var n [7]uint64
	for i, f := range []string{string(id), fields[statSession], fields[statFlags], fields[statThreads], fields[statStart],
		fields[statUser], fields[statSystem]} {
		var err error
		if n[i], err = strconv.ParseUint(f, 10, 64); err != nil {
			return fmt.Errorf("stat: %q is not a number", f)
		}
	}
	ppid, err := strconv.ParseInt(fields[statPPID], 10, 32)
	if err != nil {
		return fmt.Errorf("stat: %q is not a process id", fields[statPPID])
	}
	t.TID, t.PPID, t.Session, t.Flags = int32(n[0]), int32(ppid), int32(n[1]), uint32(n[2])
	t.Threads, t.Start, t.Ran = int32(n[3]), n[4], n[5]+n[6]
	t.State = fields[0][0]
	return nil
}

// parseStatus reads Tgid and Cpus_allowed of /proc/TGID/task/TID/status.
func parseStatus(t *Task, text []byte) error {
	tgid, ok := statusField(text, "\nTgid:\t")
	if !ok {
		return fmt.Errorf("status: no Tgid")
	}
	n, err := strconv.ParseInt(tgid, 10, 32)
	if err != nil {
		return fmt.Errorf("status: Tgid %q is not a process id", tgid)
	}
	t.TGID = int32(n)
	// Last is the id in the innermost pid namespace; no such line before 4.1.
	ns, _ := statusField(text, "\nNSpid:\t")
	t.NSInit = strings.HasSuffix(ns, "\t1")
	mask, ok := statusField(text, "\nCpus_allowed:\t")
	if !ok {
		return fmt.Errorf("status: no Cpus_allowed")
	}
	t.Mask, err = parseMask(mask)
	return err
}

func statusField(text []byte, key string) (string, bool) {
	_, rest, ok := bytes.Cut(text, []byte(key))
	line, _, ended := bytes.Cut(rest, []byte("\n"))
	return string(line), ok && ended
}

// parseMask reads the kernel's bitmap format, %*pb: words of 32 bits in hex,
// the most significant first.
func parseMask(text string) (topology.CPUSet, error) {
	words := strings.Split(text, ",")
	if len(words) > topology.MaxCPUs/32 {
		return nil, fmt.Errorf("cpu mask of %d words, want %d at the most", len(words), topology.MaxCPUs/32)
	}
	set := make(topology.CPUSet, (len(words)+1)/2)
	for i, w := range words {
		n, err := strconv.ParseUint(w, 16, 32)
		if err != nil || len(w) > 8 {
			return nil, fmt.Errorf("cpu mask %.40q: %q is not 32 bits in hex", text, w)
		}
		at := len(words) - 1 - i
		set[at/2] |= n << (32 * (at & 1))
	}
	return set, nil
}
