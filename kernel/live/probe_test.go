// SPDX-License-Identifier: Apache-2.0

package live

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
)

// call is one call of a function, as the probe leaves it.
type call struct {
	Time  uint64 // from entry to return, ns
	Ret   uint32
	Flags uint32 // whatever word the probe was told to take along
}

const maxCalls = 1 << 16

// probe times a function: one program on its entry, one on its return.
type probe struct {
	t        testing.TB
	function string
	calls    *ebpf.Map // []call
	count    *ebpf.Map // of calls
	progs    []*ebpf.Program
	off      []func() error
}

// argument says how to get Flags: follow pointers at these offsets, from an
// argument, and take the word there.
type argument struct {
	index   int
	offsets []int16
}

// attachProbe times a function of so many arguments.
func attachProbe(t testing.TB, function string, args int, take *argument) *probe {
	t.Helper()
	p := &probe{t: t, function: function}
	began := p.newMap(ebpf.PerCPUArray, 8, 1)
	p.calls, p.count = p.newMap(ebpf.Array, 16, maxCalls), p.newMap(ebpf.Array, 8, 1)
	slot := func(m *ebpf.Map, null string) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
			asm.LoadMapPtr(asm.R1, m.FD()), asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, null),
		}
	}
	entry := slices.Concat(slot(began, "out"), asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R0), asm.FnKtimeGetNs.Call(),
		asm.StoreMem(asm.R6, 0, asm.R0, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return(),
	})
	exit := slices.Concat(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1), asm.FnKtimeGetNs.Call(), asm.Mov.Reg(asm.R7, asm.R0),
	}, slot(began, "out"), asm.Instructions{
		asm.LoadMem(asm.R8, asm.R0, 0, asm.DWord), asm.JEq.Imm(asm.R8, 0, "out"),
		asm.Sub.Reg(asm.R7, asm.R8), // R7: the time
		asm.Mov.Imm(asm.R1, 0), asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),
	}, slot(p.count, "out"), asm.Instructions{
		// Two CPUs may meet here: then one call overwrites another, which is no harm.
		asm.LoadMem(asm.R8, asm.R0, 0, asm.DWord),
		asm.Mov.Imm(asm.R1, 1), asm.AddAtomic.Mem(asm.R0, asm.R1, asm.DWord, 0),
		asm.StoreMem(asm.RFP, -4, asm.R8, asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, p.calls.FD()), asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "out"),
		asm.StoreMem(asm.R0, 0, asm.R7, asm.DWord),
		asm.LoadMem(asm.R8, asm.R6, int16(8*args), asm.DWord), asm.StoreMem(asm.R0, 8, asm.R8, asm.Word),
	}, take.load(), asm.Instructions{
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return(),
	})
	p.attach(function, "fentry", ebpf.AttachTraceFEntry, entry)
	p.attach(function, "fexit", ebpf.AttachTraceFExit, exit)
	return p
}

// load stores the word at 12 of the call in R0; R6 is the context.
func (a *argument) load() (code asm.Instructions) {
	if a == nil {
		return nil
	}
	code = append(code, asm.LoadMem(asm.R8, asm.R6, int16(8*a.index), asm.DWord))
	for i, at := range a.offsets {
		size := asm.DWord
		if i == len(a.offsets)-1 {
			size = asm.Word
		}
		code = append(code, asm.LoadMem(asm.R8, asm.R8, at, size))
	}
	return append(code, asm.StoreMem(asm.R0, 12, asm.R8, asm.Word))
}

func (p *probe) newMap(kind ebpf.MapType, size, n uint32) *ebpf.Map {
	p.t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: kind, KeySize: 4, ValueSize: size, MaxEntries: n})
	if err != nil {
		p.t.Fatal(err)
	}
	p.off = append(p.off, m.Close)
	return m
}

func (p *probe) attach(function, kind string, at ebpf.AttachType, code asm.Instructions) {
	p.t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: kind, Type: ebpf.Tracing, AttachType: at, AttachTo: function, License: "Dual BSD/GPL", Instructions: code,
	})
	if err != nil {
		p.t.Fatalf("%s on %s: %+v", kind, function, err)
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: prog})
	if err != nil {
		p.t.Fatalf("%s on %s: %v", kind, function, err)
	}
	p.progs, p.off = append(p.progs, prog), append(p.off, prog.Close, l.Close)
}

func (p *probe) close() {
	p.t.Helper()
	for _, off := range slices.Backward(p.off) {
		if err := off(); err != nil {
			p.t.Error(err)
		}
	}
}

// seen is how many calls have returned.
func (p *probe) seen() (n uint64) {
	p.t.Helper()
	if err := p.count.Lookup(uint32(0), &n); err != nil {
		p.t.Fatal(err)
	}
	return n
}

// since returns the calls from the nth on.
func (p *probe) since(n uint64) (calls []call) {
	p.t.Helper()
	for end := p.seen(); n < min(end, maxCalls); n++ {
		var c call
		if err := p.calls.Lookup(uint32(n), &c); err != nil {
			p.t.Fatal(err)
		}
		if c.Time != 0 { // being written
			calls = append(calls, c)
		}
	}
	return calls
}

// offsetOf finds a field of a kernel structure.
func offsetOf(t testing.TB, structure, field string) int16 {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	var s *btf.Struct
	if err := kernel.TypeByName(structure, &s); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Members {
		if m.Name == field {
			return int16(m.Offset.Bytes())
		}
	}
	t.Fatalf("struct %s has no %s", structure, field)
	return 0
}
