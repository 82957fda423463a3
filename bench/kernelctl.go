// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kernelControl is the directory of the network in the kernel: KERNEL.md.
type kernelControl string

const kernelDir kernelControl = "/sys/kernel/debug/sched/mllb"

func (k kernelControl) present() bool {
	_, err := os.Stat(filepath.Join(string(k), "mode"))
	return err == nil
}

// mode reads the word in brackets of "off [replace] shadow".
func (k kernelControl) mode() (string, error) {
	path := filepath.Join(string(k), "mode")
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	_, after, open := strings.Cut(string(b), "[")
	mode, _, closed := strings.Cut(after, "]")
	if !open || !closed {
		return "", fmt.Errorf("%s: %q has no word in brackets", path, b)
	}
	return mode, nil
}

func (k kernelControl) set(mode string) error {
	return os.WriteFile(filepath.Join(string(k), "mode"), []byte(mode), 0)
}

func (k kernelControl) counts() (KernelCounts, error) {
	b, err := os.ReadFile(filepath.Join(string(k), "stats"))
	if err != nil {
		return KernelCounts{}, err
	}
	return parseCounts(string(b))
}

// parseCounts reads the line "all" of stats: stay/stay, stay/go, go/stay, go/go,
// -/stay, -/go, outside, and more that is not needed here.
func parseCounts(text string) (c KernelCounts, err error) {
	into := []*uint64{&c.Both[0][0], &c.Both[0][1], &c.Both[1][0], &c.Both[1][1], &c.Alone[0], &c.Alone[1], &c.Outside}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] != "all" {
			continue
		}
		if len(f) < 1+len(into) {
			return c, fmt.Errorf("sched/mllb/stats: %q has %d numbers, want at least %d", line, len(f)-1, len(into))
		}
		for i, n := range into {
			if *n, err = strconv.ParseUint(f[1+i], 10, 64); err != nil {
				return c, fmt.Errorf("sched/mllb/stats: %w", err)
			}
		}
		return c, nil
	}
	return c, fmt.Errorf("sched/mllb/stats has no line \"all\"")
}

// since is what was counted after before.
func (k KernelCounts) since(before KernelCounts) KernelCounts {
	for i := range k.Both {
		for j := range k.Both[i] {
			k.Both[i][j] -= before.Both[i][j]
		}
		k.Alone[i] -= before.Alone[i]
	}
	k.Outside -= before.Outside
	return k
}
