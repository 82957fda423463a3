// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// nodeLists is which CPUs sysfs lists for each NUMA node.
type nodeLists struct {
	ids  []int    // ascending; none without CONFIG_NUMA
	cpus []CPUSet // by index of ids
}

func nodePath(id int) string     { return path.Join(nodeDir, "node"+strconv.Itoa(id)) }
func distancePath(id int) string { return path.Join(nodePath(id), "distance") }

func readNodeLists(fsys fs.FS) (l nodeLists, err error) {
	l.ids, err = readIDs(fsys, nodeDir, "node", MaxNodes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, err
	}
	for _, id := range l.ids {
		cpus, _, err := readSet(fsys, nodePath(id), nodeFiles)
		if err != nil {
			return l, err
		}
		l.cpus = append(l.cpus, cpus)
	}
	return l, nil
}

// nodeOf finds a CPU's nid, or -1: no list has a CPU that is not present. The
// link cpuN/nodeM is what cpu_to_node() says, and decides where the lists do
// not: a CPU that is off line is in none, and with numa=fake a CPU is in those
// of all nodes made of its own (mm/numa_emulation.c, numa_add_cpu, 6.12).
func (l *nodeLists) nodeOf(fsys fs.FS, cpu int) (int, error) {
	if len(l.ids) == 0 { // CONFIG_NUMA is off
		return 0, nil
	}
	var holders []int
	for i, id := range l.ids {
		if l.cpus[i].Has(cpu) {
			holders = append(holders, id)
		}
	}
	if len(holders) == 1 {
		return holders[0], nil
	}
	dir := path.Join(cpuDir, "cpu"+strconv.Itoa(cpu))
	links, err := readIDs(fsys, dir, "node", MaxNodes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return -1, err
	}
	for _, id := range links {
		if slices.Contains(l.ids, id) && (len(holders) == 0 || slices.Contains(holders, id)) {
			return id, nil
		}
	}
	if len(holders) > 0 {
		return -1, fmt.Errorf("%s: cpu %d is also in node %d, and no link %s/node* tells which is its own",
			nodePath(holders[1]), cpu, holders[0], dir)
	}
	return -1, nil
}

// ReadNodes returns the node of each of the CPUs as Read finds it, by CPU id:
// -1 for a CPU that is not asked for, or whose node nothing tells.
func ReadNodes(root string, cpus CPUSet) ([]int, error) {
	fsys := os.DirFS(root)
	lists, err := readNodeLists(fsys)
	if err != nil {
		return nil, fmt.Errorf("read nodes below %s: %w", root, err)
	}
	var nodes []int
	for cpu := range cpus.All() {
		for len(nodes) <= cpu {
			nodes = append(nodes, -1)
		}
		if nodes[cpu], err = lists.nodeOf(fsys, cpu); err != nil {
			return nil, fmt.Errorf("read nodes below %s: %w", root, err)
		}
	}
	return nodes, nil
}

// readNodeTable reads the distances between the nodes. A host that tells none
// has the kernel's defaults.
func readNodeTable(fsys fs.FS, ids []int) (nodeTable, error) {
	if len(ids) == 0 {
		return uniformNodes(1), nil
	}
	t := nodeTable{ids: ids}
	told := 0
	for _, id := range ids {
		row, err := readDistances(fsys, distancePath(id))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		told += len(row)
		t.distance = append(t.distance, row)
	}
	if told == 0 {
		t.distance = uniformDistances(len(ids), unknownDistance)
		return t, nil
	}
	return t, t.dropOthers()
}

// dropOthers drops the distances to nodes that have no directory. The kernel
// writes those to every node that is online, and a node that arrives is online
// before it has a directory (node_read_distance, try_online_node; 6.12). Each
// node's own column is the one that says 10, and they ascend as the ids do.
func (t *nodeTable) dropOthers() error {
	n := len(t.ids)
	var own []int
	next := 0
	for i, row := range t.distance {
		if len(row) != len(t.distance[0]) || len(row) < n {
			return fmt.Errorf("%s: %d distances for %d nodes", distancePath(t.ids[i]), len(row), n)
		}
		at := i - next
		if len(row) > n {
			at = slices.Index(row[next:], localDistance)
		}
		if at < 0 {
			return fmt.Errorf("%s: %d distances for %d nodes, and which are theirs cannot be told", distancePath(t.ids[i]), len(row), n)
		}
		own = append(own, next+at)
		next += at + 1
	}
	for i, row := range t.distance {
		t.distance[i] = make([]int, n)
		for j, column := range own {
			t.distance[i][j] = row[column]
		}
	}
	return nil
}

func readDistances(fsys fs.FS, name string) ([]int, error) {
	text, err := readText(fsys, name)
	if err != nil {
		return nil, err
	}
	row, err := parseDistances(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return row, nil
}

// parseDistances reads a node's distances to all nodes, itself included, in
// the order of their ids. They are bytes in every firmware table (ACPI 6.5,
// 5.2.17 SLIT) and in the kernel's own.
func parseDistances(text string) ([]int, error) {
	var row []int
	for f := range strings.FieldsSeq(text) {
		d, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%.60q is not a distance from 0 to %d", f, maxDistance)
		}
		row = append(row, int(d))
	}
	return row, nil
}
