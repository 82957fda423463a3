// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseCPUList(t *testing.T) {
	tests := []struct {
		list string
		want []int
		err  string // a part of the error; "" for none
	}{
		{list: "", want: nil},
		{list: "\n", want: nil},
		{list: "0", want: []int{0}},
		{list: "0-3,8\n", want: []int{0, 1, 2, 3, 8}},
		{list: "63-65", want: []int{63, 64, 65}},
		{list: "8,0-1", want: []int{0, 1, 8}},
		{list: "8191", want: []int{8191}},
		{list: "8192", err: "over the limit of 8192"},
		{list: "0-99999999999", err: "not a cpu number"},
		{list: "3-1", err: "runs backwards"},
		{list: "0-7:2/4", err: "not a cpu number"},
		{list: "0,,1", err: `"" is not a cpu number`},
		{list: "-1", err: `"" is not a cpu number`},
		{list: "+1", err: "not a cpu number"},
		{list: "0 1", err: "not a cpu number"},
		{list: "N", err: "not a cpu number"},
	}
	for _, tt := range tests {
		got, err := ParseCPUList(tt.list)
		checkSet(t, fmt.Sprintf("ParseCPUList(%q)", tt.list), got, err, tt.want, tt.err)
	}
}

func TestParseCPUMask(t *testing.T) {
	tests := []struct {
		mask string
		want []int
		err  string
	}{
		{mask: "0", want: nil},
		{mask: "3", want: []int{0, 1}},
		{mask: "80000000", want: []int{31}},
		{mask: "00000001,00000000", want: []int{32}},
		{mask: "1,00000000,80000001", want: []int{0, 31, 64}},
		{mask: "FF", want: []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{mask: "00000000,00000000,00000000,00000002", want: []int{1}},
		{mask: "80000000" + strings.Repeat(",00000000", 255), want: []int{8191}},
		{mask: strings.Repeat("0,", 256) + "1", err: "over the limit of 8192"},
		{mask: "", err: "not a 32-bit hexadecimal word"},
		{mask: "1,", err: "not a 32-bit hexadecimal word"},
		{mask: "0x1", err: "not a 32-bit hexadecimal word"},
		{mask: "000000001", err: "not a 32-bit hexadecimal word"},
		{mask: "1 ,1", err: "not a 32-bit hexadecimal word"},
		{mask: "-1", err: "not a 32-bit hexadecimal word"},
		{mask: "3\n", err: "not a 32-bit hexadecimal word"},
	}
	for _, tt := range tests {
		got, err := ParseCPUMask([]byte(tt.mask), NewCPUSet(200)) // whatever was in it before
		checkSet(t, fmt.Sprintf("ParseCPUMask(%q)", tt.mask), got, err, tt.want, tt.err)
	}
}

func checkSet(t *testing.T, call string, got CPUSet, err error, want []int, wantErr string) {
	t.Helper()
	if wantErr != "" {
		if err == nil || !strings.Contains(err.Error(), wantErr) {
			t.Errorf("%s: error %v, want one with %q", call, err, wantErr)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", call, err)
	} else if diff := cmp.Diff(want, slices.Collect(got.All())); diff != "" {
		t.Errorf("%s (-want +got):\n%s", call, diff)
	}
}

// maskText writes a set as the kernel's %*pb does.
func maskText(s CPUSet, cpus int) string {
	var words []string
	for lo := 0; lo < cpus; lo += 32 {
		words = append(words, fmt.Sprintf("%08x", uint32(s.word(lo>>6)>>(lo&63))))
	}
	slices.Reverse(words)
	return strings.Join(words, ",")
}

// TestCPUSetModel holds a CPUSet against a map of its members.
func TestCPUSetModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOf(rapid.IntRange(0, 200))
		a, b := ids.Draw(t, "a"), ids.Draw(t, "b")
		x, y := NewCPUSet(a...), NewCPUSet(b...)
		var and, or []int
		for cpu := range 201 {
			inA, inB := slices.Contains(a, cpu), slices.Contains(b, cpu)
			if inA && inB {
				and = append(and, cpu)
			}
			if inA || inB {
				or = append(or, cpu)
			}
			if x.Has(cpu) != inA {
				t.Fatalf("%v has %d: %v", x, cpu, !inA)
			}
		}
		same := func(what string, got CPUSet, want []int) {
			if diff := cmp.Diff(want, slices.Collect(got.All())); diff != "" {
				t.Fatalf("%s (-want +got):\n%s", what, diff)
			}
		}
		same("and", x.And(y), and)
		same("or", x.Or(y), or)
		if x.Intersects(y) != (len(and) > 0) || x.And(y).Empty() != (len(and) == 0) {
			t.Fatalf("%v intersects %v: %v", x, y, x.Intersects(y))
		}
		if x.SubsetOf(y) != x.Equal(x.And(y)) || !x.SubsetOf(x.Or(y)) {
			t.Fatalf("%v subset of %v: %v", x, y, x.SubsetOf(y))
		}
		if x.Count() != len(slices.Compact(slices.Sorted(slices.Values(a)))) {
			t.Fatalf("%v counts %d", x, x.Count())
		}
		list, err := ParseCPUList(x.String())
		if err != nil || !list.Equal(x) {
			t.Fatalf("list %q came back as %v, %v", x, list, err)
		}
		mask, err := ParseCPUMask([]byte(maskText(x, 201)), nil)
		if err != nil || !mask.Equal(x) {
			t.Fatalf("mask %q came back as %v, %v", maskText(x, 201), mask, err)
		}
		z := x.Clone()
		for cpu := range y.All() {
			z.Remove(cpu)
		}
		if z.Intersects(y) || !z.Or(x.And(y)).Equal(x) {
			t.Fatalf("%v without %v is %v", x, y, z)
		}
	})
}

func TestCPUSetEdges(t *testing.T) {
	var none CPUSet
	if none.Has(0) || none.Has(-1) || none.First() != -1 || none.String() != "" || !none.Equal(CPUSet{0, 0}) {
		t.Error("the nil set is not empty")
	}
	none.Remove(3)
	for cpu := range NewCPUSet(4, 70, 90).All() {
		if cpu == 70 {
			break
		}
		if cpu != 4 {
			t.Errorf("yielded %d", cpu)
		}
	}
	text, err := json.Marshal(map[string]CPUSet{"a": NewCPUSet(0, 1, 9), "b": nil})
	if err != nil || string(text) != `{"a":"0-1,9","b":""}` {
		t.Errorf("json %s, %v", text, err)
	}
	var back map[string]CPUSet
	if err := json.Unmarshal(text, &back); err != nil || !back["a"].Equal(NewCPUSet(0, 1, 9)) {
		t.Errorf("back from json: %v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"a":"x"}`), &back); err == nil {
		t.Error("json with a bad list is taken")
	}
}

func FuzzParseCPUList(f *testing.F) {
	for _, s := range []string{"", "0-3,8", "8191", "3-1", "0-99999999999", ",", "1-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, list string) {
		s, err := ParseCPUList(list)
		if err != nil {
			return
		}
		if back, err := ParseCPUList(s.String()); err != nil || !back.Equal(s) {
			t.Errorf("%q -> %q -> %v, %v", list, s, back, err)
		}
	})
}

func FuzzParseCPUMask(f *testing.F) {
	for _, s := range []string{"0", "ffffffff,00000001", "1,", "g", "000000001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, mask string) {
		s, err := ParseCPUMask([]byte(mask), nil)
		if err != nil {
			return
		}
		if back, err := ParseCPUMask([]byte(maskText(s, MaxCPUs)), nil); err != nil || !back.Equal(s) {
			t.Errorf("%q -> %v -> %v, %v", mask, s, back, err)
		}
	})
}
