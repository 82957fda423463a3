// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"mllb/topology"
)

// forkTracked is MLLB_TRACKED of mllb.h: what the map held has of a thread to which
// nobody else gave a mask.
const forkTracked uint32 = 1

// WatchPins has Guard tell which mask anybody but this process gives a thread, and
// Pinned whether it did, which a snapshot's Asked does not before 6.2. Its errors
// are like Open's.
func (f *Forks) WatchPins() error {
	if err := f.openPins(); err != nil {
		_ = f.pins.Close()
		f.pins = pinsObjects{}
		return fmt.Errorf("ebpf tracer of sched_setaffinity: %w", explain(err))
	}
	return nil
}

func (f *Forks) openPins() error {
	spec, err := loadPins()
	if err != nil {
		return err
	}
	if err := checkVersion(spec); err != nil {
		return err
	}
	if err := spec.Variables[pinsVarSelf].Set(uint32(os.Getpid())); err != nil {
		return err
	}
	cpus, err := possible("/sys/devices/system/cpu/possible")
	if err != nil {
		return err
	}
	if err := spec.Variables[pinsVarMaskSize].Set(uint32(8 * ((cpus + 63) / 64))); err != nil {
		return err
	}
	spec.Maps[pinsMapHeld].MaxEntries, spec.Maps[pinsMapHeld].Flags = f.objs.Held.MaxEntries(), f.objs.Held.Flags()
	if err := spec.LoadAndAssign(&f.pins, withTypes(ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{pinsMapHeld: f.objs.Held},
	})); err != nil {
		return err
	}
	// The end first: a call that was not seen to begin counts for nothing.
	for _, p := range []*ebpf.Program{f.pins.OnSetaffinityDone, f.pins.OnSetaffinity} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return err
		}
		f.links = append(f.links, l)
	}
	return nil
}

// For how long Guard waits for calls that have begun: they take microseconds, unless
// whoever makes them has to wait for a CPU.
const (
	settingLooks = 40
	settingPause = 50 * time.Microsecond
)

var settingSleep = time.Sleep // tests have another

// Guard returns a function that tells which mask anybody else last gave a thread
// since it was called, or nil, and one that ends the guard. Without WatchPins nobody
// is seen to.
func (f *Forks) Guard(tid int32) (given func() topology.CPUSet, done func(), err error) {
	m := f.pins.Guarded
	if m == nil {
		return func() topology.CPUSet { return nil }, func() {}, nil
	}
	var now pinsMllbGiven
	if err := m.Put(tid, &now); err != nil {
		return nil, nil, fmt.Errorf("guard the mask of thread %d: %w", tid, err)
	}
	// A call that began before the guard is not counted by it: its mask is to be there
	// before anybody looks.
	for range settingLooks {
		var began uint32
		if f.pins.Setting.Lookup(tid, &began) != nil || began == 0 {
			break
		}
		settingSleep(settingPause)
	}
	calls := uint64(0)
	given = func() topology.CPUSet {
		if m.Lookup(tid, &now) != nil || now.Calls == calls {
			return nil
		}
		calls = now.Calls
		return slices.Clone(now.Mask[:])
	}
	return given, func() { _ = m.Delete(tid) }, nil
}

// Pinned reports whether anybody else gave a thread a mask since it was tracked,
// by Track or by its birth. Without WatchPins it never does.
func (f *Forks) Pinned(tid int32) bool {
	var is uint32
	return f.objs.Held.Lookup(tid, &is) == nil && is > forkTracked
}
