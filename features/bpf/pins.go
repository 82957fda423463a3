// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// What the map held has of a thread (mllb.h).
const (
	forkTracked uint8 = 1 + iota
	forkPinned
)

// WatchPins has Pinned tell which threads anybody but this process gave a mask. It
// is for kernels before 6.2, where a snapshot's Asked does not. Its errors are like
// Open's.
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
	spec.Maps[pinsMapHeld].MaxEntries, spec.Maps[pinsMapHeld].Flags = f.objs.Held.MaxEntries(), f.objs.Held.Flags()
	if err := spec.LoadAndAssign(&f.pins, withTypes(ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{pinsMapHeld: f.objs.Held},
	})); err != nil {
		return err
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: f.pins.OnSetaffinity})
	if err != nil {
		return err
	}
	f.links = append(f.links, l)
	return nil
}

// Pinned reports whether anybody else gave a thread a mask since it was tracked,
// by Track or by its birth. Without WatchPins it never does.
func (f *Forks) Pinned(tid int32) bool {
	var is uint8
	return f.objs.Held.Lookup(tid, &is) == nil && is == forkPinned
}
