// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/binary"
	"fmt"
	"time"

	"mllb/topology"
)

// maxLengths and maxSeries are SAMPLE_LENGTHS and SAMPLE_SERIES of sample.h.
const (
	maxLengths = 4096
	maxSeries  = 1 << 18
)

// The levels of sample.h are those of package topology.
var _ = [1]struct{}{}[topology.NumLevels-topology.Level(len(samplerMllbSums{}.Migrations))]

// readQueues takes the queue samples.
func (t *tree) readQueues(s *Sample) error {
	var n uint64
	var lengths [maxLengths]uint64
	if err := t.objs.Samples.Get(&n); err != nil {
		return fmt.Errorf("read the number of samples: %w", err)
	}
	if err := t.objs.Lengths.Get(&lengths); err != nil {
		return fmt.Errorf("read the queue lengths: %w", err)
	}
	series := make([]byte, 8*min(n, maxSeries))
	if _, err := t.series.ReadAt(series, 0); err != nil {
		return fmt.Errorf("read the imbalances: %w", err)
	}
	s.HasQueues, s.Samples = true, int(n)
	s.MaxImbalance = decodeSeries(series)
	s.Lengths = trim(lengths[:])
	return nil
}

func decodeSeries(b []byte) []uint32 {
	all := make([]uint32, len(b)/8)
	for i := range all {
		all[i] = uint32(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return all
}

// trim copies a histogram without the zeros at its end.
func trim(h []uint64) []uint64 {
	n := len(h)
	for n > 0 && h[n-1] == 0 {
		n--
	}
	return append([]uint64{}, h[:n]...)
}

// readSums adds up what each CPU counted.
func (t *tree) readSums(s *Sample) error {
	var cpus []samplerMllbSums
	if err := t.objs.Sums.Lookup(uint32(0), &cpus); err != nil {
		return fmt.Errorf("read the sums: %w", err)
	}
	var delay uint8
	if err := t.objs.HasDelay.Get(&delay); err != nil {
		return fmt.Errorf("read the sums: %w", err)
	}
	missed, err := t.missed()
	if err != nil {
		return err
	}
	all := total(cpus)
	// Whom on_exit or on_free missed the other counts, or account.
	if s.Lost = all.Lost + missed[onFork] + missed[onMigrate] + missed[onSwitch] + missed[onWakeup] + missed[onWakeupNew]; s.Lost > 0 {
		t.log.Warn("parts of the process tree were not followed", "full", all.Lost,
			"forks", missed[onFork], "migrations", missed[onMigrate], "exits", missed[onExit], "frees", missed[onFree],
			"switches", missed[onSwitch], "wake-ups", missed[onWakeup]+missed[onWakeupNew])
	}
	s.sums(&all)
	if s.HasRunDelay = delay != 0; !s.HasRunDelay {
		s.RunDelay = 0
		s.Missing = append(s.Missing, "waiting for a CPU: the kernel has no sched_info (CONFIG_SCHEDSTATS or CONFIG_TASK_DELAY_ACCT)")
	}
	return nil
}

// missed returns how often since the last time the kernel kept an event from
// each program, because it was under way on that CPU already: on 7.2 one exit
// of some thousand.
func (t *tree) missed() (n [numPrograms]uint64, err error) {
	for i, p := range t.programs() {
		stats, err := p.Stats()
		if err != nil {
			return n, fmt.Errorf("read the misses of %v: %w", p, err)
		}
		n[i] = stats.RecursionMisses - t.misses[i]
		t.misses[i] = stats.RecursionMisses
	}
	return n, nil
}

// total adds up CPUs.
func total(cpus []samplerMllbSums) (all samplerMllbSums) {
	for i := range cpus {
		c := &cpus[i]
		all.Tasks += c.Tasks
		all.Lost += c.Lost
		for level, n := range c.Migrations {
			all.Migrations[level] += n
		}
		u, sum := &c.Use, &all.Use
		sum.Runtime += u.Runtime
		sum.Utime += u.Utime
		sum.Stime += u.Stime
		sum.Delay += u.Delay
		sum.Voluntary += u.Voluntary
		sum.Involuntary += u.Involuntary
		sum.Moves += u.Moves
	}
	return all
}

// sums takes the totals.
func (m *Sample) sums(t *samplerMllbSums) {
	m.Tasks, m.HasMigrations = int(t.Tasks), true
	m.Migrations, m.Moves = t.Migrations, t.Use.Moves
	m.Voluntary, m.Involuntary = t.Use.Voluntary, t.Use.Involuntary
	m.RunDelay = time.Duration(t.Use.Delay)
	m.Utime, m.Stime = adjust(t.Use.Runtime, t.Use.Utime, t.Use.Stime)
}

// adjust splits the exact run time as the ticks say, for these see short
// bursts by chance only (cputime_adjust, kernel/sched/cputime.c).
func adjust(runtime, utime, stime uint64) (user, system time.Duration) {
	share := 0.0
	if utime+stime > 0 {
		share = float64(stime) / float64(utime+stime)
	}
	system = time.Duration(float64(runtime) * share)
	return time.Duration(runtime) - system, system
}
