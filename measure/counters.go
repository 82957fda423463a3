// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
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
		parse func(*counters, io.Reader) error
	}{
		{"proc/loadavg", (*counters).parseLoad},
		{"proc/stat", (*counters).parseStat},
		{"proc/vmstat", (*counters).parseVMStat},
	} {
		if err := readFile(filepath.Join(root, f.path), func(r io.Reader) error { return f.parse(&c, r) }); err != nil {
			return c, err
		}
	}
	return c, nil
}

// readFile gives an open file to a parser, and its name to the error.
func readFile(path string, parse func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := parse(f); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// parseLoad reads "0.20 0.18 0.12 1/80 11206" (proc_loadavg(5)).
func (c *counters) parseLoad(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, 256))
	if err != nil {
		return err
	}
	fields := strings.Fields(string(text))
	if len(fields) < len(c.load) {
		return fmt.Errorf("%q: want three load averages", text)
	}
	for i := range c.load {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil || !(v >= 0 && v < 1e9) {
			return fmt.Errorf("load average %q is not a number", fields[i])
		}
		c.load[i] = v
	}
	return nil
}

// The columns of "cpu" in /proc/stat (proc_stat(5)).
const (
	statIdle  = 4
	statSteal = 8
)

// parseStat reads the first line, which is the sum over the CPUs.
func (c *counters) parseStat(r io.Reader) error {
	line, err := bufio.NewReader(io.LimitReader(r, 4096)).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the first line: %w", err)
	}
	fields := strings.Fields(line)
	if len(fields) <= statSteal || fields[0] != "cpu" {
		return fmt.Errorf("%q is not the sum over the CPUs", line)
	}
	if c.idle, err = strconv.ParseUint(fields[statIdle], 10, 64); err != nil {
		return fmt.Errorf("idle time: %w", err)
	}
	if c.steal, err = strconv.ParseUint(fields[statSteal], 10, 64); err != nil {
		return fmt.Errorf("steal time: %w", err)
	}
	return nil
}

// parseVMStat reads the counters of NUMA balancing, which are there together
// (mm/vmstat.c, CONFIG_NUMA_BALANCING) or not at all.
func (c *counters) parseVMStat(r io.Reader) error {
	found := 0
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
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
	return lines.Err()
}
