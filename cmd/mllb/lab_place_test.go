// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"mllb/lab"
)

func TestPlaceAbout(t *testing.T) {
	for _, tt := range []struct {
		flags placeFlags
		want  string
	}{
		{placeFlags{HostCPUs: "0,0,1,1"}, "1x2x2; on host CPUs 0,0,1,1"},
		{placeFlags{HostCPUs: "0,0,1,1", Tell: "1x4x1"}, "1x2x2 told as 1x4x1; on host CPUs 0,0,1,1"},
		{placeFlags{Slow: []string{"0=50", "1=50@10s"}}, "1x2x2; limited to 0=50,1=50@10s (% of a host CPU)"},
		{placeFlags{Slow: []string{"0=1", "0=2@1s", "0=3@2s", "0=4@3s", "0=5@4s", "0=6@5s", "0=7@6s", "0=8@7s"}},
			"1x2x2; limited to 0=1,0=2@1s,0=3@2s,0=4@3s,0=5@4s,0=6@5s and 2 more (% of a host CPU)"},
	} {
		if got := tt.flags.about(lab.Shape{Sockets: 1, Caches: 1, Cores: 2, Threads: 2}); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.flags, got, tt.want)
		}
	}
}
