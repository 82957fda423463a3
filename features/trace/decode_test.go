// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mllb/features"
	"mllb/topology"
)

func newDecoder(t testing.TB) *decoder {
	t.Helper()
	topo, err := topology.Parse("2x2x2")
	if err != nil {
		t.Fatal(err)
	}
	return &decoder{
		version: version{6, 12}, flags: domainFlags{capacity: 0x80, llc: 0x200, numa: 0x2000},
		topology: topo, nodes: 2, numaBalancing: true, migrationCost: 500_000,
	}
}

// encode is what the program writes.
func encode(t testing.TB, c call, faults ...uint64) []byte {
	t.Helper()
	b, err := binary.Append(nil, binary.LittleEndian, fentryMllbCall(c))
	if err != nil {
		t.Fatal(err)
	}
	if b, err = binary.Append(b, binary.LittleEndian, faults); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	c := call{
		Time: 1, SrcLoad: 2, DstLoad: 3, Delta: -4, Imbalance: -5, TaskLoad: 6, TaskUtil: 7, TaskTotal: 8, GroupTotal: 9,
		Comm: [16]byte{'x'}, Domain: [8]byte{'N', 'U', 'M', 'A', 0, 'j', 'u', 'n'}, Tid: 10, Tgid: 11, SrcCpu: 0, DstCpu: 7,
		PreferredNode: -1, SrcNrRunning: 12, SrcNrPreferred: 13, SrcNrNuma: 14, DstNrRunning: 15, SrcLen: 16, DstLen: 17,
		BalanceFailed: 18, NiceTries: 19, SdFlags: 0x2001, SdLevel: 3, SdWeight: 8, ImbalancePct: 117, Flags: 1, FlagsOut: 1,
		Loop: 20, LoopMax: 21, Hot: 1, Idle: 2, MigrationType: 2, Policy: features.SchedIdle, Nice: -3, SrcBusy: 2, DstBusy: 1,
		Facts: factHasFaults | factHasGroup | factFair | factNextBuddy | factOtherCookie | factTaskHot | factMigrationDisabled,
	}
	d := newDecoder(t)
	want := features.Record{
		Decision: features.Decision{
			SrcCPU: 0, DstCPU: 7, SrcNode: 0, DstNode: 1, Idle: features.NewlyIdle, Domain: features.SDNUMA,
			SrcNrRunning: 12, SrcNrPreferredRunning: 13, DstNrRunning: 15, SrcLen: 16, DstLen: 17, SrcLoad: 2, DstLoad: 3, SrcBusySiblings: 1,
			NrBalanceFailed: 18, CacheNiceTries: 19, Fair: true, IdlePolicy: true, NextBuddy: true, CookieMismatch: true,
			Delta: -4, MigrationCost: 500_000, NUMABalancing: true, HasFaults: true, HasGroup: true, PreferredNode: -1,
			TaskFaults: []uint64{3, 7}, TaskTotalFaults: 8, GroupFaults: []uint64{11, 15}, GroupTotalFaults: 9, NUMA: &d.topology.NUMA,
		},
		Condition: features.Passed, Time: 1, TID: 10, TGID: 11, Comm: [16]byte{'x'}, Nice: -3, Policy: features.SchedIdle,
		DomainLevel: 3, DomainName: [16]byte{'N', 'U', 'M', 'A'}, DomainRaw: 0x2001, DomainWeight: 8, ImbalancePct: 117,
		MigrationType: features.MigrateTask, Imbalance: -5, Flags: 1, Loop: 20, LoopMax: 21, TaskLoad: 6, TaskUtil: 7,
		SrcCoreBusy: 2, DstCoreBusy: 1, SrcNrNUMA: 14, Eligible: true, NumPassedHot: 1, SchedTaskHot: true, MigrationDisabled: true,
	}
	got := features.Record{Decision: features.Decision{TaskFaults: make([]uint64, 9), GroupFaults: make([]uint64, 9)}, Migrate: true}
	if err := d.decode(encode(t, c, 1, 2, 3, 4, 5, 6, 7, 8), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// The next record has no faults, sits on one core, and must show nothing of this one.
	c.Facts, c.DstCpu, c.SdFlags, c.Idle = factReturned, 1, 0x80|0x200, 0
	if err := d.decode(encode(t, c), &got); err != nil {
		t.Fatal(err)
	}
	if !got.Migrate || got.HasFaults || len(got.TaskFaults)+len(got.GroupFaults) != 0 || got.Fair || got.CookieMismatch ||
		!got.SameCore || !got.SameLLC || got.Domain != features.ShareCPUCapacity|features.ShareLLC || got.DstNode != 0 {
		t.Errorf("%+v", got)
	}
	c.Facts, c.DstBusy = factOtherCookie, 0
	if err := d.decode(encode(t, c), &got); err != nil || got.CookieMismatch {
		t.Errorf("an idle core takes any cookie: %v, %v", got.CookieMismatch, err)
	}
}

// The program counts the CPU itself among the busy ones of its core.
func TestDecodeSiblings(t *testing.T) {
	d := newDecoder(t)
	for _, tt := range []struct {
		busy    uint8 // of the core
		nr      uint32
		sibling uint8
	}{{0, 0, 0}, {1, 0, 1}, {1, 1, 0}, {2, 9, 1}, {8, 1, 7}, {0, 1, 0}} { // the last: no kernel's
		var src, dst features.Record
		if err := d.decode(encode(t, call{SrcBusy: tt.busy, SrcNrRunning: tt.nr}), &src); err != nil {
			t.Fatal(err)
		}
		if err := d.decode(encode(t, call{DstBusy: tt.busy, DstNrRunning: tt.nr}), &dst); err != nil {
			t.Fatal(err)
		}
		if src.SrcBusySiblings != tt.sibling || src.DstBusySiblings != 0 || dst.DstBusySiblings != tt.sibling || dst.SrcBusySiblings != 0 {
			t.Errorf("%d busy, %d running: %d and %d siblings, want %d", tt.busy, tt.nr, src.SrcBusySiblings, dst.DstBusySiblings, tt.sibling)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	for _, tt := range []struct {
		name string
		call call
		more int // words after the call
		want string
	}{
		{"faults missing", call{Facts: factHasFaults}, 0, "224 bytes, want 256"},
		{"group's faults missing", call{Facts: factHasFaults | factHasGroup}, 4, "256 bytes, want 288"},
		{"a group without faults", call{Facts: factHasGroup}, 4, "256 bytes, want 224"},
		{"too long", call{}, 1, "232 bytes, want 224"},
		{"source", call{SrcCpu: 8}, 0, "from cpu 8 to 0 of 8"},
		{"destination", call{DstCpu: -1}, 0, "to -1 of 8"},
		{"facts", call{Facts: factEnd}, 0, "unknown facts 0x20000"},
		{"idle", call{Idle: 3}, 0, "idle type 3"},
		{"migration type", call{MigrationType: 5}, 0, "migration type 5"},
	} {
		err := newDecoder(t).decode(encode(t, tt.call, make([]uint64, tt.more)...), &features.Record{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	whole := encode(t, call{})
	for n := range whole {
		if err := newDecoder(t).decode(whole[:n], &features.Record{}); err == nil {
			t.Fatalf("the first %d bytes of a record are taken for one", n)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, call{Facts: factReturned}))
	f.Add(encode(f, call{Facts: factHasFaults | factHasGroup, Hot: 1}, 1, 2, 3, 4, 5, 6, 7, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newDecoder(t)
		var r features.Record
		if err := d.decode(b, &r); err != nil {
			return
		}
		if r.HasFaults != (len(r.TaskFaults) == 2) || (r.HasFaults && r.HasGroup) != (len(r.GroupFaults) == 2) {
			t.Errorf("%d and %d nodes' faults: %+v", len(r.TaskFaults), len(r.GroupFaults), r)
		}
		if r.Condition >= features.NumConditions || r.Idle > features.NewlyIdle || r.SrcCPU > 7 || r.DstCPU > 7 {
			t.Errorf("%+v", r)
		}
	})
}

// TestLayout holds the Go types against those of both objects: decode copies
// bytes from one to the other.
func TestLayout(t *testing.T) {
	for _, r := range backends {
		spec, err := r.load()
		if err != nil {
			t.Fatal(err)
		}
		compareLayout(t, r.name, spec.Types, "mllb_call", reflect.TypeFor[fentryMllbCall]())
		compareLayout(t, r.name, spec.Types, "mllb_slot", reflect.TypeFor[fentryMllbSlot]())
	}
	if callSize%8 != 0 || unsafe.Sizeof(fentryMllbSlot{})%8 != 0 {
		t.Error("sizes are not multiples of 8")
	}
}

func compareLayout(t *testing.T, backend string, types *btf.Spec, name string, gotype reflect.Type) {
	t.Helper()
	var c *btf.Struct
	if err := types.TypeByName(name, &c); err != nil {
		t.Fatalf("%s: %v", backend, err)
	}
	if uintptr(c.Size) != gotype.Size() {
		t.Errorf("%s: %s has %d bytes, %d in Go", backend, name, c.Size, gotype.Size())
	}
	var want, got []uintptr
	for _, m := range c.Members {
		if m.Name != "pad" {
			want = append(want, uintptr(m.Offset.Bytes()))
		}
	}
	for i := range gotype.NumField() {
		if f := gotype.Field(i); f.Name != "_" && f.Name != "Pad" {
			got = append(got, f.Offset)
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("%s: offsets of %s (-C +Go)\n%s", backend, name, diff)
	}
}
