// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const schedDebug = "/sys/kernel/debug/sched"

// setting writes a value to each file that matches.
type setting struct{ glob, value string }

// tunings change a guest's scheduler. All act on fields that are recorded with
// each decision, so that no rule depends on knowing them.
var tunings = map[string][]setting{
	// Balance every 1 to 4 ms instead of every 16 to 512 (kernel/sched/topology.c,
	// sd_init: min_interval is the domain's weight in ms): more decisions a second,
	// under the same rule.
	"fast": {
		{"verbose", "Y"},
		{"domains/cpu*/domain*/min_interval", "1"},
		{"domains/cpu*/domain*/max_interval", "4"},
		{"domains/cpu*/domain*/busy_factor", "1"},
	},
	// An emulated CPU does in 5 ms what a real one does in less than 0.5.
	"hot": {{"migration_cost_ns", "5000000"}},
	// Have NUMA hinting faults within seconds.
	"scan": {
		{"numa_balancing/scan_delay_ms", "50"},
		{"numa_balancing/scan_period_min_ms", "50"},
		{"numa_balancing/scan_period_max_ms", "500"},
	},
	// Off by default on 6.12, where buddy_hot is then always 0.
	"buddy": {{"features", "NEXT_BUDDY"}},
}

// tune applies a tuning below root, which is schedDebug but in tests.
func tune(root, name string) error {
	for _, s := range tunings[name] {
		files, err := filepath.Glob(filepath.Join(root, s.glob))
		if err != nil {
			return fmt.Errorf("tuning %s: %w", name, err)
		}
		if len(files) == 0 {
			return fmt.Errorf("tuning %s: no file %s (is debugfs mounted, has the kernel SCHED_DEBUG?)", name, filepath.Join(root, s.glob))
		}
		for _, f := range files {
			if err := write(f, s.value); err != nil {
				return fmt.Errorf("tuning %s: %w", name, err)
			}
		}
	}
	return nil
}

// write writes to a file that exists, in one call.
func write(name, value string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}
