// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"
	"time"

	"mllb/features"
)

// A kernel thread that runs for a moment makes a queue look changed. What
// changed for good is still there at the next look.
const (
	quietLooks = 4
	quietPause = 500 * time.Microsecond
)

// quiet reports whether the tick may be skipped: the last full one left the
// host at rest, is not too old, and the host says that nothing changed. What
// the host cannot see so, such as a sleeping thread's new mask or one thread in
// another's place, waits for MaxQuiet at the most.
func (d *Daemon) quiet(now time.Time) bool {
	if !d.rested || now.Sub(d.full) >= d.MaxQuiet {
		return false
	}
	q, ok := d.Host.(Quieter)
	if !ok {
		return false
	}
	for range quietLooks {
		still, err := q.Quiet(&d.snapshot)
		if err != nil {
			d.Log.Debug("a tick that might be skipped is not", "err", err)
			return false
		}
		if still {
			return true
		}
		time.Sleep(quietPause)
	}
	return false
}

// atRest reports whether a tick that was carried out left nothing to do or to
// wait for, as long as the queues stay as they are. Leases end in Sync, and
// without the tracer children of held threads get their mask there.
func (d *Daemon) atRest(s *features.Snapshot, plan *Plan) bool {
	return d.MaxQuiet > 0 && plan.settled() && len(d.left) == 0 &&
		(d.Lease == 0 && d.ForksTraced || !held(s))
}

// settled reports whether time alone would not change the plan: it did not look
// at any thread, no imbalance is on its way to last long enough, no failed
// attempts add up, and no thread is about to count as busy.
func (p *Plan) settled() bool {
	e := &p.effect
	return len(p.Candidates)+len(p.Holds)+len(p.Releases)+len(e.attempts) == 0 &&
		!e.warming && !slices.Contains(e.imbalanced, true)
}

func held(s *features.Snapshot) bool {
	for i := range s.Threads {
		if s.Threads[i].Hold >= 0 {
			return true
		}
	}
	return false
}
