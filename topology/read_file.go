// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// No kernel writes more than this. They bound what a hostile or broken tree
// can cost.
const (
	maxFile       = 64 << 10 // bytes: a cpulist of every other CPU of MaxCPUs takes 20 KiB
	maxCacheIndex = 64
	maxCacheLevel = 16
	maxPackage    = 1<<31 - 1 // firmware's numbers: sparse and large on arm64
)

// readText returns a file's text without the line end.
func readText(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if len(text) > maxFile {
		return "", fmt.Errorf("%s: longer than %d bytes", name, maxFile)
	}
	return strings.TrimSpace(string(text)), nil
}

func readList(fsys fs.FS, name string) (CPUSet, error) {
	text, err := readText(fsys, name)
	if err != nil {
		return nil, err
	}
	set, err := ParseCPUList(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return set, nil
}

// readOwnList reads a list of CPUs that share something with cpu, which must
// be one of them.
func readOwnList(fsys fs.FS, name string, cpu int) (CPUSet, error) {
	set, err := readList(fsys, name)
	if err == nil && !set.Has(cpu) {
		return nil, fmt.Errorf("%s: %q is without cpu %d itself", name, set, cpu)
	}
	return set, err
}

func readInt(fsys fs.FS, name string, low, high int) (int, error) {
	text, err := readText(fsys, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%s: %q is not a number from %d to %d", name, text, low, high)
	}
	return n, nil
}

// readIDs lists the N of a directory's entries that are named prefixN, in
// ascending order. Other names, such as cpufreq, are not for us.
func readIDs(fsys fs.FS, dir, prefix string, limit int) ([]int, error) {
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, e := range entries {
		digits, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || len(digits) > 1 && digits[0] == '0' {
			continue
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n >= limit {
			return nil, fmt.Errorf("%s/%s is over the limit of %d", dir, e.Name(), limit)
		}
		ids = append(ids, n)
	}
	slices.Sort(ids)
	return ids, nil
}
