// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"mllb/features"
	"mllb/topology"
)

// raw is what follows a record's fixed part.
type raw struct {
	mask, asked []uint64
	totals      [2]uint64
	task, group []uint64 // pairs
}

// encode writes a record as the program does.
func encode(f threadsMllbThread, tail raw) []byte {
	words := append([]uint64{}, tail.mask...)
	if f.Asked != 0 {
		words = append(words, tail.asked...)
	}
	if f.Numa&features.HasFaults != 0 {
		words = append(append(append(words, tail.totals[:]...), tail.task...), tail.group...)
	}
	f.Size = uint32(threadSize + 8*len(words))
	b, err := binary.Append(nil, binary.LittleEndian, f)
	if err == nil {
		b, err = binary.Append(b, binary.LittleEndian, words)
	}
	if err != nil {
		panic(err) // a fault of this test's types
	}
	return b
}

// TestLayout holds the types that Go was compiled with against the BTF of the
// object: every field at the same place, and the header's limits as known here.
func TestLayout(t *testing.T) {
	for _, tt := range []struct {
		name string
		load func() (*ebpf.CollectionSpec, error)
		typ  reflect.Type
	}{
		{"mllb_thread", loadThreads, reflect.TypeFor[threadsMllbThread]()},
		{"mllb_rq", loadThreads, reflect.TypeFor[threadsMllbRq]()},
		{"mllb_fork", loadForks, reflect.TypeFor[forksMllbFork]()},
	} {
		spec, err := tt.load()
		if err != nil {
			t.Fatal(err)
		}
		if err := checkVersion(spec); err != nil {
			t.Error(err)
		}
		var c *btf.Struct
		if err := spec.Types.TypeByName(tt.name, &c); err != nil {
			t.Fatal(err)
		}
		if c.Size != uint32(tt.typ.Size()) || len(c.Members) != tt.typ.NumField()-1 { // HostLayout
			t.Errorf("%s: %d bytes in C, %d in Go", tt.name, c.Size, tt.typ.Size())
		}
		for _, m := range c.Members {
			field, ok := tt.typ.FieldByNameFunc(func(n string) bool {
				return strings.EqualFold(n, strings.ReplaceAll(m.Name, "_", ""))
			})
			size, _ := btf.Sizeof(m.Type)
			if !ok || field.Offset != uintptr(m.Offset.Bytes()) || int(field.Type.Size()) != size {
				t.Errorf("%s.%s: offset %d size %d in C; Go has %+v", tt.name, m.Name, m.Offset.Bytes(), size, field)
			}
		}
	}
}

// TestLimits finds the header's limits in the size of the record's tail.
func TestLimits(t *testing.T) {
	spec, err := loadThreads()
	if err != nil {
		t.Fatal(err)
	}
	want := threadSize + 8*(2*topology.MaxCPUs/64+2+4*maxNodes)
	for _, v := range spec.Maps[".bss"].Value.(*btf.Datasec).Vars {
		if v.Type.(*btf.Var).Name == "rec" {
			if int(v.Size) != want {
				t.Errorf("rec has %d bytes, want %d: MLLB_MAX_CPUS or MLLB_MAX_NODES differ", v.Size, want)
			}
			return
		}
	}
	t.Error("no variable rec in .bss")
}

func TestDecodeRoundTrip(t *testing.T) {
	word := rapid.Uint64()
	rapid.Check(t, func(t *rapid.T) {
		cpus, nodes := rapid.IntRange(1, 300).Draw(t, "cpus"), rapid.IntRange(1, 9).Draw(t, "nodes")
		d := newDecoder(cpus, nodes)
		words := func(n int) []uint64 { return rapid.SliceOfN(word, n, n).Draw(t, "words") }
		in := threadsMllbThread{
			Start: word.Draw(t, "start"), Cgroup: word.Draw(t, "cgroup"), Load: word.Draw(t, "load"),
			Runtime: word.Draw(t, "runtime"), Delta: rapid.Int64().Draw(t, "delta"),
			Tid: rapid.Int32().Draw(t, "tid"), Task: 9, Tgid: 7, Ppid: 6, Session: 5, Descends: 1,
			Cpu: rapid.Uint32Range(0, uint32(cpus-1)).Draw(t, "cpu"), State: 1, Flags: 0x80000001,
			Runnable: 1024, PreferredNode: -1, Policy: 3, Nice: rapid.Int8().Draw(t, "nice"), OnCpu: 1, MigrationDisabled: 1,
			Numa: rapid.Uint8Range(0, 3).Draw(t, "numa"), Asked: rapid.Uint8Range(0, 1).Draw(t, "asked"),
		}
		copy(in.Comm[:], rapid.String().Draw(t, "comm"))
		tail := raw{words((cpus + 63) / 64), words((cpus + 63) / 64), [2]uint64{1, 2}, words(2 * nodes), words(2 * nodes)}

		var s features.Snapshot
		b := encode(in, tail)
		if n, err := d.decode(b, &s); n != len(b) || err != nil || len(s.Threads) != 1 {
			t.Fatalf("decode = %d of %d bytes, %v", n, len(b), err)
		}
		mask := topology.CPUSet{}
		for c := range topology.CPUSet(tail.mask).All() {
			if c < cpus {
				mask.Add(c)
			}
		}
		if th := &s.Threads[0]; !s.Masks[th.Allowed].Equal(mask) {
			t.Errorf("mask %v, want %v", s.Masks[th.Allowed], mask)
		}
		want := features.Thread{
			ID: features.ID{TID: in.Tid, Start: in.Start / 10_000_000}, Task: 9, TGID: 7, PPID: 6, Session: 5, Descends: true,
			Comm: in.Comm, Cgroup: in.Cgroup, CPU: int32(in.Cpu), State: 'S', Running: true, MigrationDisabled: true,
			Policy: 3, Flags: 0x80000001, Nice: in.Nice, NUMAType: in.Numa, Load: in.Load, Runnable: 1024,
			Runtime: in.Runtime, Delta: in.Delta, PreferredNode: -1, Faults: -1, Hold: -1,
		}
		if in.Numa&features.HasFaults != 0 {
			want.Faults = 0
			checkFaults(t, s.Faults[0], tail, in.Numa&features.HasGroup != 0)
		}
		want.Allowed, want.Owner, want.Asked = s.Threads[0].Allowed, s.Threads[0].Allowed, -1
		if in.Asked != 0 { // with the bits of no CPU
			want.Asked = s.Mask(tail.asked)
		}
		if diff := cmp.Diff(want, s.Threads[0]); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

func checkFaults(t *rapid.T, got features.NodeFaults, tail raw, group bool) {
	want := features.NodeFaults{TaskTotal: tail.totals[0], GroupTotal: tail.totals[1]}
	for i := 0; i < len(tail.task); i += 2 {
		want.Task = append(want.Task, tail.task[i]+tail.task[i+1])
		if group {
			want.Group = append(want.Group, tail.group[i]+tail.group[i+1])
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("faults (-want +got)\n%s", diff)
	}
}

// TestDecodeSplit feeds a stream in two parts, cut at every byte.
func TestDecodeSplit(t *testing.T) {
	d := newDecoder(2, 2)
	tail := raw{mask: []uint64{3}, task: make([]uint64, 4), group: make([]uint64, 4)}
	var b []byte
	for i := range 3 {
		b = append(b, encode(threadsMllbThread{Tid: int32(i), Numa: uint8(i)}, tail)...)
	}
	for cut := range len(b) + 1 {
		var s features.Snapshot
		n, err := d.decode(b[:cut], &s)
		if err != nil || n > cut {
			t.Fatalf("cut at %d: %d bytes, %v", cut, n, err)
		}
		if m, err := d.decode(b[n:], &s); err != nil || n+m != len(b) || len(s.Threads) != 3 {
			t.Fatalf("cut at %d: %d + %d of %d bytes, %d threads, %v", cut, n, m, len(b), len(s.Threads), err)
		}
	}
}

func TestDecodeMalformed(t *testing.T) {
	good := encode(threadsMllbThread{Tid: 1}, raw{mask: []uint64{1}})
	for _, tt := range []struct {
		name string
		at   uintptr
		to   byte
		want string
	}{
		{"size 0", offSize, 0, "record of 0 bytes"},
		{"size too small", offSize, byte(len(good) - 8), "record of 112 bytes, want 120"},
		{"size too large", offSize, byte(len(good) + 8), "record of 128 bytes, want 120"},
		{"faults that are not there", offNUMA, features.HasFaults, "record of 120 bytes, want 168"},
		{"cpu that is not possible", offCPU, 2, "cpu 2 of 2"},
		{"unknown bits", offNUMA, 4, "numa bits 0x4"},
		{"a mask asked for that is not there", offAsked, 1, "record of 120 bytes, want 128"},
	} {
		b := append([]byte{}, good...)
		b[tt.at] = tt.to
		var s features.Snapshot
		n, err := newDecoder(2, 1).decode(b, &s)
		if n != 0 || err == nil || !strings.Contains(err.Error(), tt.want) || len(s.Threads) != 0 {
			t.Errorf("%s: %d bytes, %v; want %q", tt.name, n, err, tt.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(threadsMllbThread{Tid: 1, Numa: 3}, raw{[]uint64{1}, nil, [2]uint64{}, make([]uint64, 4), make([]uint64, 4)}))
	f.Add(encode(threadsMllbThread{Tid: 1}, raw{mask: []uint64{1}}))
	f.Add(encode(threadsMllbThread{Tid: 1, Asked: 1}, raw{mask: []uint64{1}, asked: []uint64{1<<63 | 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s features.Snapshot
		n, err := newDecoder(2, 2).decode(b, &s)
		if n < 0 || n > len(b) || len(s.Threads)*threadSize > n {
			t.Fatalf("%d threads from %d of %d bytes", len(s.Threads), n, len(b))
		}
		if err == nil && len(b)-n >= newDecoder(2, 2).size(3, 1) {
			t.Fatalf("%d bytes left without an error", len(b)-n)
		}
		for _, th := range s.Threads {
			if th.CPU < 0 || th.CPU > 1 || int(th.Allowed) >= len(s.Masks) || int(th.Faults) >= len(s.Faults) || int(th.Asked) >= len(s.Masks) {
				t.Fatalf("%+v", th)
			}
		}
	})
}

// TestState holds the letters against fs/proc/array.c's task_state_array.
func TestState(t *testing.T) {
	for raw, want := range map[uint32]byte{
		0: 'R', 1: 'S', 2: 'D', 4: 'T', 0x104: 'T', 8: 't', 0x10: 'X', 0x20: 'Z', 0x80 | 0x20: 'Z', 0x40: 'P',
		0x402:   'I', // TASK_IDLE
		0x2001:  'S', // interruptible and freezable
		0x8000:  'D', // frozen
		0x1000:  'D', // waits for an rtlock
		0x0200:  'R', // waking
		0x10402: 'I',
	} {
		if got := state(raw); got != want {
			t.Errorf("state(%#x) = %c, want %c", raw, got, want)
		}
	}
}

func TestDecodeRunqueues(t *testing.T) {
	slots := []threadsMllbRq{
		{Pass: 9, Clock: 1, LoadAvg: 2, NrRunning: 3, NrQueued: 4, NrPreferred: 5, NrNuma: 6, Online: 1},
		{Pass: 8, NrRunning: 3, Online: 1}, // not met by this pass
		{Pass: 9, NrRunning: 1, Online: 0}, // parked threads of an offline CPU
		{},                                 // never met
	}
	b, err := binary.Append(nil, binary.LittleEndian, slots)
	if err != nil {
		t.Fatal(err)
	}
	got := []features.Runqueue{{Online: true}, {Online: true}, {Online: true}, {Online: true}}
	decodeRunqueues(b, got)
	want := []features.Runqueue{{
		Online: true, Clock: 1, LoadAvg: 2, NrRunning: 3, NrQueued: 4, NrPreferredRunning: 5, NrNUMARunning: 6,
	}, {}, {}, {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDecodeFork(t *testing.T) {
	b, err := binary.Append(nil, binary.LittleEndian, forksMllbFork{Start: 20_000_000, Parent: 1, Child: 2, Tgid: 3})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decodeFork(b, 70_000_000); err != nil || got != (Fork{Parent: 1, Child: 2, TGID: 3, Start: 9}) {
		t.Errorf("decodeFork = %+v, %v", got, err)
	}
	for n := range b {
		if f, err := decodeFork(b[:n], 0); err == nil {
			t.Errorf("decodeFork of %d bytes = %+v", n, f)
		}
	}
}
