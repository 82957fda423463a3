// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// Work implements Machine. All start when all run, and end at the same moment: a
// CPU that others keep from running has done less until then.
func (l *Live) Work(ctx context.Context, cpus []int, d time.Duration) ([]Rate, error) {
	rates := make([]Rate, len(cpus))
	t := &team{size: int32(len(cpus))}
	err := l.do(ctx, cpus, t, func(k int) error {
		var rate float64
		share, disturbed, err := t.measured(func(start int64) { rate = t.work(start, d) })
		if disturbed && share > 0 {
			rate /= share
		}
		rates[k] = Rate{rate, disturbed}
		return err
	})
	if err != nil {
		return nil, err
	}
	return rates, nil
}

// work counts the units of work until d after start, per second.
func (t *team) work(start int64, d time.Duration) float64 {
	var x [8]uint64
	n, now := 0, start
	for ; now < start+int64(d) && !t.stop.Load(); now = monotonic() {
		unit(&x)
		n++
	}
	sink.Store(x[0] ^ x[7])
	return float64(n) * 1e9 / float64(max(now-start, 1))
}

var sink atomic.Uint64 // keeps the work from being left out

// unit is some microseconds of multiplications that do not wait for each other:
// one thread keeps the multiplier of a core busy, so that two get a half each.
func unit(x *[8]uint64) {
	a, b, c, d, e, f, g, h := x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
	const m = 6364136223846793005
	for i := uint64(0); i < 500; i++ {
		a, b, c, d = a*m+i, b*m+i, c*m+i, d*m+i
		e, f, g, h = e*m+i, f*m+i, g*m+i, h*m+i
	}
	*x = [8]uint64{a, b, c, d, e, f, g, h}
}

// line is a counter with its cache line, and those that are fetched with it, to
// itself.
type line struct {
	_     [128]byte
	count atomic.Uint64
	_     [128]byte
}

// A batch of hand-offs is what is timed, and so many are made.
const (
	batch   = 64
	batches = 16
)

// Handoff implements Machine. One thread makes a counter odd, the other even; the
// median of the batches is not bothered by an interrupt.
func (l *Live) Handoff(ctx context.Context, a, b int, limit time.Duration) (Handoff, error) {
	var shared line
	var h [2]Handoff
	t := &team{size: 2}
	err := l.do(ctx, []int{a, b}, t, func(k int) error {
		var err error
		_, h[k].Disturbed, err = t.measured(func(start int64) { h[k].Each = t.bounce(&shared, uint64(k), start+int64(limit), start) })
		return err
	})
	if err != nil {
		return Handoff{}, err
	}
	return Handoff{Each: h[0].Each, Disturbed: h[0].Disturbed || h[1].Disturbed}, nil
}

// bounce counts on when it is its turn, and returns how long a hand-off takes.
func (t *team) bounce(shared *line, parity uint64, end, start int64) time.Duration {
	var times []int64
	last := start
	for next := parity; next < batch*batches; next += 2 {
		if !t.await(shared, next, end) {
			break
		}
		shared.count.Store(next + 1)
		if next > 0 && next%batch == 0 {
			now := monotonic()
			times = append(times, now-last)
			last = now
		}
	}
	if len(times) == 0 {
		return time.Duration((monotonic() - start) / int64(shared.count.Load()+1))
	}
	slices.Sort(times)
	return time.Duration(times[len(times)/2] / batch)
}

// looks is how often to look at the counter before looking at the clock.
const looks = 64

// await waits for a count, busily. Whoever gives up has the other give up.
func (t *team) await(shared *line, count uint64, end int64) bool {
	for i := 0; shared.count.Load() != count; i++ {
		if i%looks == looks-1 && (t.stop.Load() || monotonic() > end) {
			t.stop.Store(true)
			return false
		}
	}
	return true
}
