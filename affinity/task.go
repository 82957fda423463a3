// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"

	"mllb/internal/procfile"
)

// parseStat reads /proc/TGID/task/TID/stat.
func parseStat(t *Task, text []byte) error {
	var s procfile.Stat
	if err := s.Parse(text); err != nil {
		return err
	}
	// Without its signal handlers a thread is all but gone: the kernel then has
	// no session to tell.
	if s.Session == -1 {
		return ErrGone
	}
	t.TID, t.Start, t.PPID, t.Session, t.State = s.ID, s.Start, s.PPID, s.Session, s.State
	t.Ran, t.Flags, t.Threads = s.UTime+s.STime, s.Flags, s.Threads
	return nil
}

// parseStatus reads /proc/TGID/task/TID/status.
func parseStatus(t *Task, text []byte) error {
	tgid, err := procfile.StatusUint(text, "Tgid", 31)
	if err != nil {
		return err
	}
	t.TGID = int32(tgid)
	// Last is the id in the innermost pid namespace; no such line before 4.1.
	ns, _ := procfile.StatusField(text, "NSpid")
	t.NSInit = bytes.HasSuffix(ns, []byte("\t1"))
	t.Mask, err = procfile.StatusAllowed(text, nil)
	return err
}
