// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features"
)

// TestLacks: what fails for want of something is tried again at the end, of a
// held thread and of a child; what fails for good is left, said, and in the
// journal.
func TestLacks(t *testing.T) {
	const transient, lasting = 3, 1 << 30
	for _, tt := range []struct {
		op    string
		err   error
		times int
		left  int
	}{
		{"watch", unix.ENOMEM, transient, 0}, {"watch", unix.EMFILE, transient, 0}, {"watch", unix.ENFILE, transient, 0},
		{"set", unix.EIO, transient, 0}, {"set", unix.EINTR, transient, 0}, {"set", unix.EAGAIN, transient, 0},
		{"task", unix.EMFILE, transient, 0}, {"threads", unix.EMFILE, transient, 0},
		{"watch", unix.EPERM, lasting, 1}, {"set", unix.EPERM, lasting, 1}, {"task", unix.EACCES, lasting, 1},
		{"set", unix.ENOMEM, lasting, 1}, {"threads", unix.EMFILE, lasting, 0},
	} {
		for _, of := range []string{"held", "child"} {
			for _, end := range []string{"close", "restore"} {
				t.Run(fmt.Sprint(tt.op, " ", tt.err, " ", tt.times, " ", of, " ", end), func(t *testing.T) {
					t.Parallel()
					h := newFakeHost()
					p := h.spawn(h.all())
					e, cfg := openFake(t, h)
					holdAll(t, e, h, 2)
					victim := p
					if of == "child" {
						victim = h.fork(p, false, false)
					}
					left := tt.times
					h.fail = func(op string, tid int32) error {
						if op != tt.op || tid != victim.TID && tid != 0 || left == 0 {
							return nil
						}
						left--
						return fmt.Errorf("wrapped: %w", tt.err)
					}
					finish := func() (Report, error) { return e.Close() }
					if end == "restore" {
						e.kill()
						finish = func() (Report, error) { return Restore(cfg) }
					}
					began := time.Now()
					r, err := finish()
					if took := time.Since(began); took > 2*retryFor {
						t.Errorf("took %v", took)
					}
					_, gone := os.Lstat(filepath.Join(cfg.StateDir, journalName))
					if tt.times == transient {
						if err != nil || r.Failed != 0 || h.check() != nil || gone == nil {
							t.Errorf("%+v, %v, %v; journal: %v", r, err, h.check(), gone)
						}
						return
					}
					if r.Failed != tt.left || (err == nil) != (tt.left > 0) || len(r.Notes) != tt.left || gone != nil {
						t.Errorf("%+v, %v; journal: %v", r, err, gone)
					}
					left = 0
					if r, err := Restore(cfg); err != nil || r.Failed != 0 || h.check() != nil {
						t.Errorf("restore: %+v, %v, %v", r, err, h.check())
					}
				})
			}
		}
	}
}

// TestUnreadParent: where it cannot be read whose child a thread is, it is not
// given away as nobody's.
func TestUnreadParent(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, cfg := openFake(t, h)
	holdAll(t, e, h, 2)
	middle := h.fork(p, false, false)
	child := h.fork(middle, false, false)
	h.change(99, nil)
	middle.Mask, middle.want = mask(0, 1), mask(0, 1) // so that only a parent of child's is read there
	e.kill()
	h.fail = func(op string, tid int32) error {
		if op == "task" && tid == middle.TID {
			return unix.EACCES
		}
		return nil
	}
	if r, err := Restore(cfg); err != nil || r.Failed != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	h.fail = nil
	if r, err := Restore(cfg); err != nil || r.Inherited != 1 || !child.Mask.Equal(h.all()) {
		t.Errorf("then %+v, %v, {%s}", r, err, child.Mask)
	}
}

// TestDamaged: of a journal with damaged lines the others are obeyed, and it is
// kept: by Restore where it was, by Open aside.
func TestDamaged(t *testing.T) {
	for name, damage := range map[string]func(text string) string{
		"a hold":   func(s string) string { return strings.Replace(s, "cpu=2", "cpu=3", 1) },
		"the tail": func(s string) string { return s[:len(s)-5] },
		"many":     func(s string) string { return s + strings.Repeat("bad\n", 100_000) },
	} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", open ", open), func(t *testing.T) {
				h := newFakeHost()
				p, q := h.spawn(h.all()), h.spawn(h.all())
				e, cfg := openFake(t, h)
				s := tick(t, e, h)
				for cpu, f := range []*fakeTask{2: p, 1: q} {
					if f != nil {
						if err := e.Apply(s, []features.Hold{{Thread: indexOf(s, f), CPU: int32(cpu)}}, 0)[0]; err != nil {
							t.Fatal(err)
						}
					}
				}
				e.kill()
				path := filepath.Join(cfg.StateDir, journalName)
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				bad := damage(string(text))
				if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
					t.Fatal(err)
				}
				var r Report
				if open {
					e, r, err = Open(cfg)
					if err != nil {
						t.Fatal(err)
					}
					defer e.Close()
					path += ".refused-1"
				} else if r, err = Restore(cfg); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
					t.Errorf("restore: %v", err)
				}
				if kept, err := os.ReadFile(path); err != nil || string(kept) != bad {
					t.Errorf("the journal that was kept: %d bytes of %d, %v", len(kept), len(bad), err)
				}
				if r.Restored < 1 || !q.Mask.Equal(h.all()) {
					t.Errorf("%+v, {%s}", r, q.Mask)
				}
				lines := strings.Join(r.Lines(), "\n")
				if !strings.Contains(lines, "journal line ") || len(lines) > 4096 {
					t.Errorf("notes of %d bytes: %.200s", len(lines), lines)
				}
			})
		}
	}
}

// TestNamespaces: a journal of another pid or time namespace is neither obeyed
// nor removed, unless that pid namespace is known to have ended.
func TestNamespaces(t *testing.T) {
	const first, theirs = "pid:[4026531836]", "pid:[4026532999]"
	for name, tt := range map[string]struct {
		wrote, reads map[string]string // links below proc/self/ns
		others       map[string]string // pid namespaces of other processes
		want         error
		done         bool   // the journal goes
		says         string // the error, or the note
	}{
		"the same":                      {map[string]string{"pid": first, "time": "time:[5]"}, map[string]string{"pid": first, "time": "time:[5]"}, nil, nil, true, ""},
		"none are known":                {nil, map[string]string{"pid": first}, nil, nil, true, ""},
		"no longer known":               {map[string]string{"pid": first}, nil, nil, nil, true, ""},
		"another, alive":                {map[string]string{"pid": theirs}, map[string]string{"pid": first}, map[string]string{"77": theirs}, ErrNamespace, false, "nsenter -t 77 "},
		"another, ended":                {map[string]string{"pid": theirs}, map[string]string{"pid": first}, map[string]string{"77": first}, nil, true, "has ended"},
		"another, unreadable processes": {map[string]string{"pid": theirs}, map[string]string{"pid": first}, map[string]string{"77": ""}, ErrNamespace, false, "undo it there"},
		"seen from below":               {map[string]string{"pid": first}, map[string]string{"pid": theirs}, map[string]string{"77": theirs}, ErrNamespace, false, "undo it there"},
		"another time":                  {map[string]string{"pid": first, "time": "time:[5]"}, map[string]string{"pid": first, "time": "time:[6]"}, nil, ErrNamespace, false, "nsenter -T"},
		"another user":                  {map[string]string{"user": "user:[5]"}, map[string]string{"user": "user:[6]"}, nil, nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newFakeHost()
			p := h.spawn(h.all())
			cfg := fakeConfig(t.TempDir(), h)
			proc := filepath.Join(cfg.Root, "proc")
			link := func(process string, ns map[string]string) {
				dir := filepath.Join(proc, process, "ns")
				err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755))
				for kind, to := range ns {
					if to == "" {
						to = "nonsense"
					}
					err = errors.Join(err, os.Symlink(to, filepath.Join(dir, kind)))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			link("self", tt.wrote)
			e, _, err := Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			holdAll(t, e, h, 2)
			e.kill()
			link("self", tt.reads)
			for pid, ns := range tt.others {
				link(pid, map[string]string{"pid": ns})
			}
			r, err := Restore(cfg)
			if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Fatalf("%+v, %v; want %v", r, err, tt.want)
			}
			if said := fmt.Sprint(err, r.Lines()); !strings.Contains(said, tt.says) {
				t.Errorf("%s; want %q", said, tt.says)
			}
			if _, err := os.Lstat(filepath.Join(cfg.StateDir, journalName)); (err != nil) != tt.done {
				t.Errorf("the journal: %v", err)
			}
			if tt.want != nil || tt.says != "" {
				if !p.Mask.Equal(mask(2)) {
					t.Errorf("{%s}", p.Mask)
				}
				if _, _, err := Open(cfg); !errors.Is(err, tt.want) {
					t.Errorf("open: %v", err)
				}
				return
			}
			if !p.Mask.Equal(h.all()) {
				t.Errorf("{%s}", p.Mask)
			}
		})
	}
}

// TestNotesCapped: however much fails, the notes stay few.
func TestNotesCapped(t *testing.T) {
	var r Report
	for i := range maxNotes + 5 {
		r.note("thread %d", i)
	}
	lines := r.Lines()
	if len(lines) != maxNotes+1 || lines[maxNotes] != "and 5 more like these" || len(r.Lines()) != maxNotes+1 {
		t.Errorf("%d lines: %q", len(lines), lines)
	}
}
