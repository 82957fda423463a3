// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"encoding/binary"
	"fmt"
	"time"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// Sample is a decision that the scheduler made.
type Sample struct {
	Time     time.Duration // CLOCK_MONOTONIC
	Decision features.Decision
	Verdict  scheduler.Verdict
	Level    topology.Level
	Waited   time.Duration // in its queue
	Checksum uint64        // of what decided
	ID       features.ID
	TGID     int32
	Comm     string
	Moved    bool
	// Overridden: the policy said stay, but the thread had waited for too long.
	Overridden bool
}

// tick is one of the clock ticks of a start time (USER_HZ is 100), ns.
const tick = 10_000_000

// Next waits for a sample, until the time of SetDeadline.
func (s *Scheduler) Next(d *Sample) error {
	rec, err := s.samples.Read()
	if err != nil {
		return err
	}
	var raw scxMllbSample
	if _, err := binary.Decode(rec.RawSample, binary.LittleEndian, &raw); err != nil {
		return fmt.Errorf("scx: a sample of %d bytes: %w", len(rec.RawSample), err)
	}
	*d = Sample{
		Time:  time.Duration(raw.Time),
		Level: topology.Level(raw.Level), Waited: time.Duration(raw.Waited), Checksum: raw.Checksum,
		ID: features.ID{TID: raw.Tid, Start: raw.Start / tick}, TGID: raw.Tgid, Comm: cString(raw.Comm[:]),
		Moved: raw.Moved != 0, Overridden: raw.Overridden != 0,
		Verdict: scheduler.Verdict{
			Migrate: raw.Verdict.Migrate != 0, Logit: raw.Verdict.Logit, OutOfDistribution: raw.Verdict.Unknown != 0,
		},
	}
	decide(&d.Decision, &raw)
	return nil
}

// SetDeadline says until when Next waits; then it returns os.ErrDeadlineExceeded.
func (s *Scheduler) SetDeadline(t time.Time) { s.samples.SetDeadline(t) }

// decide fills the Decision that a sample is of.
func decide(d *features.Decision, raw *scxMllbSample) {
	f := &raw.Facts
	*d = features.Decision{
		SrcCPU: int32(raw.Src), DstCPU: int32(raw.Dst), SrcNode: f.SrcNid, DstNode: f.DstNid,
		Idle: features.IdleType(f.Idle), SameCore: f.SameSmt != 0, SameLLC: topology.Level(raw.Level) <= topology.LLC,
		SrcNrRunning: f.SrcNrRunning, SrcNrPreferredRunning: f.SrcNrPreferred, DstNrRunning: f.DstNrRunning,
		SrcLen: f.SrcLen, DstLen: f.DstLen, SrcLoad: f.SrcLoad, DstLoad: f.DstLoad,
		NrBalanceFailed: f.NrBalanceFailed, CacheNiceTries: f.CacheNiceTries,
		Fair: f.Fair != 0, IdlePolicy: f.IdlePolicy != 0, NextBuddy: f.NextBuddy != 0, CookieMismatch: f.CookieMismatch != 0,
		Delta: f.Delta, MigrationCost: f.MigrationCost,
		NUMABalancing: f.Numa != 0, HasFaults: f.HasFaults != 0, PreferredNode: f.PreferredNid,
	}
	if f.SameSmt != 0 {
		d.Domain |= features.ShareCPUCapacity
	}
	if d.SameLLC {
		d.Domain |= features.ShareLLC
	}
	if f.Numa != 0 {
		d.Domain |= features.SDNUMA
	}
}
