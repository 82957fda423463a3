// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// readNodes reads the NUMA nodes, and gives a function that finds a CPU's nid:
// an error for an online CPU without one, -1 for an offline one.
func readNodes(fsys fs.FS, online CPUSet) (nodeTable, func(cpu int) (int, error), error) {
	ids, err := readIDs(fsys, nodeDir, "node", MaxNodes)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nodeTable{}, nil, err
	}
	if len(ids) == 0 { // CONFIG_NUMA is off
		return uniformNodes(1), func(int) (int, error) { return 0, nil }, nil
	}
	nodes := nodeTable{ids: ids}
	nodeOf := map[int]int{}
	for _, id := range ids {
		dir := path.Join(nodeDir, "node"+strconv.Itoa(id))
		cpus, err := readList(fsys, path.Join(dir, "cpulist"))
		if err != nil {
			return nodeTable{}, nil, err
		}
		for cpu := range cpus.All() {
			if other, ok := nodeOf[cpu]; ok {
				return nodeTable{}, nil, fmt.Errorf("%s: cpu %d is also in node %d", path.Join(dir, "cpulist"), cpu, other)
			}
			nodeOf[cpu] = id
		}
		row, err := readDistances(fsys, path.Join(dir, "distance"), len(ids))
		if err != nil {
			return nodeTable{}, nil, err
		}
		nodes.distance = append(nodes.distance, row)
	}
	return nodes, func(cpu int) (int, error) {
		if id, ok := nodeOf[cpu]; ok {
			return id, nil
		}
		if online.Has(cpu) {
			return -1, fmt.Errorf("%s: cpu %d is online and in no node*/cpulist", nodeDir, cpu)
		}
		return readOfflineNode(fsys, cpu, ids)
	}, nil
}

// readOfflineNode finds the node of a CPU that is not online. No cpulist has
// it then, but while it is present its link to the node stays.
func readOfflineNode(fsys fs.FS, cpu int, ids []int) (int, error) {
	dir := path.Join(cpuDir, "cpu"+strconv.Itoa(cpu))
	links, err := readIDs(fsys, dir, "node", MaxNodes)
	if errors.Is(err, fs.ErrNotExist) {
		return -1, nil // possible, not present
	}
	if err != nil || len(links) == 0 {
		return -1, err
	}
	for _, id := range ids {
		if id == links[0] {
			return id, nil
		}
	}
	return -1, fmt.Errorf("%s: node%d does not exist", dir, links[0])
}

func readDistances(fsys fs.FS, name string, nodes int) ([]int, error) {
	text, err := readText(fsys, name)
	if err != nil {
		return nil, err
	}
	row, err := parseDistances(text, nodes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return row, nil
}

// parseDistances reads a node's distances to all nodes, itself included, in
// the order of their ids. They are bytes in every firmware table (ACPI 6.5,
// 5.2.17 SLIT) and in the kernel's own.
func parseDistances(text string, nodes int) ([]int, error) {
	fields := strings.Fields(text)
	if len(fields) != nodes {
		return nil, fmt.Errorf("%d distances for %d nodes", len(fields), nodes)
	}
	row := make([]int, len(fields))
	for i, f := range fields {
		d, err := strconv.ParseUint(f, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is not a distance from 0 to %d", f, maxDistance)
		}
		row[i] = int(d)
	}
	return row, nil
}
