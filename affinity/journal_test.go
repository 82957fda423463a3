// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/topology"
)

var testHeader = header{Kind: KindCPUSet, PID: 812, Start: 4021, Boot: "0a1b", Dir: "/sys/fs/cgroup/cpuset/my dir#1"}

func testRecord(tid, cpu int32) record {
	return record{ID: features.ID{TID: tid, Start: 5310}, TGID: 90, Session: 90, Cgroup: 17, CPU: cpu,
		Owner: topology.NewCPUSet(0, 1, 2, 3, 70), Since: 6200, Full: true, Origin: `/sys/"quoted"` + "\n"}
}

func lines(ops ...any) []byte {
	b := testHeader.append(nil)
	for i := 0; i < len(ops); i += 2 {
		r := ops[i+1].(record)
		b = r.append(b, ops[i].(string))
	}
	return b
}

func TestJournal(t *testing.T) {
	text := lines(opHold, testRecord(91, 3), opHold, testRecord(92, 0), opHold, testRecord(92, 1),
		opReleased, testRecord(91, 3), opHold, testRecord(93, 0), opForgotten, testRecord(93, 0))
	h, err := parseJournal(text)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testHeader, h.header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	want := map[features.ID]*journaled{
		{TID: 91, Start: 5310}: {record: testRecord(91, 3), Prev: -1, Released: true, Trail: []int32{3}},
		{TID: 92, Start: 5310}: {record: testRecord(92, 1), Prev: 0, Trail: []int32{0, 1}},
	}
	if diff := cmp.Diff(want, h.entries, cmp.AllowUnexported(journaled{})); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if len(h.healed) != 0 {
		t.Errorf("healed %q", h.healed)
	}
	if bytes.Count(text, []byte("\n")) != 7 || bytes.Contains(text, []byte(`"quoted"`)) {
		t.Errorf("a path broke out of its line:\n%s", text)
	}
}

// forge is a line as mllb would write it, checksum and all.
func forge(line string) string { return string(appendCRC([]byte(line), 0)) }

func TestJournalDiscards(t *testing.T) {
	good := testRecord(91, 3)
	hold := strings.TrimSuffix(string(good.append(nil, opHold)), "\n")
	plain := hold[:strings.LastIndex(hold, " #")]
	for name, line := range map[string]string{
		"pid 1":             forge(strings.Replace(plain, "tid=91", "tid=1", 1)),
		"process 1":         forge(strings.Replace(plain, "tgid=90", "tgid=1", 1)),
		"negative tid":      forge(strings.Replace(plain, "tid=91", "tid=-91", 1)),
		"huge tid":          forge(strings.Replace(plain, "tid=91", "tid=4294967387", 1)),
		"cpu out of mask":   forge(strings.Replace(plain, "cpu=3", "cpu=4", 1)),
		"cpu out of range":  forge(strings.Replace(plain, "cpu=3", "cpu=9999", 1)),
		"empty mask":        forge(strings.Replace(plain, "owner=0-3,70", "owner=", 1)),
		"not narrower":      forge(strings.Replace(plain, "owner=0-3,70", "owner=3", 1)),
		"mask out of range": forge(strings.Replace(plain, "owner=0-3,70", "owner=0-8192", 1)),
		"other spelling":    forge(strings.Replace(plain, "owner=0-3,70", "owner=0,1-3,70", 1)),
		"leading zero":      forge(strings.Replace(plain, "tid=91", "tid=091", 1)),
		"word missing":      forge(strings.Replace(plain, " full=1", "", 1)),
		"word added":        forge(plain + " x=1"),
		"unknown kind":      forge("grab" + strings.TrimPrefix(plain, "hold")),
		"second header":     string(testHeader.append(nil)),
		"wrong checksum":    strings.Replace(hold, "cpu=3", "cpu=2", 1) + "\n",
		"no checksum":       plain + "\n",
		"empty":             "\n",
		"too long":          forge(plain + strings.Repeat("x", maxLine)),
	} {
		t.Run(name, func(t *testing.T) {
			text := append(append(lines(), line...), lines(opHold, testRecord(92, 0))[len(lines()):]...)
			h, err := parseJournal(text)
			if err != nil {
				t.Fatal(err)
			}
			if len(h.healed) != 1 || len(h.entries) != 1 || h.entries[testRecord(92, 0).ID] == nil {
				t.Errorf("healed %q, entries %v", h.healed, h.entries)
			}
		})
	}
}

func TestJournalHeaders(t *testing.T) {
	good := string(testHeader.append(nil))
	plain := good[:strings.LastIndex(good, " #")]
	for name, text := range map[string]string{
		"empty":         "",
		"torn":          good[:len(good)/2],
		"no newline":    strings.TrimSuffix(good, "\n"),
		"other version": forge(strings.Replace(plain, "v=1", "v=2", 1)),
		"other kind":    forge(strings.Replace(plain, "cpuset", "nice", 1)),
		"checksum":      strings.Replace(good, "812", "813", 1),
		"a hold first":  string(lines(opHold, testRecord(91, 3))[len(good):]),
		"binary":        "\x00\x01\x02\n" + good,
	} {
		if _, err := parseJournal([]byte(text)); !errors.Is(err, ErrJournal) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line of ErrJournal", name, err)
		}
	}
}

// TestJournalDamage: whatever is cut off or flipped, nothing is read that was
// not written.
func TestJournalDamage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := testHeader.append(nil)
		written := map[string]bool{}
		for range rapid.IntRange(0, 20).Draw(t, "lines") {
			r := testRecord(rapid.Int32Range(2, 6).Draw(t, "tid"), rapid.SampledFrom([]int32{0, 1, 2, 3, 70}).Draw(t, "cpu"))
			r.Origin, r.Since = "", uint64(len(b))
			op := rapid.SampledFrom([]string{opHold, opHold, opReleased, opForgotten}).Draw(t, "op")
			written[string(r.append(nil, opHold))] = true
			b = r.append(b, op)
		}
		for range rapid.IntRange(0, 4).Draw(t, "flips") {
			b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "bits")
		}
		b = b[rapid.SampledFrom([]int{0, 0, 0, 1, len(b) / 2}).Draw(t, "from"):]
		b = b[:len(b)-rapid.IntRange(0, len(b)).Draw(t, "cut")]
		h, err := parseJournal(b)
		if err != nil {
			if !errors.Is(err, ErrJournal) {
				t.Fatal(err)
			}
			return
		}
		if h.header != testHeader {
			t.Fatalf("header %+v", h.header)
		}
		for _, e := range h.entries {
			r := e.record
			since := r.Since
			for s := range written { // a later hold keeps the time of the first
				if op, w, _ := parseRecord(strings.TrimSuffix(s, "\n")); op == opHold && w.ID == r.ID && w.CPU == r.CPU && w.Since >= since {
					r.Since = w.Since
					break
				}
			}
			if !written[string(r.append(nil, opHold))] {
				t.Fatalf("read %s, which was never written", r.append(nil, opHold))
			}
		}
	})
}

func FuzzJournal(f *testing.F) {
	f.Add(lines(opHold, testRecord(91, 3), opReleased, testRecord(91, 3)))
	f.Add(lines()[:20])
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := parseJournal(text)
		if err != nil {
			return
		}
		for id, e := range h.entries {
			if id.TID <= 1 || e.TGID <= 1 || !e.Owner.Has(int(e.CPU)) || e.Owner.Count() < 2 {
				t.Fatalf("obeyed %+v", e)
			}
		}
	})
}

// FuzzRecord gives the parser lines whose checksum is right.
func FuzzRecord(f *testing.F) {
	good := testRecord(91, 3)
	line := string(good.append(nil, opHold))
	f.Add(line[:strings.LastIndex(line, " #")])
	f.Add("released tid=91 start=5310")
	f.Fuzz(func(t *testing.T, line string) {
		whole := strings.TrimSuffix(forge(line), "\n")
		op, r, err := parseRecord(whole)
		if err == nil && string(r.append(nil, op)) != whole+"\n" {
			t.Fatalf("%q is read as %q", whole, r.append(nil, op))
		}
		if h, err := parseHeader(whole); err == nil && string(h.append(nil)) != whole+"\n" {
			t.Fatalf("%q is read as %q", whole, h.append(nil))
		}
	})
}

func TestStateRefused(t *testing.T) {
	good := lines()
	type setup func(t *testing.T, dir, journal string) error
	tests := []struct {
		name     string
		make     setup
		restores bool // Restore moves it aside; else it refuses as Open does
	}{
		{"symlink", func(t *testing.T, dir, j string) error {
			_ = os.WriteFile(dir+"/x", good, 0o600)
			return os.Symlink("x", j)
		}, true},
		{"fifo", func(t *testing.T, dir, j string) error { return unix.Mkfifo(j, 0o600) }, true},
		{"directory", func(t *testing.T, dir, j string) error { return os.Mkdir(j, 0o700) }, true},
		{"group writable", func(t *testing.T, dir, j string) error {
			_ = os.WriteFile(j, good, 0o600)
			return os.Chmod(j, 0o620)
		}, true},
		{"other owner", func(t *testing.T, dir, j string) error {
			_ = os.WriteFile(j, good, 0o600)
			return os.Chown(j, 4711, -1)
		}, true},
		{"header", func(t *testing.T, dir, j string) error { return os.WriteFile(j, []byte("x\n"), 0o600) }, true},
		{"state directory", func(t *testing.T, dir, j string) error { return os.Chmod(dir, 0o777) }, false},
		{"state is a link", func(t *testing.T, dir, j string) error {
			if err := os.Rename(dir, dir+"2"); err != nil {
				return err
			}
			return os.Symlink(dir+"2", dir)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newFakeHost()
			cfg := fakeConfig(t.TempDir(), h)
			if err := os.Mkdir(cfg.StateDir, 0o700); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(cfg.StateDir, journalName)
			if err := tt.make(t, cfg.StateDir, path); err != nil {
				t.Skipf("cannot make it: %v", err)
			}
			if _, _, err := Open(cfg); !errors.Is(err, ErrJournal) {
				t.Fatalf("Open: %v, want ErrJournal", err)
			}
			_, err := Restore(cfg)
			if !errors.Is(err, ErrJournal) {
				t.Fatalf("Restore: %v, want ErrJournal", err)
			}
			if !tt.restores {
				return
			}
			if !strings.Contains(err.Error(), path+".refused-1") {
				t.Fatalf("Restore: %v, want where it went", err)
			}
			if _, err := os.Lstat(path + ".refused-1"); err != nil {
				t.Error(err)
			}
			e, _, err := Open(cfg)
			if err != nil {
				t.Fatalf("Open after Restore: %v", err)
			}
			_, _ = e.Close()
		})
	}
}

func TestBusy(t *testing.T) {
	h := newFakeHost()
	e, cfg := openFake(t, h)
	defer e.Close()
	for name, try := range map[string]func() error{
		"open":    func() error { _, _, err := Open(cfg); return err },
		"restore": func() error { _, err := Restore(cfg); return err },
	} {
		if err := try(); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprint("pid ", os.Getpid())) {
			t.Errorf("%s: %v, want ErrBusy with our pid", name, err)
		}
	}
}

func TestRestoreNothing(t *testing.T) {
	cfg := fakeConfig(t.TempDir(), newFakeHost())
	if r, err := Restore(cfg); err != nil || !cmp.Equal(r, Report{}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestOtherBoot: after a reboot the same ids are other threads.
func TestOtherBoot(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, cfg := openFake(t, h)
	holdAll(t, e, h, 2)
	e.kill()
	boot := filepath.Join(cfg.Root, "proc/sys/kernel/random/boot_id")
	if err := os.WriteFile(boot, []byte("another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := Restore(cfg)
	if err != nil || r.Restored != 0 || len(r.Notes) != 1 || single(p.Mask) != 2 {
		t.Errorf("%+v, %v, mask {%s}", r, err, p.Mask)
	}
	if _, err := os.Lstat(filepath.Join(cfg.StateDir, journalName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the journal is still there: %v", err)
	}
}

// TestCompaction: the journal of a long run stays small and says the same.
func TestCompaction(t *testing.T) {
	h := newFakeHost()
	a, b := h.spawn(h.all()), h.spawn(h.all())
	e, cfg := openFake(t, h)
	var s features.Snapshot
	for i := range 3000 {
		h.now++
		h.snapshot(&s)
		if err := e.Sync(&s); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Apply(&s, []features.Hold{{Thread: 0, CPU: int32(i % 3)}, {Thread: 1, CPU: 5}}, 0)...); err != nil {
			t.Fatal(err)
		}
	}
	if e.file.line > deadFactor*4+deadSlack+20 {
		t.Errorf("%d lines", e.file.line)
	}
	e.kill()
	r, err := Restore(cfg)
	if err != nil || r.Restored != 2 || !a.Mask.Equal(h.all()) || !b.Mask.Equal(h.all()) {
		t.Errorf("%+v, %v, {%s} {%s}", r, err, a.Mask, b.Mask)
	}
}

// TestJournalFull: no hold without its line in the journal.
func TestJournalFull(t *testing.T) {
	h := newFakeHost()
	p := h.spawn(h.all())
	e, _ := openFake(t, h)
	var s features.Snapshot
	h.snapshot(&s)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	good := e.file.file
	e.file.file = full
	if err := e.Apply(&s, []features.Hold{{Thread: 0, CPU: 1}}, 0)[0]; !errors.Is(err, unix.ENOSPC) {
		t.Errorf("hold with a full journal: %v, want ENOSPC", err)
	}
	if !p.Mask.Equal(h.all()) || e.Stats().Held != 0 || h.sets != 0 {
		t.Errorf("mask {%s}, %+v", p.Mask, e.Stats())
	}
	e.file.file = good
	if err := e.Apply(&s, []features.Hold{{Thread: 0, CPU: 1}}, 0)[0]; err != nil || single(p.Mask) != 1 {
		t.Errorf("hold after that: %v, mask {%s}", err, p.Mask)
	}
}
