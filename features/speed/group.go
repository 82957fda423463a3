// SPDX-License-Identifier: Apache-2.0

package speed

import (
	"errors"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// What looks may take of what mllbd may take: together, and at one CPU. With 1 % of a
// CPU the latter is 0.1 %, and it is also that without a limit. What is not taken is
// saved for a while, for when a CPU is suspected.
const (
	together   = 0.25
	atOneCPU   = 0.1
	withoutMax = 0.001
	saveFor    = 10 * time.Second
)

// runtimeCost is about what a look takes of other threads: those of the Go runtime that
// wake up this one.
const runtimeCost = 100 * time.Microsecond

// turnAfter is how long a look may wait for its turn.
const turnAfter = time.Second

// group is the CPUs that one thread looks at. The canary's mutex guards it.
type group struct {
	source  Source
	tracks  []*track // nil before there are any
	credit  time.Duration
	at      time.Time // of the last account; zero: none yet
	pending time.Time // when the look under way was to end; zero: none is
}

// next plans a look, and when it is to be: not before it can be paid for.
func (g *group) next(now time.Time, share float64) (look Look, ok bool) {
	g.earn(now, share)
	var first *track
	for _, t := range g.tracks {
		if first == nil || t.due.Before(first.due) {
			first = t
		}
	}
	if first == nil {
		return Look{}, false
	}
	due := first.due
	if g.credit < 0 {
		if paid := now.Add(time.Duration(float64(-g.credit) / share)); paid.After(due) {
			due = paid
		}
	}
	g.pending = now
	if due.After(now) {
		g.pending = due
	}
	return first.look(due, now), true
}

// earn adds what was earned since the last account.
func (g *group) earn(now time.Time, share float64) {
	most := time.Duration(share * float64(saveFor))
	if g.at.IsZero() {
		g.credit = most
	} else {
		g.credit = min(most, g.credit+time.Duration(share*float64(now.Sub(g.at))))
	}
	g.at = now
}

// late has a look end that gets no turn.
func (g *group) late(now time.Time) {
	if !g.pending.IsZero() && now.Sub(g.pending) > turnAfter {
		g.source.Free()
	}
}

// run looks until the source is stopped.
func (c *Canary) run(g *group, open func() (Source, error), ready chan<- error) {
	source, err := open()
	if err != nil {
		ready <- err
		return
	}
	defer source.Close()
	c.mu.Lock()
	g.source = source
	c.mu.Unlock()
	close(ready)
	for !c.ended() {
		look, ok := c.next(g)
		if !ok { // none of its CPUs is there
			select {
			case <-c.stop:
				return
			case <-time.After(absentEvery):
				continue
			}
		}
		s, err := source.Sample(look)
		if errors.Is(err, ErrStopped) {
			return
		}
		c.took(g, look.CPU, s, err)
	}
}

func (c *Canary) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Canary) next(g *group) (Look, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return g.next(time.Now(), c.share(g))
}

// share is which part of a CPU a group may take.
func (c *Canary) share(g *group) float64 {
	each := withoutMax
	if c.maxCPU > 0 {
		each = c.maxCPU * min(atOneCPU, together/float64(max(1, c.looked)))
	}
	return each * float64(len(g.tracks))
}

// took keeps what a look found.
func (c *Canary) took(g *group, cpu int, s Sample, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	g.pending = time.Time{}
	g.credit -= s.Cost + runtimeCost
	t := c.tracks[cpu]
	if t == nil { // it is no longer balanced
		return
	}
	switch {
	case errors.Is(err, ErrNoCPU):
		t.forget()
		t.putOff(now)
		return
	case err != nil:
		c.counts.Lost++
		t.putOff(now)
		return
	case t.add(s, now, now.Sub(c.at) < fresh):
		c.counts.Used++
	default:
		c.counts.Uncertain++
	}
	t.plan(now)
}

// onOwnThread calls f on a thread that ends with it, so that nothing else ever has the
// thread's mask. The main thread never ends.
func onOwnThread(f func()) {
	runtime.LockOSThread() // for good
	if unix.Gettid() != unix.Getpid() {
		f()
		return
	}
	elsewhere := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(elsewhere)
		f()
	}()
	<-elsewhere
	runtime.UnlockOSThread()
}
