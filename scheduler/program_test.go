// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"testing"
	"time"

	"mllb/features"
)

func noExe(int32) (exe, comm string) { return "", "" }

// A program is its process: what its threads call themselves does not matter.
func TestPrograms(t *testing.T) {
	exes := map[int32]string{10: "gameserver", 20: "java", 30: "a-name-of-more-than-15-bytes", 40: "python3.11", 60: "gameserver"}
	p := NewPrograms([]string{"gameserver", "java", "backup.py", "a-name-of-more-than-15-bytes", "kthread"},
		func(pid int32) (exe, comm string) { return exes[pid], "" })
	thread := func(tgid, tid int32, comm string) features.Thread {
		return features.Thread{ID: features.ID{TID: tid, Start: uint64(tgid)}, TGID: tgid, Comm: features.Comm(comm)}
	}
	with := func(th features.Thread, change func(*features.Thread)) features.Thread {
		change(&th)
		return th
	}
	for _, tt := range []struct {
		name   string
		thread features.Thread
		want   bool
	}{
		{"its leader", thread(10, 10, "gameserver"), true},
		{"a named thread", thread(10, 11, "GC Thread#0"), true},
		{"a leader of another name", thread(20, 20, "main"), true},
		{"its threads", thread(20, 21, "pool/worker"), true},
		{"a long name", thread(30, 30, "x"), true},
		{"a long name, cut by the kernel", thread(31, 31, "a-name-of-more-"), true},
		{"a script, by its process", thread(40, 40, "backup.py"), true},
		{"a thread of it", thread(40, 41, "Thread-1"), true},
		{"a thread called so", thread(50, 51, "java"), true},
		{"its leader is not", thread(50, 50, "other"), false},
		{"nor its other threads", thread(50, 52, "worker"), false},
		{"the leader has ended", with(thread(60, 60, "x"), func(t *features.Thread) { t.State = 'Z' }), true},
		{"what it left running", thread(60, 61, "worker"), true},
		{"a kernel thread leads nothing", with(thread(70, 70, "kthread"), func(t *features.Thread) { t.Flags = features.FlagKthread }), true},
		{"a thread without a leader", thread(80, 81, "worker"), false},
	} {
		s := &features.Snapshot{Time: 1}
		for tgid := int32(10); tgid <= 60; tgid += 10 {
			comm := map[int32]string{10: "gameserver", 20: "main", 40: "backup.py"}[tgid]
			s.Threads = append(s.Threads, thread(tgid, tgid, comm))
		}
		s.Threads = append(s.Threads, tt.thread)
		p.look(s)
		if got := p.has(&tt.thread); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		clear(p.known)
	}
}

// In a partial snapshot a process may lack the thread that leads it: it is asked for,
// and not again for a while.
func TestProgramsWithoutLeaders(t *testing.T) {
	asked := 0
	p := NewPrograms([]string{"server", "backup.py"}, func(pid int32) (exe, comm string) {
		asked++
		return map[int32]string{5: "server", 6: "python3", 7: "sh"}[pid], map[int32]string{5: "main", 6: "backup.py", 7: "sh"}[pid]
	})
	look := func(partial bool, at time.Duration, tgid, tid int32) bool {
		s := &features.Snapshot{Time: int64(at), Partial: partial, Threads: []features.Thread{
			{ID: features.ID{TID: tid, Start: 1}, TGID: tgid, Comm: features.Comm("worker")},
		}}
		p.look(s)
		return p.has(&s.Threads[0])
	}
	for range 3 {
		if !look(true, 1, 5, 51) || !look(true, 1, 6, 61) || look(true, 1, 7, 71) {
			t.Error("of the processes server, backup.py and sh the first two are excluded")
		}
	}
	if asked != 3 {
		t.Errorf("asked %d times, want once for each process", asked)
	}
	if look(false, 2, 8, 81) || asked != 3 {
		t.Error("a whole snapshot has all leaders: a process without one is not asked for")
	}
	if !look(true, 1+recheck, 5, 51) || asked != 4 {
		t.Errorf("asked %d times, want once more after some seconds", asked)
	}
}

// execve(2), a new process of an old id, and processes that end.
func TestProgramsFollow(t *testing.T) {
	exe := map[int32]string{5: "sh"}
	asked := 0
	p := NewPrograms([]string{"server"}, func(pid int32) (string, string) { asked++; return exe[pid], "" })
	leader := features.Thread{ID: features.ID{TID: 5, Start: 100}, TGID: 5, Comm: features.Comm("x")}
	look := func(at time.Duration) bool {
		s := &features.Snapshot{Time: int64(at), Threads: []features.Thread{leader}}
		p.look(s)
		return p.has(&s.Threads[0])
	}
	if look(1) || look(2) || asked != 1 {
		t.Errorf("asked %d times for one process that is another's", asked)
	}
	exe[5] = "server"
	if leader.Comm = features.Comm("y"); !look(3) {
		t.Error("execve with a new name was not seen")
	}
	exe[5] = "sh"
	if !look(4) || look(4+recheck) {
		t.Error("execve without a new name: want it seen after some seconds")
	}
	exe[5] = "server"
	if leader.Start = 200; !look(5 + recheck) {
		t.Error("a new process of the same id was not seen")
	}
	s := &features.Snapshot{Time: 1}
	for i := range int32(500) {
		s.Threads = append(s.Threads, features.Thread{ID: features.ID{TID: 100 + i}, TGID: 100 + i})
	}
	p.look(s)
	if look(6 + 3*recheck); len(p.known) != 1 {
		t.Errorf("%d processes are known, want 1: the others have ended", len(p.known))
	}
}
