// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
)

// runner makes a run: executor.run.
type runner func(context.Context, Slot) (Record, error)

// driver makes what is due and is not there yet, in the order of the plan.
type driver struct {
	store    *store
	progress *board
	watch    *watch // nil: no run is made again
	run      runner
	done     map[Slot]bool
	again    map[Slot]int    // how often a slot was made, and does not count
	hope     map[Slot]*hopes // by pair
}

func drive(ctx context.Context, s *store, p *board, w *watch, run runner) error {
	d := &driver{s, p, w, run, make(map[Slot]bool), make(map[Slot]int), make(map[Slot]*hopes)}
	for i := range s.Records {
		d.note(&s.Records[i])
	}
	p.begin()
	defer p.End()
	if w != nil && len(d.done) < len(s.Head.Config.Slots()) {
		if err := w.learn(ctx, s.Records); err != nil {
			return err
		}
	}
	for _, slot := range s.Head.Config.Slots() {
		if err := d.make(ctx, slot); err != nil {
			return err
		}
	}
	return nil
}

// make makes a slot until a run of it counts.
func (d *driver) make(ctx context.Context, slot Slot) error {
	for !d.done[slot] {
		if h := d.hope[slot.pair()]; h != nil && h.lost() {
			d.progress.giveUp(slot)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d.progress.next(slot)
		rec, err := d.watch.around(ctx, slot, d.progress, d.run)
		if err != nil {
			return fmt.Errorf("%s: %w", slot, err)
		}
		rec.Kept = len(rec.Disturbed) > 0 && d.again[slot] >= mostAgain
		if err := d.store.append(rec); err != nil {
			return err
		}
		d.note(&rec)
		d.progress.add(&rec)
	}
	return nil
}

// note takes up a run that was made, now or earlier.
func (d *driver) note(r *Record) {
	if r.fills() {
		d.done[r.Slot] = true
	} else {
		d.again[r.Slot]++
	}
	h := d.hope[r.pair()]
	if h == nil {
		h = &hopes{}
		d.hope[r.pair()] = h
	}
	h.runs++
	if r.Failed != "" {
		h.failed++
	}
}

// hopes counts the runs of one workload under one arm.
type hopes struct{ runs, failed int }

func (h *hopes) lost() bool { return h.failed >= fruitless && h.failed == h.runs }
