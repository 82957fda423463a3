// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"mllb/features"
	"mllb/topology"
)

const callSize = int(unsafe.Sizeof(call{}))

// decoder turns what the ring holds into records.
type decoder struct {
	version       version
	flags         domainFlags
	topology      *topology.Topology
	nodes         int // for which faults are recorded: 0 to nodes-1
	numaBalancing bool
	migrationCost int64

	contradictions [features.NumConditions]uint64 // by the condition that the record got
}

// size is how long a record with these facts is.
func (d *decoder) size(facts uint32) int {
	n := callSize
	if facts&factHasFaults != 0 {
		n += 16 * d.nodes
		if facts&factHasGroup != 0 {
			n += 16 * d.nodes
		}
	}
	return n
}

// decode fills r, whose fault slices it reuses. The layouts of C and Go are
// the same (a test compares them), and so is the byte order.
func (d *decoder) decode(b []byte, r *features.Record) error {
	var c call
	if len(b) < callSize {
		return fmt.Errorf("record of %d bytes, want %d at the least", len(b), callSize)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&c)), callSize), b)
	if want := d.size(c.Facts); len(b) != want {
		return fmt.Errorf("record of %d bytes, want %d", len(b), want)
	}
	if err := d.check(&c); err != nil {
		return err
	}
	task, group := r.TaskFaults, r.GroupFaults
	*r = d.record(&c)
	b = b[callSize:]
	r.TaskFaults, r.GroupFaults = task[:0], group[:0]
	if r.HasFaults {
		r.TaskFaults = sumPairs(r.TaskFaults, b[:16*d.nodes])
		r.GroupFaults = sumPairs(r.GroupFaults, b[16*d.nodes:])
	}
	var ok bool
	if r.Condition, ok = c.condition(d.version); !ok {
		d.contradictions[r.Condition]++
	}
	return nil
}

// check refuses what no kernel can have sent.
func (d *decoder) check(c *call) error {
	cpus := int32(len(d.topology.CPUs))
	switch {
	case c.SrcCpu < 0 || c.SrcCpu >= cpus || c.DstCpu < 0 || c.DstCpu >= cpus:
		return fmt.Errorf("record of a move from cpu %d to %d of %d", c.SrcCpu, c.DstCpu, cpus)
	case c.Facts >= factEnd:
		return fmt.Errorf("record with unknown facts %#x", c.Facts)
	case c.Idle > uint8(features.NewlyIdle):
		return fmt.Errorf("record with idle type %d", c.Idle)
	case c.MigrationType >= uint8(features.NumMigrationTypes):
		return fmt.Errorf("record with migration type %d, which is not known", c.MigrationType)
	}
	return nil
}

// record is the call but for its faults and its condition.
func (d *decoder) record(c *call) features.Record {
	return features.Record{
		Decision: d.decision(c),
		Migrate:  c.has(factReturned),

		Time: int64(c.Time), TID: c.Tid, TGID: c.Tgid, Comm: c.Comm, Nice: c.Nice, Policy: c.Policy,

		DomainLevel:  uint8(c.SdLevel),
		DomainName:   domainName(c.Domain),
		DomainRaw:    c.SdFlags,
		DomainWeight: c.SdWeight,
		ImbalancePct: c.ImbalancePct,
		Imbalance:    c.Imbalance, MigrationType: features.MigrationType(c.MigrationType),
		Flags: c.Flags, Loop: c.Loop, LoopMax: c.LoopMax,

		TaskLoad: c.TaskLoad, TaskUtil: c.TaskUtil,
		SrcCoreBusy: c.SrcBusy, DstCoreBusy: c.DstBusy,
		SrcNrNUMA:         c.SrcNrNuma,
		Eligible:          c.eligible(),
		NumPassedHot:      uint8(min(c.Hot, 255)),
		SchedTaskHot:      c.has(factTaskHot),
		MigrationDisabled: c.has(factMigrationDisabled),
	}
}

// decision is what the rule reads of the call, but for the faults.
func (d *decoder) decision(c *call) features.Decision {
	src, dst := &d.topology.CPUs[c.SrcCpu], &d.topology.CPUs[c.DstCpu]
	return features.Decision{
		SrcCPU: c.SrcCpu, DstCPU: c.DstCpu,
		SrcNode: int32(src.Node), DstNode: int32(dst.Node),
		Idle:     features.IdleType(c.Idle),
		Domain:   d.flags.named(c.SdFlags),
		SameCore: src.Core >= 0 && src.Core == dst.Core,
		SameLLC:  src.LLC >= 0 && src.LLC == dst.LLC,

		SrcNrRunning: c.SrcNrRunning, SrcNrPreferredRunning: c.SrcNrPreferred, DstNrRunning: c.DstNrRunning,
		SrcLen: c.SrcLen, DstLen: c.DstLen, SrcLoad: c.SrcLoad, DstLoad: c.DstLoad,
		SrcBusySiblings: others(c.SrcBusy, c.SrcNrRunning), DstBusySiblings: others(c.DstBusy, c.DstNrRunning),

		NrBalanceFailed: c.BalanceFailed, CacheNiceTries: c.NiceTries,

		Fair:       c.has(factFair),
		IdlePolicy: c.Policy == features.SchedIdle,
		NextBuddy:  c.has(factNextBuddy),
		// An idle core takes any cookie (sched_core_cookie_match).
		CookieMismatch: c.has(factOtherCookie) && c.DstBusy > 0,
		Delta:          c.Delta, MigrationCost: d.migrationCost,

		NUMABalancing: d.numaBalancing,
		HasFaults:     c.has(factHasFaults), HasGroup: c.has(factHasGroup),
		PreferredNode:   c.PreferredNode,
		TaskTotalFaults: c.TaskTotal, GroupTotalFaults: c.GroupTotal,
		NUMA: &d.topology.NUMA,
	}
}

// others takes a CPU itself out of the count of its core's busy CPUs.
func others(busy uint8, nr uint32) uint8 {
	if busy > 0 && nr > 0 {
		busy--
	}
	return busy
}

// domainName cuts at the NUL what the program read beyond it.
func domainName(b [8]byte) (name [16]byte) {
	text, _, _ := bytes.Cut(b[:], []byte{0})
	copy(name[:], text)
	return name
}

// sumPairs adds up shared and private faults of each node, as task_faults()
// and group_faults() do (kernel/sched/fair.c, 6.12).
func sumPairs(sums []uint64, b []byte) []uint64 {
	for ; len(b) >= 16; b = b[16:] {
		sums = append(sums, binary.LittleEndian.Uint64(b)+binary.LittleEndian.Uint64(b[8:]))
	}
	return sums
}
