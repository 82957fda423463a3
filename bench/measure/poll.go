// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"mllb/internal/procfile"
)

// poll follows a process tree by looking at /proc again and again. Processes
// are found as children of those known; CPU time is each process's own, which
// keeps that of its threads that ended, and the rest is each thread's.
type poll struct {
	root string // holds proc

	processes map[taskID]use
	threads   map[taskID]use
	base      use // what the tree used before
	delay     bool
	stopping  context.CancelFunc
	done      sync.WaitGroup
	err       error // of the first poll that failed
}

// taskID is a process or a thread that no other can be taken for.
type taskID struct {
	id    int
	start uint64 // since boot, in ticks
}

// use is what a process or a thread used by the last poll that saw it.
type use struct {
	utime, stime           uint64 // ticks
	voluntary, involuntary uint64
	delay                  time.Duration
}

// minPoll bounds what looking at /proc may cost.
const minPoll = 100 * time.Millisecond

func openPoll(root string) (*poll, error) {
	p := &poll{root: root}
	self := filepath.Join(root, "proc/thread-self")
	if _, err := os.Stat(filepath.Join(self, "children")); err != nil {
		return nil, fmt.Errorf("the kernel does not tell children (CONFIG_PROC_CHILDREN): %w", err)
	}
	_, err := os.Stat(filepath.Join(self, "schedstat"))
	p.delay = err == nil
	return p, nil
}

// missing names what only eBPF measures.
func (p *poll) missing() []string {
	all := []string{"queue lengths: they need eBPF", "migrations: they need eBPF", "how long CPUs are idle while threads wait: it needs eBPF", "threads that lived between two looks at /proc"}
	if !p.delay {
		all = append(all, "waiting for a CPU: the kernel has no /proc/PID/schedstat")
	}
	return all
}

func (p *poll) start(o Options) error {
	p.processes, p.threads, p.base, p.err = map[taskID]use{}, map[taskID]use{}, use{}, nil
	if err := p.look(o.Root); err != nil {
		return err
	}
	if len(p.processes) == 0 {
		return errors.New("there is no such process")
	}
	p.base = p.sum()
	ctx, cancel := context.WithCancel(context.Background())
	p.stopping = cancel
	p.done.Go(func() {
		ticker := time.NewTicker(max(o.Interval, minPoll))
		defer ticker.Stop()
		for p.err == nil {
			select {
			case <-ctx.Done():
				p.err = p.look(o.Root)
				return
			case <-ticker.C:
				p.err = p.look(o.Root)
			}
		}
	})
	return nil
}

func (p *poll) stop(s *Sample) error {
	p.stopping()
	p.done.Wait()
	if p.err != nil {
		return p.err
	}
	all := p.sum()
	s.By, s.Tasks, s.HasRunDelay = "proc", len(p.threads), p.delay
	s.Utime, s.Stime = time.Duration(all.utime-p.base.utime)*tick, time.Duration(all.stime-p.base.stime)*tick
	s.Voluntary, s.Involuntary = all.voluntary-p.base.voluntary, all.involuntary-p.base.involuntary
	s.RunDelay = all.delay - p.base.delay
	return nil
}

func (p *poll) close() error {
	if p.stopping != nil {
		p.stopping()
		p.done.Wait()
	}
	return nil
}

func (p *poll) sum() (all use) {
	for _, u := range p.processes {
		all.utime += u.utime
		all.stime += u.stime
	}
	for _, u := range p.threads {
		all.voluntary += u.voluntary
		all.involuntary += u.involuntary
		all.delay += u.delay
	}
	return all
}

// look reads the tree once: from the root, and from those known, which stay in
// it when their parents end.
func (p *poll) look(root int) error {
	todo := []int{root}
	for id := range p.processes {
		todo = append(todo, id.id)
	}
	seen := map[int]bool{}
	for len(todo) > 0 {
		pid := todo[0]
		todo = todo[1:]
		if seen[pid] {
			continue
		}
		seen[pid] = true
		children, err := p.process(pid)
		if gone(err) {
			continue
		}
		if err != nil {
			return err
		}
		todo = append(todo, children...)
	}
	return nil
}

// gone reports whether an error is that of a thread that ended meanwhile.
func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoThread) }

// process reads one process with its threads and returns its children.
func (p *poll) process(pid int) (children []int, err error) {
	dir := filepath.Join(p.root, "proc", strconv.Itoa(pid))
	id, u, err := readStat(dir)
	if err != nil {
		return nil, err
	}
	p.processes[id] = u
	tids, err := procfile.IDs(filepath.Join(dir, "task"))
	if err != nil {
		return nil, err
	}
	for _, tid := range tids {
		found, err := p.thread(filepath.Join(dir, "task", strconv.Itoa(tid)))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		children = append(children, found...)
	}
	return children, nil
}

// thread reads one thread and returns the children that it started.
func (p *poll) thread(dir string) (children []int, err error) {
	id, u, err := readStat(dir)
	if err != nil {
		return nil, err
	}
	if u.voluntary, u.involuntary, err = readStatus(dir); err != nil {
		return nil, err
	}
	if p.delay {
		if u.delay, err = readSchedstat(dir); err != nil {
			return nil, err
		}
	}
	p.threads[id] = u
	text, err := os.ReadFile(filepath.Join(dir, "children"))
	if err != nil {
		return nil, err
	}
	for field := range strings.FieldsSeq(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("%s/children: %q is not a process", dir, field)
		}
		children = append(children, pid)
	}
	return children, nil
}
