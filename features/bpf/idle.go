// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// walkShare is how long a walk over the queues takes for each CPU, times 100:
// so much time is left between two, that they take no more than 1 % of one CPU.
const walkShare = 100 * 50 * time.Nanosecond

// Idle tells when a CPU goes idle although threads wait for another, as held
// ones do. Arm and Wait may be called at the same time.
type Idle struct {
	objs   idleObjects
	link   link.Link
	reader *ringbuf.Reader
	record ringbuf.Record
}

// OpenIdle loads and attaches the tracepoint. It needs a snapshot of r to have
// been taken, since when it knows where the runqueues are, and must be closed before r.
func (r *Reader) OpenIdle() (*Idle, error) {
	w := &Idle{}
	if err := w.open(r); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("ebpf watch of idle CPUs: %w", explain(err))
	}
	return w, nil
}

func (w *Idle) open(r *Reader) error {
	if r.last == 0 {
		return errors.New("no snapshot was taken")
	}
	spec, err := loadIdle()
	if err != nil {
		return err
	}
	if err := checkVersion(spec); err != nil {
		return err
	}
	cpus := r.objs.Runqueues.MaxEntries()
	spec.Maps[idleMapRunqueues].MaxEntries = cpus
	spec.Maps[idleMapWakeups].MaxEntries = uint32(os.Getpagesize())
	if err := spec.Variables[idleVarPause].Set(uint64(cpus) * uint64(walkShare)); err != nil {
		return err
	}
	err = spec.LoadAndAssign(&w.objs, withTypes(ebpf.CollectionOptions{
		MapReplacements: map[string]*ebpf.Map{idleMapRunqueues: r.objs.Runqueues},
	}))
	if err != nil {
		return err
	}
	if w.reader, err = ringbuf.NewReader(w.objs.Wakeups); err != nil {
		return err
	}
	w.link, err = link.AttachTracing(link.TracingOptions{Program: w.objs.OnSwitch})
	return err
}

// Arm asks to be told of the next time, once.
func (w *Idle) Arm(yes bool) error {
	armed := uint32(0)
	if yes {
		armed = 1
	}
	if err := w.objs.Armed.Set(armed); err != nil {
		return fmt.Errorf("arm the watch of idle CPUs: %w", err)
	}
	return nil
}

// Wait blocks until a CPU goes idle while threads wait. After Close its error
// is os.ErrClosed. Only one goroutine may wait.
func (w *Idle) Wait() error {
	if err := w.reader.ReadInto(&w.record); err != nil {
		return fmt.Errorf("wait for an idle CPU: %w", err)
	}
	return nil
}

// Close detaches the tracepoint and ends a blocked Wait. It may be called more
// than once.
func (w *Idle) Close() error {
	var errs []error
	if w.link != nil {
		errs = append(errs, w.link.Close())
		w.link = nil
	}
	if w.reader != nil {
		errs = append(errs, w.reader.Close())
	}
	if w.objs.OnSwitch != nil {
		errs = append(errs, w.objs.Close())
		w.objs = idleObjects{}
	}
	return errors.Join(errs...)
}
