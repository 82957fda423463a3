// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"
	"time"
)

// A kernel thread that runs for a moment makes a queue look changed. What
// changed for good is still there at the next look.
const (
	skipLooks = 4
	skipPause = 500 * time.Microsecond
)

// skippable reports whether the tick may be skipped: the last full one left the
// host at rest, is not too old, and the host says that nothing changed. What
// the host cannot see so, such as a sleeping thread's new mask or one thread in
// another's place, waits for MaxSkip at the most.
func (d *Daemon) skippable(now time.Time) bool {
	if !d.rested || now.Sub(d.full) >= d.MaxSkip {
		return false
	}
	q, ok := d.Host.(ChangeDetector)
	if !ok {
		return false
	}
	for range skipLooks {
		still, err := q.Unchanged(&d.snapshot)
		if err != nil {
			d.Log.Debug("a tick that might be skipped is not", "err", err)
			return false
		}
		if still {
			return true
		}
		time.Sleep(skipPause)
	}
	return false
}

// atRest reports whether a tick that was carried out left nothing to do or to
// wait for, as long as the queues stay as they are. Leases end in Sync, and
// without the tracer children of held threads get their mask there.
func (d *Daemon) atRest(plan *Plan) bool {
	return d.MaxSkip > 0 && plan.settled() && len(d.left) == 0 &&
		(d.Lease == 0 && d.ForksTraced || d.held() == 0)
}

// settled reports whether time alone would not change the plan: it did not look
// at any thread, no imbalance is on its way to last long enough, no failed
// attempts add up, and no thread is about to count as busy.
func (p *Plan) settled() bool {
	e := &p.effect
	return len(p.Candidates)+len(p.Holds)+len(p.Releases)+len(e.attempts) == 0 &&
		!e.warming && !slices.Contains(e.imbalanced, true)
}

// held returns how many threads are held now.
func (d *Daemon) held() int {
	if d.Enforcer == nil {
		return 0
	}
	return d.Enforcer.Held()
}
