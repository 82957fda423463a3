// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
)

const (
	cpuDir  = "sys/devices/system/cpu"
	nodeDir = "sys/devices/system/node"
)

// readAttempts bounds how often a host is read again because CPUs went on or
// off line meanwhile.
const readAttempts = 4

// Read reads the topology of the host whose /sys is below root: "/" for this
// one, a fixture's directory in tests. Files are those of
// Documentation/ABI/stable/sysfs-devices-system-cpu and -node. What is missing
// on kernels and machines that are sound is made up for (no NUMA: one node 0;
// no caches described: the package; no siblings: a core of its own; no
// distances: the kernel's own defaults; nothing left out). What contradicts itself or makes no
// sense is an error that names the file.
//
// prometheus/procfs/sysfs is not used: of all this it reads one directory, as
// strings, and no caches, nodes or distances.
func Read(root string) (*Topology, error) {
	t, err := readStable(os.DirFS(root))
	if err != nil {
		return nil, fmt.Errorf("read topology below %s: %w", root, err)
	}
	return t, nil
}

// readStable reads until no CPU went on or off line while it did, and until it
// makes sense: sysfs has no way to read it all at once, and half of one moment
// contradicts the next, as the distances of a node that arrives do.
func readStable(fsys fs.FS) (*Topology, error) {
	var failed error
	for range readAttempts {
		online, err := readList(fsys, path.Join(cpuDir, "online"))
		if err != nil {
			return nil, err
		}
		t, err := readOnce(fsys, online)
		now, nowErr := readList(fsys, path.Join(cpuDir, "online"))
		if nowErr != nil {
			return nil, nowErr
		}
		if !now.Equal(online) {
			err = errors.New("CPUs go on and off line faster than they can be read")
		}
		if err == nil {
			return t, nil
		}
		failed = err
	}
	return nil, failed
}

func readOnce(fsys fs.FS, online CPUSet) (*Topology, error) {
	if online.Empty() {
		return nil, fmt.Errorf("%s: no CPU is online", path.Join(cpuDir, "online"))
	}
	all, err := readAll(fsys, online)
	if err != nil {
		return nil, err
	}
	lists, err := readNodeLists(fsys)
	if err != nil {
		return nil, err
	}
	nodes, err := readNodeTable(fsys, lists.ids)
	if err != nil {
		return nil, err
	}
	var sites []site
	for cpu := range all.All() {
		s := site{cpu: cpu}
		if online.Has(cpu) {
			s, err = readCPU(fsys, cpu)
		}
		if err == nil {
			s.node, err = lists.nodeOf(fsys, cpu)
		}
		if err == nil && s.online && s.node < 0 {
			err = fmt.Errorf("%s: cpu %d is online and in no node*/cpulist", nodeDir, cpu)
		}
		if err != nil {
			return nil, err
		}
		sites = append(sites, s)
	}
	out, err := confirmLeftOut(fsys, online)
	if err != nil {
		return nil, err
	}
	return build(sites, nodes, out), nil
}

// readAll reads which CPUs there are or may be.
func readAll(fsys fs.FS, online CPUSet) (CPUSet, error) {
	var all CPUSet
	for _, name := range []string{"present", "possible"} {
		set, err := readList(fsys, path.Join(cpuDir, name))
		if err != nil {
			return nil, err
		}
		all = all.Or(set)
	}
	if !online.SubsetOf(all) {
		return nil, fmt.Errorf("%s: %v is not within present or possible %v", path.Join(cpuDir, "online"), online, all)
	}
	return all, nil
}

// readCPU reads what sysfs says of an online CPU, but its node.
func readCPU(fsys fs.FS, cpu int) (s site, err error) {
	s = site{cpu: cpu, online: true}
	dir := path.Join(cpuDir, "cpu"+strconv.Itoa(cpu))
	if s.siblings, err = readShared(fsys, path.Join(dir, "topology"), coreFiles, cpu); err != nil {
		return s, err
	}
	s.siblings.Add(cpu)
	if s.pkgCPUs, err = readShared(fsys, path.Join(dir, "topology"), packageFiles, cpu); err != nil {
		return s, err
	}
	// -1 is what architectures say that know no packages.
	s.pkg, err = readInt(fsys, path.Join(dir, "topology/physical_package_id"), -1, maxPackage)
	if errors.Is(err, fs.ErrNotExist) {
		s.pkg, err = -1, nil
	}
	if err != nil {
		return s, err
	}
	s.cache, err = readLastCache(fsys, path.Join(dir, "cache"), cpu)
	return s, err
}

// readLastCache reads which CPUs share a CPU's highest cache that holds data;
// the empty set where no cache is described.
func readLastCache(fsys fs.FS, dir string, cpu int) (CPUSet, error) {
	indices, err := readIDs(fsys, dir, "index", maxCacheIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var last CPUSet
	lastLevel := 0
	for _, i := range indices {
		level, shared, err := readCache(fsys, path.Join(dir, "index"+strconv.Itoa(i)), cpu)
		if errors.Is(err, fs.ErrNotExist) {
			// A leaf hides what firmware did not tell of it
			// (drivers/base/cacheinfo.c, cache_default_attrs_is_visible).
			continue
		}
		if err != nil {
			return nil, err
		}
		if level > lastLevel && !shared.Empty() {
			last, lastLevel = shared, level
		}
	}
	return last, err
}

// readCache reads one cache: its level, or 0 if it is for instructions only,
// and the CPUs that share it, none where that is hidden or empty (ia64).
func readCache(fsys fs.FS, dir string, cpu int) (level int, shared CPUSet, err error) {
	kind, err := readText(fsys, path.Join(dir, "type"))
	if err != nil {
		return 0, nil, err
	}
	switch kind {
	case "Data", "Unified":
	case "Instruction":
		return 0, nil, nil
	default:
		return 0, nil, fmt.Errorf("%s: unknown type %q", path.Join(dir, "type"), kind)
	}
	if level, err = readInt(fsys, path.Join(dir, "level"), 1, maxCacheLevel); err != nil {
		return 0, nil, err
	}
	shared, err = readShared(fsys, dir, cacheFiles, cpu)
	return level, shared, err
}
