// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"mllb/features"
	"mllb/topology"
)

// The journal is lines of words, so that a person can read it, and each ends
// in the CRC-32C of what is before it:
//
//	mllb-journal v=1 kind=affinity pid=812 start=4021 boot=UUID dir= #crc
//	namespaces pid=4026531836 time=4026531834 user=4026531837 #crc
//	hold tid=91 start=5310 tgid=90 session=90 cgroup=17 cpu=3 owner=0-7 since=6200 full=1 lead=0 origin= #crc
//	released tid=91 start=5310 #crc
//	forgotten tid=91 start=5310 #crc
//
// A line counts only if writing what was read from it gives the same bytes:
// there is one spelling of everything, and nothing else is obeyed. The line of
// the namespaces belongs to the header; it is a line of its own because older
// versions, which discard it, would refuse a header with more words.

const (
	journalVersion = 1
	maxLine        = 64 << 10 // an owner's mask of every other CPU of 8,192 takes 20 KiB
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header names who writes the journal, and when: masks and ids mean something
// in one boot only.
type header struct {
	Kind  string
	PID   int32
	Start uint64
	Boot  string
	Dir   string // the cpuset enforcer's --cgroup
}

// record is what the journal knows of one hold.
type record struct {
	features.ID
	TGID, Session int32
	Cgroup        uint64          // inode, 0 if unknown
	CPU           int32           // its mask while held is this CPU alone
	Owner         topology.CPUSet // what to give back
	Since         uint64          // when the hold began, in clock ticks of the boot time
	Full          bool            // Owner is all that its cpuset allowed: give back every CPU
	Lead          bool            // the process's leader had the mask {CPU} of its own already
	Origin        string          // the cpuset enforcer: where the thread came from; else originMark or ""
}

// The kinds of line after the header.
const (
	opNamespaces = "namespaces"
	opHold       = "hold"      // is about to be held
	opReleased   = "released"  // its hold ended; kept for the lineage of its children
	opForgotten  = "forgotten" // no child of it can still have the narrowed mask unseen
)

func appendCRC(b []byte, from int) []byte {
	return fmt.Appendf(b, " #%08x\n", crc32.Checksum(b[from:], castagnoli))
}

func (h *header) append(b []byte) []byte {
	from := len(b)
	b = fmt.Appendf(b, "mllb-journal v=%d kind=%s pid=%d start=%d boot=%s dir=%s",
		journalVersion, h.Kind, h.PID, h.Start, h.Boot, quote(h.Dir))
	return appendCRC(b, from)
}

func (r *record) append(b []byte, op string) []byte {
	from := len(b)
	b = append(b, op...)
	b = append(b, " tid="...)
	b = strconv.AppendInt(b, int64(r.TID), 10)
	b = append(b, " start="...)
	b = strconv.AppendUint(b, r.Start, 10)
	if op == opHold {
		b = fmt.Appendf(b, " tgid=%d session=%d cgroup=%d cpu=%d owner=%s since=%d full=%s lead=%s origin=%s",
			r.TGID, r.Session, r.Cgroup, r.CPU, r.Owner, r.Since, bit(r.Full), bit(r.Lead), quote(r.Origin))
	}
	return appendCRC(b, from)
}

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// quote keeps a path one word of one line; most need nothing.
func quote(path string) string {
	if strings.ContainsAny(path, " \n\"\\#") || strings.ContainsFunc(path, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strings.ReplaceAll(strconv.QuoteToASCII(path), " ", `\x20`)
	}
	return path
}

func unquote(word string) (string, error) {
	if strings.HasPrefix(word, `"`) {
		return strconv.Unquote(word)
	}
	return word, nil
}

// words reads the KEY=VALUE words of a line in order.
type words struct {
	rest string
	err  error
}

func (w *words) next(key string) string {
	word, rest, _ := strings.Cut(w.rest, " ")
	w.rest = rest
	k, v, ok := strings.Cut(word, "=")
	if w.err == nil && (!ok || k != key) {
		w.err = fmt.Errorf("%q where %s= should be", word, key)
	}
	return v
}

func (w *words) number(key string, bits int) uint64 {
	v := w.next(key)
	n, err := strconv.ParseUint(v, 10, bits)
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("%s=%q is not a number", key, v)
	}
	return n
}

func (w *words) path(key string) string {
	v := w.next(key)
	p, err := unquote(v)
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("%s=%s: %w", key, v, err)
	}
	return p
}

// openLine checks a line's length and checksum and returns its first word and the
// words after that.
func openLine(line string) (op string, w words, err error) {
	if len(line) > maxLine {
		return "", w, fmt.Errorf("%d bytes long, %d are allowed", len(line), maxLine)
	}
	at := strings.LastIndex(line, " #")
	if at < 0 || line[at:] != strings.TrimSuffix(string(appendCRC([]byte(line[:at]), 0)[at:]), "\n") {
		return "", w, errors.New("wrong checksum")
	}
	op, w.rest, _ = strings.Cut(line[:at], " ")
	return op, w, nil
}

// parseHeader reads the first line, without its newline.
func parseHeader(line string) (header, error) {
	op, w, err := openLine(line)
	if err != nil {
		return header{}, err
	}
	if op != "mllb-journal" {
		return header{}, fmt.Errorf("%.40q is not a journal's header", op)
	}
	if v := w.number("v", 32); w.err == nil && v != journalVersion {
		return header{}, fmt.Errorf("version %d, this mllb reads %d", v, journalVersion)
	}
	h := header{Kind: w.next("kind"), PID: int32(w.number("pid", 31)), Start: w.number("start", 64),
		Boot: w.next("boot"), Dir: w.path("dir")}
	switch {
	case w.err != nil:
		return header{}, w.err
	case h.Kind != KindAffinity && h.Kind != KindCPUSet:
		return header{}, fmt.Errorf("kind %q is unknown", h.Kind)
	case string(h.append(nil)) != line+"\n":
		return header{}, errors.New("not as mllb writes it")
	}
	return h, nil
}

// parseRecord reads a line after the header, without its newline.
func parseRecord(line string) (op string, r record, err error) {
	op, w, err := openLine(line)
	if err != nil {
		return "", record{}, err
	}
	if op != opHold && op != opReleased && op != opForgotten {
		return "", record{}, fmt.Errorf("%.40q is no kind of line", op)
	}
	r.TID, r.Start = int32(w.number("tid", 31)), w.number("start", 64)
	if op == opHold {
		err = r.parseHold(&w)
	}
	switch {
	case w.err != nil:
		return "", record{}, w.err
	case err != nil:
		return "", record{}, err
	case r.TID <= 1:
		return "", record{}, fmt.Errorf("thread %d may not be held", r.TID)
	case string(r.append(nil, op)) != line+"\n":
		return "", record{}, errors.New("not as mllb writes it")
	}
	return op, r, nil
}

func (r *record) parseHold(w *words) error {
	r.TGID, r.Session = int32(w.number("tgid", 31)), int32(w.number("session", 31))
	r.Cgroup, r.CPU = w.number("cgroup", 64), int32(w.number("cpu", 31))
	owner, err := topology.ParseCPUList(w.next("owner"))
	r.Owner, r.Since = owner, w.number("since", 64)
	r.Full, r.Lead, r.Origin = w.next("full") == "1", w.next("lead") == "1", w.path("origin")
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return fmt.Errorf("owner: %w", err)
	case r.TGID <= 1:
		return fmt.Errorf("process %d may not be held", r.TGID)
	case !r.Owner.Has(int(r.CPU)):
		return fmt.Errorf("cpu %d is not in the owner's mask {%s}", r.CPU, r.Owner)
	case r.Owner.Count() < 2:
		return fmt.Errorf("a hold on cpu %d does not narrow the owner's mask {%s}", r.CPU, r.Owner)
	}
	return nil
}
