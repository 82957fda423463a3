// SPDX-License-Identifier: Apache-2.0

package features

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// value returns one feature of d as Fill computes it.
func value(t *testing.T, name string, d *Decision) int32 {
	t.Helper()
	set, err := Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	var v Vector
	set.Fill(&v, d)
	q := make([]int32, len(set.Features))
	set.Unpack(q, &v)
	for i, f := range set.Features {
		if f.Name == name {
			return q[i]
		}
	}
	t.Fatalf("no feature %s", name)
	return 0
}

func TestFeatures(t *testing.T) {
	faults := []uint64{10, 40}
	for _, c := range []struct {
		feature, why string
		d            Decision
		want         int32
	}{
		{"src_non_pref_nr", "more than prefer it", Decision{SrcNrRunning: 3, SrcNrPreferredRunning: 2}, One},
		{"src_non_pref_nr", "all prefer it", Decision{SrcNrRunning: 2, SrcNrPreferredRunning: 2}, 0},
		{"delta_hot", "just below the cost", Decision{Delta: 499_999, MigrationCost: 500_000}, One},
		{"delta_hot", "at the cost", Decision{Delta: 500_000, MigrationCost: 500_000}, 0},
		{"delta_hot", "clocks apart", Decision{Delta: -1, MigrationCost: 500_000}, One},
		{"delta_hot", "-1 is always", Decision{Delta: math.MaxInt64, MigrationCost: -1}, One},
		{"delta_hot", "0 is never", Decision{Delta: -1, MigrationCost: 0}, 0},
		{"cpu_idle", "", Decision{Idle: Idle}, One},
		{"cpu_not_idle", "", Decision{Idle: NotIdle}, One},
		{"cpu_newly_idle", "", Decision{Idle: NewlyIdle}, One},
		{"cpu_newly_idle", "another", Decision{Idle: Idle}, 0},
		{"same_node", "", Decision{SrcNode: 1, DstNode: 1}, One},
		{"same_node", "not", Decision{SrcNode: 1}, 0},
		{"prefer_src", "", Decision{SrcNode: 1, PreferredNode: 1}, One},
		{"prefer_src", "no node at all", Decision{SrcNode: NoNode, PreferredNode: NoNode}, 0},
		{"prefer_dst", "", Decision{DstNode: 1, PreferredNode: 1}, One},
		{"prefer_dst", "no node at all", Decision{DstNode: NoNode, PreferredNode: NoNode}, 0},
		{"src_len", "one task", Decision{SrcLen: 1}, -One},
		{"src_len", "", Decision{SrcLen: 7}, 5 * One},
		{"src_len", "hostile", Decision{SrcLen: math.MaxUint32}, math.MaxInt32},
		{"dst_len", "", Decision{DstLen: 7}, 7 * One},
		{"src_load", "", Decision{SrcLoad: 1024}, 2097},
		{"dst_load", "hostile", Decision{DstLoad: math.MaxUint64}, math.MaxInt32},
		{"delta_faults", "to more", Decision{DstNode: 1, TaskFaults: faults, TaskTotalFaults: 50}, 1229},
		{"delta_faults", "to fewer, without wrap", Decision{SrcNode: 1, TaskFaults: faults, TaskTotalFaults: 50}, -1229},
		{"delta_faults", "no faults", Decision{DstNode: 1, TaskFaults: faults}, 0},
		{"delta_faults", "past the end", Decision{SrcNode: 1, DstNode: 2, TaskFaults: faults, TaskTotalFaults: 40}, -One},
		{"delta_faults", "no node", Decision{SrcNode: NoNode, DstNode: 1, TaskFaults: faults, TaskTotalFaults: 40}, One},
		{"delta_faults", "the group's first", Decision{DstNode: 1, HasGroup: true, GroupFaults: []uint64{4, 0}, GroupTotalFaults: 4,
			TaskFaults: faults, TaskTotalFaults: 50}, -One},
		{"delta_faults", "the group's, not the task's, if it has none", Decision{DstNode: 1, HasGroup: true, TaskFaults: faults, TaskTotalFaults: 50}, 0},
		{"delta_faults", "hostile", Decision{DstNode: 1, TaskFaults: []uint64{math.MaxUint64, 0}, TaskTotalFaults: math.MaxUint64}, -One},
		{"delta_faults", "paper: 2^21 faults", Decision{DstNode: 1, TaskFaults: []uint64{0, 1 << 21}, TaskTotalFaults: 1 << 21}, One},
		{"extra_fails", "at the limit", Decision{NrBalanceFailed: 2, CacheNiceTries: 2}, 0},
		{"extra_fails", "over it", Decision{NrBalanceFailed: 3, CacheNiceTries: 2}, One},
		{"buddy_hot", "", Decision{NextBuddy: true, DstNrRunning: 1}, One},
		{"buddy_hot", "empty destination", Decision{NextBuddy: true}, 0},
		{"same_smt", "", Decision{Domain: ShareCPUCapacity | ShareLLC}, One},
		{"same_smt", "siblings in a wider domain", Decision{SameCore: true, Domain: ShareLLC}, 0},
		{"has_numa_faults", "", Decision{HasFaults: true}, One},
	} {
		if got := value(t, c.feature, &c.d); got != c.want {
			t.Errorf("%s, %s: %d, want %d", c.feature, c.why, got, c.want)
		}
	}
}

// TestSets pins the order: a model file and the C side depend on it.
func TestSets(t *testing.T) {
	want := []string{"src_non_pref_nr", "delta_hot", "cpu_idle", "cpu_not_idle", "cpu_newly_idle", "same_node", "prefer_src", "prefer_dst",
		"src_len", "src_load", "dst_load", "dst_len", "delta_faults", "extra_fails", "buddy_hot", "same_smt", "has_numa_faults"}
	for name, n := range map[string]int{"paper15": 15, "locality17": 17} {
		set, err := Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want[:n], set.Names()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		kinds := map[Kind]int{}
		for _, f := range set.Features {
			kinds[f.Kind]++
		}
		if kinds[Binary] > MaxBinary || kinds[Ratio] > MaxRatio {
			t.Errorf("%s does not fit a Vector: %v", name, kinds)
		}
	}
	if _, err := Lookup("paper16"); err == nil {
		t.Error("Lookup of an unknown set gave no error")
	}
}

// decision draws any Decision, the hostile ones too.
func decision(t *rapid.T) *Decision {
	faults := rapid.SliceOfN(rapid.Uint64(), 0, 4)
	b := rapid.Bool()
	return &Decision{
		SrcNode: rapid.Int32Range(-1, 4).Draw(t, "src"), DstNode: rapid.Int32Range(-1, 4).Draw(t, "dst"),
		PreferredNode: rapid.Int32Range(-1, 4).Draw(t, "preferred"),
		Idle:          IdleType(rapid.IntRange(0, 2).Draw(t, "idle")), Domain: DomainFlags(rapid.IntRange(0, 7).Draw(t, "domain")),
		SrcNrRunning: rapid.Uint32().Draw(t, "running"), SrcNrPreferredRunning: rapid.Uint32().Draw(t, "prefer"),
		SrcLen: rapid.Uint32().Draw(t, "srclen"), DstLen: rapid.Uint32().Draw(t, "dstlen"),
		SrcLoad: rapid.Uint64().Draw(t, "srcload"), DstLoad: rapid.Uint64().Draw(t, "dstload"),
		Delta: rapid.Int64().Draw(t, "delta"), MigrationCost: rapid.Int64().Draw(t, "cost"),
		NextBuddy: b.Draw(t, "buddy"), HasFaults: b.Draw(t, "has"), HasGroup: b.Draw(t, "group"),
		TaskFaults: faults.Draw(t, "task"), GroupFaults: faults.Draw(t, "groupfaults"),
		TaskTotalFaults: rapid.Uint64().Draw(t, "total"), GroupTotalFaults: rapid.Uint64().Draw(t, "grouptotal"),
	}
}

func TestVectorProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := &Sets()[rapid.IntRange(0, len(Sets())-1).Draw(t, "set")]
		d := decision(t)
		var v, again Vector
		set.Fill(&v, d)
		n := len(set.Features)
		q, x := make([]int32, n), make([]float32, n)
		set.Unpack(q, &v)
		if err := set.Pack(&again, q); err != nil || again != v {
			t.Fatalf("Pack(Unpack(%v)) = %v, %v", v, again, err)
		}
		set.Floats(x, d)
		for i, f := range set.Features {
			if f.Kind == Binary && q[i] != 0 && q[i] != One {
				t.Fatalf("%s = %d", f.Name, q[i])
			}
			want := min(max(float64(x[i]), math.MinInt32/float64(One)), math.MaxInt32/float64(One))
			if math.Abs(want-ToFloat(q[i])) > 1.0/One+math.Abs(want)/(1<<17) {
				t.Fatalf("%s: fixed %g, float %g", f.Name, ToFloat(q[i]), x[i])
			}
		}
	})
}

func TestPackRefuses(t *testing.T) {
	set, _ := Lookup("paper15")
	var v Vector
	if err := set.Pack(&v, make([]int32, 14)); err == nil {
		t.Error("14 values were taken for 15 features")
	}
	q := make([]int32, 15)
	q[0] = 1 // 1/2048 is not a truth value
	if err := set.Pack(&v, q); err == nil {
		t.Error("a Binary feature of 1/2048 was taken")
	}
}

func TestFillDoesNotAllocate(t *testing.T) {
	set, _ := Lookup("locality17")
	d := &Decision{DstNode: 1, TaskFaults: []uint64{1, 2}, TaskTotalFaults: 3}
	var v Vector
	x := make([]float32, 17)
	if n := testing.AllocsPerRun(100, func() { set.Fill(&v, d); set.Floats(x, d) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkFill(b *testing.B) {
	set, _ := Lookup("locality17")
	d := &Decision{DstNode: 1, SrcLoad: 4321, DstLoad: 1234, SrcLen: 5, TaskFaults: []uint64{1, 2}, TaskTotalFaults: 3}
	var v Vector
	for b.Loop() {
		set.Fill(&v, d)
	}
}
