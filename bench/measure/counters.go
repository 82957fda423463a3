// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mllb/internal/procfile"
)

// tick is the unit of times in /proc: USER_HZ is 100 on every architecture that
// Go knows.
const tick = 10 * time.Millisecond

// counters are the machine's own, since boot.
type counters struct {
	load        [3]float64
	idle, steal uint64 // ticks, summed over the CPUs

	numa                                       bool
	hintFaults, hintFaultsLocal, pagesMigrated uint64
}

func readCounters(root string) (c counters, err error) {
	for _, f := range []struct {
		path  string
		parse func(*counters, []byte) error
	}{
		{"proc/loadavg", (*counters).parseLoad},
		{"proc/stat", (*counters).parseStat},
		{"proc/vmstat", (*counters).parseVMStat},
	} {
		path := filepath.Join(root, f.path)
		text, err := os.ReadFile(path)
		if err != nil {
			return c, err
		}
		if err := f.parse(&c, text); err != nil {
			return c, fmt.Errorf("%s: %w", path, err)
		}
	}
	return c, nil
}

func (c *counters) parseLoad(text []byte) (err error) {
	c.load, err = procfile.ParseLoad(text)
	return err
}

func (c *counters) parseStat(text []byte) error {
	t, err := procfile.ParseCPUTime(text)
	c.idle, c.steal = t.Idle, t.Steal
	return err
}

// parseVMStat reads the counters of NUMA balancing, which are there together
// (mm/vmstat.c, CONFIG_NUMA_BALANCING) or not at all.
func (c *counters) parseVMStat(text []byte) error {
	found := 0
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		var to *uint64
		switch name {
		case "numa_hint_faults":
			to = &c.hintFaults
		case "numa_hint_faults_local":
			to = &c.hintFaultsLocal
		case "numa_pages_migrated":
			to = &c.pagesMigrated
		default:
			continue
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*to = n
		found++
	}
	if found != 0 && found != 3 {
		return fmt.Errorf("%d of the 3 counters of NUMA balancing", found)
	}
	c.numa = found == 3
	return nil
}
