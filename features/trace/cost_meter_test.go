// SPDX-License-Identifier: Apache-2.0

package trace

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// costMeter measures under a load, which it starts once.
type costMeter struct {
	b     *testing.B
	skip  uint32
	load  func()
	last  []costMllbCost // of the last measurement
	specs *ebpf.Collection
}

// measure times n calls, and returns the medians. put attaches what is measured
// between the inner and the outer programs, and returns what takes it off.
func (m *costMeter) measure(what string, n uint64, put func() func()) costMllbCost {
	m.b.Helper()
	spec, err := loadCost()
	if err != nil {
		m.b.Fatal(err)
	}
	if err := spec.Variables["skip_domains"].Set(m.skip); err != nil {
		m.b.Fatal(err)
	}
	if m.specs, err = ebpf.NewCollection(spec); err != nil {
		m.b.Fatal(err)
	}
	defer m.specs.Close()
	inner := m.attach("entry_0", "ret_0")
	off := put()
	outer := m.attach("entry_1", "ret_1")
	if m.load != nil { // only now: patching the kernel's code takes long under load
		m.load()
		m.load = nil
	}
	start, from := time.Now(), uint64(0)
	for seen := uint64(0); seen < from+n; time.Sleep(50 * time.Millisecond) {
		if err := m.specs.Variables["nr"].Get(&seen); err != nil {
			m.b.Fatal(err)
		}
		if from == 0 && seen > 0 {
			from = seen // some began while the programs were attached
		}
	}
	outer()
	off()
	inner()
	m.read(from)
	c := costMllbCost{Entry: median(m.last, entryCost), Ret: median(m.last, retCost), Own: median(m.last, ownCost)}
	m.b.Logf("%s: %d calls in %v of guest time; medians %+v", what, len(m.last), time.Since(start).Round(time.Second), c)
	return c
}

// read takes what was timed.
func (m *costMeter) read(from uint64) {
	m.b.Helper()
	var n uint64
	if err := m.specs.Variables["nr"].Get(&n); err != nil {
		m.b.Fatal(err)
	}
	m.last = m.last[:0]
	for i := from; i < min(n, costMax); i++ {
		var c costMllbCost
		if err := m.specs.Maps["costs"].Lookup(uint32(i), &c); err != nil {
			m.b.Fatal(err)
		}
		m.last = append(m.last, c)
	}
}

func (m *costMeter) attach(names ...string) (off func()) {
	m.b.Helper()
	var all []link.Link
	for _, name := range names {
		l, err := link.AttachTracing(link.TracingOptions{Program: m.specs.Programs[name]})
		if err != nil {
			m.b.Fatal(err)
		}
		all = append(all, l)
	}
	return func() {
		for _, l := range all {
			if err := l.Close(); err != nil {
				m.b.Error(err)
			}
		}
	}
}

// between puts two of cost.bpf.c's programs between the others.
func (m *costMeter) between(names ...string) func() func() {
	return func() func() { return m.attach(names...) }
}

// tracer puts the tracer between the others, and says how large it is.
func (m *costMeter) tracer(all bool) func() func() {
	return func() func() {
		tr, err := Open(Options{AllDomains: all, backend: "fentry"})
		if err != nil {
			m.b.Fatal(err)
		}
		for _, name := range []string{"on_entry", "on_return"} {
			info, err := tr.probes.coll.Programs[name].Info()
			if err != nil {
				m.b.Fatal(err)
			}
			bpf, err := info.TranslatedSize()
			jited, jerr := info.JitedSize()
			if err = errors.Join(err, jerr); err != nil {
				m.b.Fatal(err)
			}
			m.b.Logf("%s: %d eBPF instructions, %d bytes of machine code", name, bpf/8, jited)
		}
		return func() {
			if err := tr.Close(); err != nil {
				m.b.Error(err)
			}
		}
	}
}

// report prints what a group of calls costs, without the clock programs' part.
func (m *costMeter) report(name string, has func(facts uint32) bool, stamp costMllbCost, around uint32) {
	m.b.Helper()
	group := slices.DeleteFunc(slices.Clone(m.last), func(c costMllbCost) bool { return !has(c.Facts) })
	if len(group) == 0 {
		m.b.Errorf("%s: none of %d calls", name, len(m.last))
		return
	}
	line := func(get func(costMllbCost) uint32, off uint32) string {
		return fmt.Sprintf("%d (%d, %d)", quantile(group, get, 0.5)-off, quantile(group, get, 0.1)-off, quantile(group, get, 0.9)-off)
	}
	pair := func(c costMllbCost) uint32 { return c.Entry + c.Ret }
	both := stamp.Entry + stamp.Ret
	m.b.ReportMetric(float64(quantile(group, pair, 0.5)-both), "instr/"+name)
	m.b.Logf("%s, %d calls: entry %s, return %s, both %s; with the trampoline %d", name, len(group),
		line(entryCost, stamp.Entry), line(retCost, stamp.Ret), line(pair, both), quantile(group, pair, 0.5)-both+around)
	if low := quantile(group, entryCost, 0.1); low < stamp.Entry {
		m.b.Errorf("%s: the programs are not between the clocks: %d, %d without them", name, low, stamp.Entry)
	}
}

func entryCost(c costMllbCost) uint32 { return c.Entry }
func retCost(c costMllbCost) uint32   { return c.Ret }
func ownCost(c costMllbCost) uint32   { return c.Own }

func median(all []costMllbCost, get func(costMllbCost) uint32) uint32 { return quantile(all, get, 0.5) }

func quantile(all []costMllbCost, get func(costMllbCost) uint32, q float64) uint32 {
	values := make([]uint32, len(all))
	for i, c := range all {
		values[i] = get(c)
	}
	slices.Sort(values)
	return values[int(q*float64(len(values)-1))]
}
