// SPDX-License-Identifier: Apache-2.0

package speed

import "time"

// How often a CPU is looked at.
const (
	every        = time.Second            // its pace
	busyEvery    = 200 * time.Millisecond // whether it is away, while a thread runs there
	suspectEvery = 150 * time.Millisecond // its pace, if that may have changed or is not known
	awayEvery    = 100 * time.Millisecond // whether it is away, if that may have changed
	absentEvery  = 5 * time.Second        // if there is no such CPU now, or it gives no turn
)

// level is what a CPU is worth in one state of its siblings.
type level struct {
	pace    pace
	absence absence

	usual   float64   // the highest speed so far
	suspect time.Time // since when it may have changed; zero: it has not
	changed time.Time // since when it has; zero: that is told
	told    float64   // share of usual that was told last
	toldAt  time.Time
}

// speed is work in a second of wall time; 0: not known.
func (l *level) speed(now time.Time) float64 { return l.pace.value * (1 - l.absence.now(now)) }

func (l *level) suspects() bool { return l.pace.suspects() || l.absence.suspects() }

// track is one CPU.
type track struct {
	cpu    int
	levels [2]level // with idle siblings, with a busy one
	busy   bool     // one thread ran there and none waited, in the last snapshot
	beside int      // which of levels held, in the last snapshot
	alone  bool     // it has no siblings: what they do is known

	random  func() float64 // [0,1)
	due     time.Time      // of the next look
	work    time.Time      // of the next one that takes the pace
	alarms  uint64
	history history
}

// look is what to ask the source next.
func (t *track) look(due, now time.Time) Look {
	return Look{CPU: t.cpu, After: max(0, due.Sub(now)), Work: !t.due.Before(t.work)}
}

// plan has the next look at a random moment, so that nothing on the host keeps step
// with it.
func (t *track) plan(now time.Time) {
	switch l := &t.levels[t.beside]; {
	case l.pace.value == 0 || l.pace.suspects():
		t.due, t.work = now.Add(t.jitter(suspectEvery)), now
	case t.busy && l.absence.suspects():
		t.due = now.Add(t.jitter(awayEvery))
	case t.busy:
		t.due = now.Add(t.jitter(busyEvery))
	default:
		t.due = t.work
	}
}

// put off has the next look in a while.
func (t *track) putOff(now time.Time) {
	t.due = now.Add(t.jitter(absentEvery))
	t.work = t.due
}

// forget drops what is known of a CPU that is not there: when it comes back it may be
// another.
func (t *track) forget() { t.levels = [2]level{} }

func (t *track) jitter(d time.Duration) time.Duration {
	return time.Duration((0.75 + t.random()/2) * float64(d))
}

// add takes a sample, and reports whether it could be used. known says that the states
// of the last snapshot are those of now.
func (t *track) add(s Sample, now time.Time, known bool) (used bool) {
	l := &t.levels[t.beside]
	was, alarm := l.speed(now), false
	if s.Rate > 0 {
		t.work = now.Add(t.jitter(every))
		if used = known || t.alone; used {
			alarm = l.pace.add(s.Rate)
		}
	}
	// An idle CPU is not away: it has nothing to run. Where threads wait this one may have
	// to, too.
	if known && t.busy && s.Late >= 0 {
		used = true
		alarm = l.absence.add(s.Late, now) || alarm
	}
	switch {
	case alarm && was > 0:
		t.alarms++
		l.changed, l.suspect = l.suspect, time.Time{}
	case !l.suspects():
		l.suspect = time.Time{}
	case l.suspect.IsZero():
		l.suspect = now
	}
	l.usual = max(l.usual, l.speed(now))
	return used
}

// speed is what the CPU is worth now. What is not known of one state of its siblings
// is taken from the other.
func (t *track) speed(now time.Time) float64 {
	if v := t.levels[t.beside].speed(now); v > 0 {
		return v
	}
	return t.levels[1-t.beside].speed(now)
}

// Change says that a CPU is worth another part of its work than before.
type Change struct {
	CPU   int
	Share float64 // of the most that it did in the same state of its siblings
	Since time.Time
}

// A change is told once it lasted so long, makes a difference, and not each minute.
const (
	lasting   = 5 * time.Second
	telling   = 0.2
	tellEvery = time.Minute
)

// change returns what is to be told of a level.
func (t *track) change(l *level, now time.Time) (Change, bool) {
	if l.changed.IsZero() || now.Sub(l.changed) < lasting || now.Sub(l.toldAt) < tellEvery || l.speed(now) == 0 {
		return Change{}, false
	}
	if l.told == 0 {
		l.told = 1
	}
	c := Change{CPU: t.cpu, Share: l.speed(now) / l.usual, Since: l.changed}
	l.changed = time.Time{}
	if d := c.Share - l.told; d < telling && -d < telling {
		return c, false
	}
	l.told, l.toldAt = c.Share, now
	return c, true
}
