// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"mllb/affinity"
	"mllb/features"
	"mllb/scheduler"
)

// troubles notices that mllbd does little or nothing, and says once why: in the
// log, the view, the summary and the report.
type troubles struct {
	log   *slog.Logger
	stats *stats
	cfg   *runCmd
	scope interface {
		Unmanaged(s *features.Snapshot) map[string]int
	}
	kernel *schedExt              // schedules whether mllbd ticks or not; or nil
	unread func() (uint64, error) // how often files made no sense so far, and the last; or nil

	start     time.Time // of the first full tick
	managed   bool      // some thread was, at some time
	held      bool      // so was a hold
	refused   error     // the last hold that the kernel refused
	invalid   bool      // holds of the last tick had no valid CPU
	window    int       // ticks of those that throttled is of
	throttled int

	said [numTroubles]bool
}

const (
	noneManaged = iota
	holdsRefused
	unreadable
	blind
	numTroubles
)

// How long nothing is managed before that is said, and of how many ticks how
// many may be left out.
const (
	idleAfter   = time.Second
	blindWindow = 50
	blindTicks  = blindWindow * 9 / 10
)

// Tick implements scheduler.Observer.
func (w *troubles) Tick(t *scheduler.Tick) {
	w.budget(t)
	if t.Snapshot == nil {
		return
	}
	if w.start.IsZero() {
		w.start = t.Start
	}
	w.holds(t)
	w.threads(t)
	if w.unread == nil {
		return
	}
	if n, last := w.unread(); n > 0 {
		w.stats.mu.Lock()
		w.stats.c.Unread = n
		w.stats.mu.Unlock()
		w.say(unreadable, "threads are left out, because their files cannot be read or make no sense: %v", last)
	}
}

// budget looks for a CPU limit that leaves next to nothing of the ticks.
func (w *troubles) budget(t *scheduler.Tick) {
	w.window += 1 + int(t.LeftOut)
	w.throttled += int(t.LeftOut)
	if t.Throttled {
		w.throttled++
	}
	if w.window < blindWindow {
		return
	}
	if w.throttled >= blindTicks && !w.kernel.loaded() {
		w.say(blind, "%d of %d ticks were left out, because a tick costs more than --max-cpu %g allows: mllbd is nearly blind; raise --max-cpu or --interval",
			w.throttled, w.window, w.cfg.MaxCPU)
	}
	w.window, w.throttled = 0, 0
}

// holds looks for holds that were refused.
func (w *troubles) holds(t *scheduler.Tick) {
	was := w.invalid
	w.invalid = false
	for _, err := range t.Errors {
		if err == nil {
			w.held = true
			continue
		}
		// A CPU that goes off line between snapshot and hold is invalid in one tick.
		invalid := errors.Is(err, unix.EINVAL)
		w.invalid = w.invalid || invalid
		if !passing(err) && (!invalid || was) {
			w.refused = err
			w.say(holdsRefused, "a hold was refused: %v", err)
		}
	}
}

// passing reports whether a hold failed for what happens on any host: between
// snapshot and hold a thread ended, or its owner changed its mask.
func passing(err error) bool {
	for _, e := range []error{affinity.ErrGone, affinity.ErrChanged, affinity.ErrForeign, affinity.ErrCPU} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// threads looks whether there is anything to manage.
func (w *troubles) threads(t *scheduler.Tick) {
	if w.managed {
		return
	}
	for i := range t.Snapshot.Threads {
		if t.Snapshot.Threads[i].Managed {
			w.managed = true
			return
		}
	}
	if !t.Snapshot.Partial && t.Start.Sub(w.start) >= idleAfter {
		w.say(noneManaged, "no thread is managed: %s", w.cfg.unmanaged(w.scope.Unmanaged(t.Snapshot)))
	}
}

// unmanaged says what kept all threads out of scope.
func (c *runCmd) unmanaged(by map[string]int) string {
	if len(by) == 0 {
		switch {
		case c.Cgroup != "":
			return "there is none in " + c.Cgroup
		case len(c.Command) > 0:
			return "CMD has none"
		}
		return "this host has none"
	}
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, fmt.Sprintf("%d %s", by[why], why))
	}
	return strings.Join(parts, ", ")
}

// say warns, once of each kind.
func (w *troubles) say(kind int, format string, args ...any) {
	if w.said[kind] {
		return
	}
	w.said[kind] = true
	text := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	w.log.Warn(text)
	w.stats.mu.Lock()
	w.stats.c.Troubles = append(w.stats.c.Troubles, text)
	w.stats.mu.Unlock()
}

// nothing is why the run could do nothing at all, or nil.
func (w *troubles) nothing() error {
	switch {
	case w.cfg.Mode == "observe" || w.held:
		return nil
	case w.refused != nil:
		return &idleError{fmt.Errorf("every hold was refused, the last: %w", w.refused)}
	case w.said[noneManaged] && !w.managed && len(w.cfg.Command) == 0:
		return &idleError{errors.New("no thread was managed")}
	}
	return nil
}

// idleError says that a run could do nothing.
type idleError struct{ err error }

func (e *idleError) Error() string { return e.err.Error() }
func (e *idleError) Unwrap() error { return e.err }
