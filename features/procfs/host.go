// SPDX-License-Identifier: Apache-2.0

package procfs

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/internal/cgroup"
	"mllb/topology"
)

const (
	debugFile     = "/sys/kernel/debug/sched/debug"
	costFile      = "/sys/kernel/debug/sched/migration_cost_ns"
	balancingFile = "/proc/sys/kernel/numa_balancing"
	onlineFile    = "/sys/devices/system/cpu/online"
	possibleFile  = "/sys/devices/system/cpu/possible"

	// defaultCost is sysctl_sched_migration_cost where nobody changed it.
	defaultCost = 500_000
)

// readHost fills what concerns no single thread. Nothing here is fatal: what
// cannot be read is put down as missing and replaced.
func (r *Reader) readHost(s *features.Snapshot) {
	s.MigrationCost = r.readCost()
	// Absent without CONFIG_NUMA_BALANCING, so absent is off and not missing.
	v, err := r.number(balancingFile)
	if err != nil && !vanished(err) {
		r.miss("whether NUMA balancing is on", "off", err)
	}
	s.NUMABalancing = err == nil && v != 0 // 2 is memory tiering, for which the static key is on too

	r.readOnline()
	if r.noNodes != nil {
		r.miss("the nodes of CPUs", "none", r.noNodes)
	}
	r.blocks = r.blocks[:0]
	b, err := r.file(debugFile)
	if err == nil {
		if r.blocks, err = parseDebug(b, r.blocks); err != nil {
			err = fmt.Errorf("%s%s: %w", r.root, debugFile, err)
			r.blocks = r.blocks[:0]
			r.fail(err)
		}
	}
	if err != nil {
		r.miss("the runqueues", "counted from the threads", err)
	}
}

func (r *Reader) readCost() int64 {
	v, err := r.number(costFile)
	if err != nil {
		r.miss("the migration cost", "500000 ns", err)
		return defaultCost
	}
	// The kernel compares the unsigned int with -1 (task_hot).
	if v == math.MaxUint32 {
		return -1
	}
	return int64(v)
}

// readOnline fills r.online, which is empty if the online CPUs cannot be told.
func (r *Reader) readOnline() {
	b, err := r.file(onlineFile)
	if err == nil && string(b) == r.onlineText {
		return
	}
	r.online, r.onlineText = nil, ""
	if err == nil {
		if r.online, err = topology.ParseCPUList(string(b)); err != nil {
			err = fmt.Errorf("%s%s: line 1: %w", r.root, onlineFile, err)
			r.fail(err)
		}
	}
	if err != nil {
		r.miss("the online CPUs", "those of the runqueues", err)
		return
	}
	r.onlineText = string(b)
	r.readNodes() // a CPU that comes online may bring its node along
}

// readPossible returns the greatest possible CPU plus 1, so that snapshots of
// both backends have as many runqueues. It does not change while the host is up.
func (r *Reader) readPossible() int {
	n := 0
	if b, err := r.file(possibleFile); err == nil {
		set, err := topology.ParseCPUList(string(b))
		if err != nil {
			r.fail(fmt.Errorf("%s%s: line 1: %w", r.root, possibleFile, err))
		}
		for cpu := range set.All() {
			n = cpu + 1
		}
	}
	return n
}

// readNodes fills r.node, the node of each CPU.
func (r *Reader) readNodes() {
	r.node, r.noNodes = topology.ReadNodes(r.root+"/", r.online)
	if r.noNodes != nil {
		r.fail(r.noNodes)
	}
}

// nodeOf returns a CPU's node, -1 where sysfs does not tell.
func (r *Reader) nodeOf(cpu int32) int32 {
	if int(cpu) < len(r.node) {
		return int32(r.node[cpu])
	}
	return -1
}

// findMounts finds where the hierarchy of Snapshot.Cgroup is mounted.
func (r *Reader) findMounts(hierarchy int) {
	r.hierarchy = hierarchy
	mounts, err := cgroup.Mounts(r.root + "/")
	for _, m := range mounts {
		if m.Hierarchy == hierarchy {
			r.mounts = append(r.mounts, m)
		}
	}
	if err == nil && len(r.mounts) == 0 {
		err = fmt.Errorf("hierarchy %d: %w", hierarchy, cgroup.ErrNotMounted)
	}
	if err != nil {
		r.noCgroups = err
	}
}

// inodeOf returns the inode of the cgroup that /proc/PID/cgroup calls path, 0 if
// it cannot be told: removed ("/x (deleted)"), or outside the namespace.
func (r *Reader) inodeOf(path []byte) uint64 {
	// Cgroups are few and threads many. The cache lasts for one snapshot: a
	// cgroup that is removed and made again has the same name.
	if ino, ok := r.inodes[string(path)]; ok {
		return ino
	}
	var ino uint64
	for i := range r.mounts {
		dir, shown := r.mounts[i].Dir(string(path))
		if !shown {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(dir, &st) == nil {
			ino = st.Ino
			break
		}
	}
	r.inodes[string(path)] = ino
	return ino
}
