// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mllb/internal/procfile"
)

// namespaces are those of the mllbd that wrote a journal, by their inodes, 0
// where unknown. Thread ids are those of its pid namespace, and start times
// those of its time namespace (/proc/PID/stat is shifted by its offset): read in
// another, every thread would seem to have ended.
type namespaces struct{ PID, Time, User uint64 }

// initialPID is the inode of the first pid namespace, which has a number for
// every thread of the host (PROC_PID_INIT_INO, include/linux/proc_ns.h, 6.12).
const initialPID = 0xEFFFFFFC

func ownNamespaces(root string) namespaces {
	dir := filepath.Join(root, "proc/self/ns")
	of := func(kind string) uint64 {
		n, _ := namespaceAt(dir, kind) // a kernel may be built without it
		return n
	}
	return namespaces{PID: of("pid"), Time: of("time"), User: of("user")}
}

// namespaceAt reads a link such as "pid:[4026531836]".
func namespaceAt(dir, kind string) (uint64, error) {
	link, err := os.Readlink(filepath.Join(dir, kind))
	if err != nil {
		return 0, err
	}
	number, found := strings.CutPrefix(strings.TrimSuffix(link, "]"), kind+":[")
	if !found {
		return 0, fmt.Errorf("%s/%s: %q names no namespace", dir, kind, link)
	}
	return strconv.ParseUint(number, 10, 64)
}

func (n namespaces) append(b []byte) []byte {
	from := len(b)
	b = fmt.Appendf(b, "%s pid=%d time=%d user=%d", opNamespaces, n.PID, n.Time, n.User)
	return appendCRC(b, from)
}

// parseNamespaces reads the line after the header, without its newline.
func parseNamespaces(line string) (namespaces, error) {
	op, w, err := openLine(line)
	if err != nil {
		return namespaces{}, err
	}
	if op != opNamespaces {
		return namespaces{}, fmt.Errorf("%.40q where %s should be", op, opNamespaces)
	}
	n := namespaces{PID: w.number("pid", 64), Time: w.number("time", 64), User: w.number("user", 64)}
	if w.err == nil && string(n.append(nil)) != line+"\n" {
		w.err = errors.New("not as mllb writes it")
	}
	return n, w.err
}

// differs reports whether both are known and not the same.
func differs(a, b uint64) bool { return a != 0 && b != 0 && a != b }

// readable says why the journal of another mllbd cannot be read here. One whose
// pid namespace has ended can: its threads ended with it.
func (n namespaces) readable(root string) (ended bool, err error) {
	own := ownNamespaces(root)
	if differs(n.PID, own.PID) {
		pid, known := memberOf(root, own, n.PID)
		switch {
		case pid != "":
			return false, fmt.Errorf("%w: pid:[%d], this is pid:[%d]: undo it there, as with nsenter -t %s -p -m mllbd restore", ErrNamespace, n.PID, own.PID, pid)
		case known:
			return true, nil
		}
		return false, fmt.Errorf("%w: pid:[%d], this is pid:[%d]: undo it there", ErrNamespace, n.PID, own.PID)
	}
	if differs(n.Time, own.Time) {
		return false, fmt.Errorf("%w: time:[%d], this is time:[%d]: undo it there, as with nsenter -T", ErrNamespace, n.Time, own.Time)
	}
	return false, nil
}

// memberOf returns a process that is in a pid namespace, or "", and whether
// that is certain: only the first namespace sees the processes of all.
func memberOf(root string, own namespaces, ns uint64) (pid string, certain bool) {
	proc := filepath.Join(root, "proc")
	all, err := procfile.IDs(proc)
	certain = err == nil && own.PID == initialPID
	for _, id := range all {
		pid := strconv.Itoa(id)
		switch is, err := namespaceAt(filepath.Join(proc, pid, "ns"), "pid"); {
		case err == nil && is == ns:
			return pid, true
		case err != nil && !errors.Is(gone(err), ErrGone):
			certain = false
		}
	}
	return "", certain
}
