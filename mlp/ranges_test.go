// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"mllb/features"
)

// TestRangesHoldWhatTheyAreOf holds that no row is outside the ranges of its own
// data, whatever rounding does, and that InRange and OutOfRange say the same.
func TestRangesHoldWhatTheyAreOf(t *testing.T) {
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	exact := rapid.Uint64Range(0, 1<<51-1) // where outward promises it
	rapid.Check(t, func(r *rapid.T) {
		d := &Data{Set: set}
		var vs [3]features.Vector
		for i := range vs {
			decision := features.Decision{
				SrcLen: rapid.Uint32().Draw(r, "src len"), DstLen: rapid.Uint32Range(0, 5).Draw(r, "dst len"),
				SrcLoad: rapid.Uint64().Draw(r, "src load"), DstLoad: rapid.Uint64Range(0, 1e9).Draw(r, "dst load"),
				TaskFaults:      []uint64{exact.Draw(r, "faults 0"), rapid.Uint64Range(0, 9).Draw(r, "faults 1")},
				TaskTotalFaults: exact.Draw(r, "faults"), DstNode: 1,
				HasFaults: rapid.Bool().Draw(r, "has faults"), NextBuddy: rapid.Bool().Draw(r, "buddy"),
			}
			set.Fill(&vs[i], &decision)
			if i < 2 {
				d.Append(&decision, Migrate, 0)
			}
		}
		m := NewModel(set, 1)
		m.Ranges = d.Ranges()
		if err := m.Validate(); err != nil {
			r.Fatal(err)
		}
		for i := range vs {
			in, out := m.Bounds().InRange(&vs[i]), m.OutOfRange(&vs[i])
			if in != (len(out) == 0) {
				r.Errorf("vector %d: in range %v, but out of range %v", i, in, out)
			}
			if i < 2 && !in {
				r.Errorf("row %d is out of its own ranges %v in %v", i, m.Ranges, out)
			}
		}
	})
}

func TestOutOfRange(t *testing.T) {
	set, _ := features.Lookup("locality17")
	m := NewModel(set, 1)
	var v features.Vector
	if !m.Bounds().InRange(&v) || m.OutOfRange(&v) != nil {
		t.Error("a model without ranges found something outside of them")
	}
	index := make(map[string]int)
	m.Ranges = make([]Range, len(set.Features))
	for k, name := range set.Names() {
		index[name] = k
	}
	m.Ranges[index["same_node"]] = Range{1, 1}
	m.Ranges[index["cpu_idle"]] = Range{0, 1}
	m.Ranges[index["src_len"]] = Range{-1, 3}
	for _, c := range []struct {
		want string
		q    map[string]int32
	}{
		{"", map[string]int32{"same_node": features.One}},
		{"", map[string]int32{"same_node": features.One, "cpu_idle": features.One, "src_len": 3 * features.One}},
		{"same_node", nil},
		{"buddy_hot", map[string]int32{"same_node": features.One, "buddy_hot": features.One}},
		{"src_len", map[string]int32{"same_node": features.One, "src_len": 3*features.One + 2}},
		{"src_len dst_len", map[string]int32{"same_node": features.One, "src_len": -features.One - 2, "dst_len": 2}},
	} {
		q := make([]int32, len(set.Features))
		for name, x := range c.q {
			q[index[name]] = x
		}
		if err := set.Pack(&v, q); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, k := range m.OutOfRange(&v) {
			names = append(names, set.Features[k].Name)
		}
		if got := strings.Join(names, " "); got != c.want || m.Bounds().InRange(&v) != (c.want == "") {
			t.Errorf("%v: out of range %q, want %q", c.q, got, c.want)
		}
	}
}

func TestRangesInTheFile(t *testing.T) {
	set, _ := features.Lookup("paper15")
	m := NewModel(set, 1)
	m.Ranges = make([]Range, len(set.Features))
	m.Ranges[8] = Range{-2, 0.1}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	got, err := Load(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Ranges) != len(m.Ranges) || got.Ranges[8] != m.Ranges[8] {
		t.Errorf("ranges %v, want %v", got.Ranges, m.Ranges)
	}
	if _, err := Load(strings.NewReader(small(t)[:len(small(t))-3] + `, "ranges": []}`)); err == nil || !strings.Contains(err.Error(), "ranges: 0, want") {
		t.Errorf("empty ranges: error %v", err)
	}
	for _, c := range []struct{ new, want string }{
		{`[0.1, -2]`, "ranges[8]: 0.1 to -2 is no range"},
		{`[-2, null]`, "ranges[8][1]: null"},
		{`[-2]`, "ranges[8]: 1 numbers, want 2"},
		{`[-2, 0, 2]`, "ranges[8]: 3 numbers, want 2"},
		{`[-2, 0.1], [0, 0]`, "ranges: 16, want one for each of the 15 features"},
		{`[-2, 1e400]`, "number 1e400"},
	} {
		_, err := Load(strings.NewReader(strings.Replace(text, `[-2, 0.1]`, c.new, 1)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.new, err, c.want)
		}
	}
}
