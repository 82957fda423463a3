// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/topology"
)

func TestParseHostCPUs(t *testing.T) {
	allowed := topology.NewCPUSet(0, 1, 7)
	for _, tt := range []struct {
		list string
		n    int
		want []int
		err  string
	}{
		{list: "0", n: 1, want: []int{0}},
		{list: "0,0,1,1", n: 4, want: []int{0, 0, 1, 1}},
		{list: "7,1,0", n: 3, want: []int{7, 1, 0}},
		{list: "0,1", n: 4, err: `"0,1" names 2 host CPUs, the guest has 4`},
		{list: "0,1,", n: 3, err: `"" is not the number of a CPU`},
		{list: "0,-1", n: 2, err: `"-1" is not the number of a CPU`},
		{list: "0, 1", n: 2, err: `" 1" is not the number of a CPU`},
		{list: "0-1", n: 1, err: `"0-1" is not the number of a CPU`},
		{list: "0,2", n: 2, err: `this process may not use host CPU 2, only 0-1,7`},
		{list: "0,99999999999", n: 2, err: `"99999999999" is not the number of a CPU`},
	} {
		got, err := ParseHostCPUs(tt.list, tt.n, allowed)
		if diff := cmp.Diff(tt.want, got); tt.err == "" && (err != nil || diff != "") {
			t.Errorf("%q: %v (-want +got):\n%s", tt.list, err, diff)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q for %d CPUs: %v, want %q", tt.list, tt.n, err, tt.err)
		}
	}
}

func FuzzParseHostCPUs(f *testing.F) {
	f.Add("0,0,1,1", 4)
	f.Add("", 0)
	f.Add("7,,1", 3)
	allowed := topology.NewCPUSet(0, 1, 7)
	f.Fuzz(func(t *testing.T, list string, n int) {
		got, err := ParseHostCPUs(list, n, allowed)
		if err == nil && len(got) != n {
			t.Errorf("%q for %d CPUs: %v", list, n, got)
		}
		for _, cpu := range got {
			if err == nil && !allowed.Has(cpu) {
				t.Errorf("%q: %d is not allowed", list, cpu)
			}
		}
	})
}

func TestCheckTruth(t *testing.T) {
	for _, tt := range []struct {
		truth, host string
		hostCPUs    []int
		err         string
	}{
		{"1x2x2", "1x2x1", []int{0, 0, 1, 1}, ""},
		{"1x2x2", "1x2x2", []int{0, 1, 2, 3}, ""}, // siblings of the host are siblings, too
		{"1x4x1", "1x4x1", []int{3, 0, 2, 1}, ""},
		{"2x1x2", "1x2x1", []int{1, 1, 0, 0}, ""},
		{"1x2x2", "1x2x1", []int{0, 1, 0, 1}, "in 1x2x2, CPUs 0 and 1 share a core; host CPUs 0 and 1 do not"},
		{"1x4x1", "1x2x1", []int{0, 1, 1, 0}, "in 1x4x1, CPUs 1 and 2 do not share a core; host CPUs 1 and 1 do"},
		{"1x2x2", "1x2x2", []int{0, 0, 1, 1}, "in 1x2x2, CPUs 0 and 2 do not share a core; host CPUs 0 and 1 do"},
	} {
		truth, err := ParseShape(tt.truth)
		if err != nil {
			t.Fatal(err)
		}
		host, err := topology.Parse(tt.host)
		if err != nil {
			t.Fatal(err)
		}
		switch err := CheckTruth(truth, tt.hostCPUs, host); {
		case tt.err == "" && err != nil, tt.err != "" && (err == nil || err.Error() != tt.err):
			t.Errorf("%s on %v of %s: %v, want %q", tt.truth, tt.hostCPUs, tt.host, err, tt.err)
		}
	}
}
