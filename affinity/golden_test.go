// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mllb/features"
)

// TestGoldenJournal goes through all that the journal can say, up to a kill in
// a move. testdata/journal-v1 was written by a version before this test, and is
// not to be written anew: every version writes the same lines in the same
// order, and restores from those.
func TestGoldenJournal(t *testing.T) {
	h := newFakeHost()
	if h.nextTID = 100; os.Getpid() > 100 && os.Getpid() < 120 {
		t.Skip("this process may have an id that is in the file")
	}
	moved, freed, refused, gone := h.spawn(h.all()), h.spawn(h.all()), h.spawn(mask(0, 1, 2, 3)), h.spawn(h.all())
	thread := h.fork(gone, true, false)
	e, cfg := openFake(t, h)
	apply := func(s *features.Snapshot, p *fakeTask, cpu int32) {
		e.Apply(s, []features.Hold{{Thread: indexOf(s, p), CPU: cpu}}, 0)
	}
	release := func(p *fakeTask) {
		s := tick(t, e, h)
		if err := e.Release(s, []int32{indexOf(s, p)})[0]; err != nil {
			t.Fatal(err)
		}
	}
	apply(tick(t, e, h), moved, 2)
	apply(tick(t, e, h), gone, 1)
	apply(tick(t, e, h), thread, 1)
	release(thread)
	h.exit(gone)
	for range keepTicks + 2 {
		tick(t, e, h)
	}
	apply(tick(t, e, h), freed, 1)
	apply(tick(t, e, h), moved, 3)
	h.refuse[refused.TID] = unix.EPERM
	apply(tick(t, e, h), refused, 2)
	child := h.fork(moved, false, false)
	release(freed)
	s := tick(t, e, h)
	late := h.fork(moved, true, false)
	func() {
		h.crash = 1
		defer func() { _, h.crash = recover(), -1 }()
		apply(s, moved, 4)
		t.Error("not killed")
	}()
	e.kill()
	checkGolden(t, "testdata/journal-v1", filepath.Join(cfg.StateDir, journalName))
	orphan := h.fork(moved, false, false)
	h.refuse = nil
	r, err := Restore(cfg)
	if want := (Report{Restored: 1, Inherited: 2}); err != nil || !cmp.Equal(r, want) {
		t.Errorf("%+v, %v; want %+v", r, err, want)
	}
	for _, p := range []*fakeTask{moved, freed, child, late, orphan} {
		if !p.Mask.Equal(h.all()) {
			t.Errorf("thread %d has {%s}", p.TID, p.Mask)
		}
	}
}

func indexOf(s *features.Snapshot, p *fakeTask) int32 {
	for i := range s.Threads {
		if s.Threads[i].ID == p.ID {
			return int32(i)
		}
	}
	return -1
}

// checkGolden compares all but the header, which has this process's id, and
// leaves the golden journal in the other's place.
func checkGolden(t *testing.T, golden, journal string) {
	t.Helper()
	got, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	_, gotLines, _ := bytes.Cut(got, []byte("\n"))
	_, wantLines, _ := bytes.Cut(want, []byte("\n"))
	// That its holds are marked is new since, and changes a line's checksum.
	marked, plain := regexp.MustCompile(`origin=mark #\w+`), regexp.MustCompile(`origin= #\w+`)
	gotLines, wantLines = marked.ReplaceAll(gotLines, []byte("origin=")), plain.ReplaceAll(wantLines, []byte("origin="))
	if diff := cmp.Diff(string(wantLines), string(gotLines)); diff != "" {
		t.Errorf("the journal (-want +got):\n%s", diff)
	}
	if err := os.WriteFile(journal, want, 0o600); err != nil {
		t.Fatal(err)
	}
}
