// SPDX-License-Identifier: Apache-2.0

package affinity

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/topology"
)

const fakeCPUs = 8

// fakeTask is a thread of the fake host, with the mask that it would have if
// mllb did not exist.
type fakeTask struct {
	task uint64 // stays its own through execve(2)
	Task
	want    topology.CPUSet
	owner   int             // and the inode of its cgroup
	changed bool            // its owner changed its mask
	asked   topology.CPUSet // user_cpus_ptr; nil: none
}

// fakeHost is a kernel with threads, forks and masks, and nothing else.
type fakeHost struct {
	cpus    int
	now     uint64
	nextTID int32
	owners  int
	tasks   map[int32]*fakeTask
	online  topology.CPUSet
	crash   int  // SetAffinity calls until the daemon is killed; negative: never
	after   bool // the kill comes after the call took effect
	sets    int

	traced map[int32]bool // ForkSource
	pinned map[int32]bool // of these, who was given a mask by others
	events []Fork
	lost   uint64
	refuse map[int32]error // SetAffinity of these tids fails
	keeps  bool            // what threads asked for can be read
	fail   func(op string, tid int32) error
	race   topology.CPUSet // what the owner sets right before the next SetAffinity
	given  topology.CPUSet // the same, for Guard
}

// fails asks the test whether a system call fails.
func (h *fakeHost) fails(op string, tid int32) error {
	if h.fail == nil {
		return nil
	}
	return h.fail(op, tid)
}

// firstTID is above every id of a real process (PID_MAX_LIMIT, linux/threads.h): this one's must not be held.
const firstTID = 1 << 22

// errKilled is what the fake kernel panics with when it kills the daemon.
var errKilled = errors.New("killed")

func newFakeHost() *fakeHost { return newFakeHostOf(fakeCPUs) }

func newFakeHostOf(cpus int) *fakeHost {
	h := &fakeHost{cpus: cpus, now: 1000, nextTID: firstTID, tasks: make(map[int32]*fakeTask), crash: -1,
		traced: make(map[int32]bool), pinned: make(map[int32]bool), refuse: make(map[int32]error)}
	h.online = h.all()
	h.tasks[1] = &fakeTask{Task: Task{ID: features.ID{TID: 1, Start: 1}, TGID: 1, Session: 1, Threads: 1, Mask: h.all()}, want: h.all()}
	return h
}

func (h *fakeHost) all() topology.CPUSet {
	var s topology.CPUSet
	for cpu := range h.cpus {
		s.Add(cpu)
	}
	return s
}

func (h *fakeHost) sorted() []*fakeTask {
	var out []*fakeTask
	for _, tid := range slices.Sorted(maps.Keys(h.tasks)) {
		if tid != 1 {
			out = append(out, h.tasks[tid])
		}
	}
	return out
}

// spawn starts a process of a session of its own.
func (h *fakeHost) spawn(mask topology.CPUSet) *fakeTask {
	h.owners++
	t := h.add(&fakeTask{Task: Task{PPID: 1, Mask: mask.Clone()}, want: mask.Clone(), owner: h.owners})
	t.TGID, t.Session = t.TID, t.TID
	return t
}

func (h *fakeHost) add(t *fakeTask) *fakeTask {
	h.nextTID++
	t.task = uint64(h.nextTID)
	t.ID = features.ID{TID: h.nextTID, Start: h.now}
	t.Threads = 1
	h.tasks[t.TID] = t
	return t
}

func (h *fakeHost) fork(p *fakeTask, thread, setsid bool) *fakeTask {
	c := h.add(&fakeTask{Task: Task{PPID: p.TGID, Session: p.Session, TGID: p.TGID, Mask: p.Mask.Clone()},
		want: p.want.Clone(), owner: p.owner, changed: p.changed, asked: p.asked})
	if thread {
		c.PPID = p.PPID
	} else {
		c.TGID = c.TID
		if setsid {
			c.Session = c.TID
		}
	}
	h.count(c.TGID)
	if h.traced[p.TID] {
		h.traced[c.TID] = true
		delete(h.pinned, c.TID)
		h.events = append(h.events, Fork{Parent: p.TID, Child: c.ID, TGID: c.TGID})
	}
	return c
}

func (h *fakeHost) count(tgid int32) {
	var all []*fakeTask
	for _, t := range h.tasks {
		if t.TGID == tgid {
			all = append(all, t)
		}
	}
	for _, t := range all {
		t.Threads = int32(len(all))
	}
}

// exit ends a thread, with its process if it leads one; init adopts orphans.
func (h *fakeHost) exit(t *fakeTask) {
	for _, o := range h.sorted() {
		if o == t || t.TID == t.TGID && o.TGID == t.TGID {
			delete(h.tasks, o.TID)
			delete(h.traced, o.TID)
		}
	}
	h.count(t.TGID)
	if t.TID != t.TGID {
		return
	}
	for _, o := range h.tasks {
		if o.PPID == t.TGID {
			o.PPID = 1
		}
	}
}

// exec makes a thread its process's only one, under its leader's id.
func (h *fakeHost) exec(t *fakeTask) {
	lead := h.tasks[t.TGID]
	traced := h.traced[t.TID]
	for _, o := range h.sorted() {
		if o.TGID == t.TGID {
			delete(h.tasks, o.TID)
			delete(h.traced, o.TID)
		}
	}
	t.ID = lead.ID
	h.tasks[t.TID] = t
	if traced {
		h.traced[t.TID] = true
	}
	h.count(t.TGID)
}

// change is the owner setting a mask.
func (h *fakeHost) change(owner int, mask topology.CPUSet) {
	for _, t := range h.sorted() {
		if t.owner == owner {
			h.set(t, mask)
		}
	}
}

// set is a thread's own doing.
func (h *fakeHost) set(t *fakeTask, mask topology.CPUSet) {
	t.Mask, t.want, t.changed, t.asked = mask.Clone(), mask.Clone(), true, mask.Clone()
}

func (h *fakeHost) snapshot(s *features.Snapshot) {
	s.Reset()
	s.Time = int64(h.now) * 1e7
	s.Runqueues = s.Runqueues[:0]
	for cpu := range h.cpus {
		s.Runqueues = append(s.Runqueues, features.Runqueue{Online: h.online.Has(cpu)})
	}
	for _, t := range h.sorted() {
		i := s.Mask(t.Mask)
		asked := int32(-1)
		if t.asked != nil {
			asked = s.Mask(t.asked)
		}
		s.Threads = append(s.Threads, features.Thread{ID: t.ID, Task: t.task, TGID: t.TGID, PPID: t.PPID, Session: t.Session,
			Cgroup: uint64(t.owner), Flags: t.Flags, Allowed: i, Asked: asked, Owner: i, Hold: -1, Managed: true})
	}
	s.Asked = h.keeps
}

// check compares every mask with what its owner wants.
func (h *fakeHost) check() error {
	for _, t := range h.sorted() {
		if !t.Mask.Equal(t.want) {
			return fmt.Errorf("thread %d of process %d (parent %d, session %d, started %d) has {%s}, its owner wants {%s}",
				t.TID, t.TGID, t.PPID, t.Session, t.Start, t.Mask, t.want)
		}
	}
	return nil
}

// The Sys of the fake host.

func (h *fakeHost) Now() (uint64, error)             { return h.now, nil }
func (h *fakeHost) Beside(cpu int32)                 {}
func (h *fakeHost) Possible() topology.CPUSet        { return h.all() }
func (h *fakeHost) Online() (topology.CPUSet, error) { return h.online, nil }
func (h *fakeHost) Widest(tgid, tid int32) (topology.CPUSet, error) {
	return h.all(), nil
}
func (h *fakeHost) InCgroup(tgid, tid int32, inode uint64) (bool, error) {
	return h.tasks[tid] != nil && h.tasks[tid].owner == int(inode), nil
}

func (h *fakeHost) Task(tgid, tid int32) (Task, error) {
	t := h.tasks[tid]
	if t == nil || t.TGID != tgid {
		return Task{}, ErrGone
	}
	if err := h.fails("task", tid); err != nil {
		return Task{}, err
	}
	c := t.Task
	c.Mask = c.Mask.Clone()
	return c, nil
}

func (h *fakeHost) Threads(masks []topology.CPUSet, yield func(tgid, tid int32) bool) error {
	if err := h.fails("threads", 0); err != nil {
		return err
	}
	for _, t := range h.sorted() {
		if slices.ContainsFunc(masks, t.Mask.SubsetOf) && !yield(t.TGID, t.TID) {
			break
		}
	}
	return nil
}

func (h *fakeHost) SetAffinity(tid int32, mask topology.CPUSet) error {
	h.sets++
	h.crash--
	if h.crash == 0 && !h.after {
		panic(errKilled)
	}
	if own := h.race; own != nil {
		h.race, h.given = nil, own
		if own.Intersects(h.online) {
			h.pinned[tid] = h.traced[tid]
			h.set(h.tasks[tid], own)
		}
	}
	t := h.tasks[tid]
	asked := mask.Clone()
	asked = asked[:min(len(asked), (h.cpus+63)/64)] // get_user_cpu_mask
	if err := h.fails("set", tid); err != nil && t != nil {
		return err
	}
	switch mask = mask.And(h.all()); {
	case t == nil:
		return ErrGone
	case h.refuse[tid] != nil:
		return h.refuse[tid]
	case !mask.Intersects(h.online):
		return unix.EINVAL
	}
	t.Mask, t.asked = mask, asked
	if h.crash == 0 {
		panic(errKilled)
	}
	return nil
}

func (h *fakeHost) Watch(tid int32) (alive func() bool, done func(), err error) {
	t := h.tasks[tid]
	if t == nil {
		return nil, nil, ErrGone
	}
	if err := h.fails("watch", tid); err != nil {
		return nil, nil, err
	}
	return func() bool { return h.tasks[tid] == t }, func() {}, nil
}

// fakeMarks are the Marks of a fake host.
type fakeMarks struct{ *fakeHost }

func (h fakeMarks) Snapshot(s *features.Snapshot) error { h.snapshot(s); return nil }
func (h fakeMarks) Look(tid int32, s *features.Snapshot) error {
	h.snapshot(s)
	s.Threads = slices.DeleteFunc(s.Threads, func(t features.Thread) bool { return t.TID != tid })
	return nil
}

// The ForkSource of the fake host.

func (h *fakeHost) Track(tid int32) error {
	if h.tasks[tid] != nil {
		h.traced[tid] = true
		delete(h.pinned, tid)
	}
	return nil
}
func (h *fakeHost) Untrack(tid int32) error { delete(h.traced, tid); return nil }
func (h *fakeHost) Lost() (uint64, error)   { return h.lost, nil }
func (h *fakeHost) Pinned(tid int32) bool   { return h.pinned[tid] }

func (h *fakeHost) Guard(tid int32) (given func() topology.CPUSet, done func(), err error) {
	h.given = nil
	given = func() topology.CPUSet {
		mask := h.given
		h.given = nil
		return mask
	}
	return given, func() {}, h.fails("guard", tid)
}

// fakeConfig is a root with the one file that is read outside of Sys.
func fakeConfig(dir string, h *fakeHost) Config {
	proc := filepath.Join(dir, "proc/sys/kernel/random")
	err := os.MkdirAll(proc, 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(proc, "boot_id"), []byte("0a1b-boot\n"), 0o644)
	}
	if err != nil {
		panic(err)
	}
	return Config{Root: dir, StateDir: filepath.Join(dir, "state"), Sys: h}
}

func openFake(t testing.TB, h *fakeHost) (*Enforcer, Config) {
	t.Helper()
	cfg := fakeConfig(t.TempDir(), h)
	e, _, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e, cfg
}

// kill drops an enforcer as SIGKILL does: its files are closed, nothing else.
func (e *Enforcer) kill() {
	if e != nil {
		_ = e.file.unlock()
	}
}
