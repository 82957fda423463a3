// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
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
	return strings.Trim(string(text), padding), nil
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

// The files that hold a set of CPUs, the one to read first. Each set is there
// as a list and as a mask, but kernels have written masks for longer: the list
// of a cache on powerpc came in 5.9 (a87a77cb947c). core_cpus and package_cpus
// came in 5.3 as new names of thread_siblings and core_siblings.
var (
	coreFiles    = []string{"core_cpus_list", "core_cpus", "thread_siblings_list", "thread_siblings"}
	packageFiles = []string{"package_cpus_list", "package_cpus", "core_siblings_list", "core_siblings"}
	cacheFiles   = []string{"shared_cpu_list", "shared_cpu_map"}
	nodeFiles    = []string{"cpulist", "cpumap"}
)

// readSet reads the first of the files that dir has. The error wraps
// fs.ErrNotExist and names the first file where dir has none.
func readSet(fsys fs.FS, dir string, files []string) (set CPUSet, name string, err error) {
	for _, file := range files {
		var text string
		name = path.Join(dir, file)
		text, err = readText(fsys, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, name, err
		}
		if strings.HasSuffix(file, "list") {
			set, err = ParseCPUList(text)
		} else {
			set, err = ParseCPUMask([]byte(text), nil)
		}
		if err != nil {
			return nil, name, fmt.Errorf("%s: %w", name, err)
		}
		return set, name, nil
	}
	return nil, name, fmt.Errorf("%s: %w", path.Join(dir, files[0]), fs.ErrNotExist)
}

// readShared reads which CPUs share something with cpu, which must be one of
// them. The set is empty where nothing is said of it: no file, or an empty one.
func readShared(fsys fs.FS, dir string, files []string, cpu int) (CPUSet, error) {
	set, name, err := readSet(fsys, dir, files)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !set.Empty() && !set.Has(cpu) {
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
