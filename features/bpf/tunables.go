// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// defaultMigrationCost is sysctl_sched_migration_cost where debugfs does not
// tell (kernel/sched/fair.c, 6.1 to 7.2).
const defaultMigrationCost = 500_000

// refreshNS is how long what was read of the tunables stays good.
const refreshNS = int64(time.Second)

// tunables follows two settings of the scheduler that decisions depend on.
type tunables struct {
	numaPath, costPath string
	next               int64 // CLOCK_MONOTONIC of the next reading

	numaBalancing bool
	migrationCost int64
	costErr       error // why migrationCost is the default, or nil
}

func newTunables(root string) *tunables {
	return &tunables{
		numaPath: filepath.Join(root, "proc/sys/kernel/numa_balancing"),
		costPath: filepath.Join(root, "sys/kernel/debug/sched/migration_cost_ns"),
	}
}

// refresh reads the files again if the last reading is too old. They are
// opened anew: debugfs files of numbers cannot be read twice (ESPIPE).
func (t *tunables) refresh(now int64) error {
	if now < t.next {
		return nil
	}
	t.next = now + refreshNS
	text, err := os.ReadFile(t.numaPath)
	switch {
	case errors.Is(err, fs.ErrNotExist): // CONFIG_NUMA_BALANCING is off
		t.numaBalancing = false
	case err != nil:
		return err
	default:
		mode, err := parseTunable(t.numaPath, text)
		if err != nil {
			return err
		}
		t.numaBalancing = mode != 0 // any mode enables sched_numa_balancing (kernel/sched/core.c, 6.12)
	}
	// debugfs may be unmounted, or closed by lockdown(7): then the default has to do.
	if text, t.costErr = os.ReadFile(t.costPath); t.costErr != nil {
		t.migrationCost = defaultMigrationCost
		return nil
	}
	cost, err := parseTunable(t.costPath, text)
	if err != nil {
		return err
	}
	t.migrationCost = int64(int32(cost)) // shown unsigned; -1 means always hot
	return nil
}

// parseTunable reads the one unsigned number of a sysctl or debugfs file.
func parseTunable(name string, text []byte) (uint32, error) {
	v, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read %s: %q is not a number of 32 bits", name, text)
	}
	return uint32(v), nil
}
