// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mllb/features/bpf"
)

// changing is threads that go to sleep and wake up, $0 that only sleep, and some that
// are busy: many to read, and queues that change between any two ticks.
const changing = `restless 8 & exec mass "$0" 3600`

// TestMaxCPU runs mllbd with a limit and without one, beside a load that would have it
// take more than that: only the first leaves ticks out.
// What both took is logged and no verdict; that a limit is kept is shown by TestCPUBudget
// of scheduler, where CPU time is simulated.
func TestMaxCPU(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: takes half a minute")
	}
	if inGuest {
		t.Skip("where everything is emulated a tick costs more than ten seconds earn, and then one is made each ten seconds")
	}
	needCPUs(t, 2)
	sleepers := "4000"
	if r, err := bpf.Open(bpf.Options{}); err != nil {
		// From /proc so many cost more than ten seconds earn, as in a guest.
		t.Log("fewer threads that sleep:", err)
		sleepers = "300"
	} else {
		r.Close()
	}
	for _, tt := range []struct {
		name      string
		flags     []string
		throttled bool
	}{
		{"a fifth of the default", []string{"--max-cpu", "0.2"}, true},
		{"without a limit", []string{"--max-cpu", "0"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state, report := t.TempDir(), filepath.Join(t.TempDir(), "report")
			l := startLoad(t, "sh", "-c", changing, sleepers)
			d := startProgram(t, state, append([]string{"mllbd", "run", "--state-dir", state, "--report", report, "--cgroup", l.dir}, tt.flags...)...)
			l.waitHeld(t, ownMaskText(), nil)
			time.Sleep(10 * time.Second)
			_ = d.Process.Signal(unix.SIGTERM)
			d.end()
			r := readReport(t, report)
			t.Logf("%v of CPU time in %v; %d full ticks, %d throttled\n%s", r.used, r.up, r.full, r.throttled, d.stderr.String())
			if r.full == 0 || (r.throttled > 0) != tt.throttled {
				t.Errorf("%d full ticks, %d throttled; throttled should be %t", r.full, r.throttled, tt.throttled)
			}
		})
	}
}
