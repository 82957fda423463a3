// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mllb/scx"
	"mllb/topology"
)

// TestSchedExtComes: a sched_ext scheduler is loaded and unloaded while threads are
// held. Beside it nothing is held, and everything is again afterwards.
func TestSchedExtComes(t *testing.T) {
	needGuest(t)
	if testing.Short() {
		t.Skip("-short: to load a scheduler takes a minute beside a load in a guest")
	}
	needCPUs(t, 2)
	topo, err := topology.Read("/")
	if err != nil {
		t.Fatal(err)
	}
	n := 2 * runtime.NumCPU()
	d := startDaemon(t, t.TempDir(), "--mode", "own", "--hold", "busy", "--", "crowd", strconv.Itoa(n), cpus(), "3600", "3600")
	d.expect("started")
	for range 2 {
		d.waitAllHeld(n)
		s, err := scx.Open(scx.Config{Policy: "cfs", Partial: true, Topology: topo, MigrationCost: 500 * time.Microsecond})
		if errors.Is(err, scx.ErrUnsupported) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		whole := ownMaskText()
		eventually(t, "nothing is held beside another scheduler", func() (bool, any) {
			all := masks(slices.Collect(maps.Keys(busy(d.Process.Pid))))
			held := 0
			for _, mask := range all {
				if mask != whole {
					held++
				}
			}
			return len(all) == n && held == 0, all
		})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	d.waitAllHeld(n)
	d.terminate()
	said := d.stderr.String()
	for _, want := range []string{"masks are given back", "balancing again"} {
		if strings.Count(said, want) != 2 {
			t.Errorf("%q is not said twice:\n%s", want, said)
		}
	}
}
