// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// asMasks returns a copy in which the sets of CPUs are only in the files that
// hold a mask, as kernels wrote before each had a list.
func (s sysfs) asMasks(t testing.TB, width int) sysfs {
	names := map[string]string{
		"core_cpus_list": "thread_siblings", "package_cpus_list": "core_siblings",
		"shared_cpu_list": "shared_cpu_map", "cpulist": "cpumap",
	}
	r := sysfs{}
	for name, text := range s {
		dir, file := name[:strings.LastIndex(name, "/")+1], name[strings.LastIndex(name, "/")+1:]
		mask, isSet := names[file]
		if !isSet || text == "a link" {
			r[name] = text
			continue
		}
		set, err := ParseCPUList(text)
		if err != nil {
			t.Fatal(err)
		}
		r[dir+mask] = maskText(set, width)
	}
	return r
}

// cpus writes the topology directories of CPUs first to last that have no
// caches, each with these files.
func cpus(first, last int, files sysfs) sysfs {
	s := sysfs{}
	for cpu := first; cpu <= last; cpu++ {
		for name, text := range files {
			s[fmt.Sprintf("cpu/cpu%d/topology/%s", cpu, name)] = strings.ReplaceAll(text, "N", strconv.Itoa(cpu))
		}
	}
	return s
}

func trees(parts ...sysfs) sysfs {
	all := sysfs{}
	for _, s := range parts {
		maps.Copy(all, s)
	}
	return all
}

func present(list string) sysfs {
	return sysfs{"cpu/online": list, "cpu/present": list, "cpu/possible": list}
}

// link is the entry that a CPU has for its node.
func link(cpu, node int) string { return fmt.Sprintf("cpu/cpu%d/node%d/cpulist", cpu, node) }

// level4 is a fourth level of cache, after a gap in the indices.
func level4(cpu int, shared string) sysfs {
	dir := fmt.Sprintf("cpu/cpu%d/cache/index9/", cpu)
	return sysfs{dir + "level": "4", dir + "type": "Unified", dir + "shared_cpu_list": shared}
}

// TestReadMachines reads what kernels and firmware of real machines leave out,
// double or write in their own way. 2x2x2 has the cores 0-1 2-3 | 4-5 6-7.
func TestReadMachines(t *testing.T) {
	whole := sysfsOf(mustParse(t, "2x2x2"))
	const wholeIs = "cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"
	s390 := func(id string) sysfs {
		return trees(present("0-5"), cpus(0, 1, sysfs{"core_siblings_list": "0-1"}), cpus(2, 4, sysfs{"core_siblings_list": "2-4"}),
			cpus(5, 5, sysfs{"core_siblings_list": "5"}), cpus(0, 5, sysfs{"thread_siblings_list": "N", "physical_package_id": id}))
	}
	tests := []struct {
		name string
		tree sysfs
		want string
	}{
		{"masks only (powerpc before 5.9)", whole.asMasks(t, 64), wholeIs},
		{"masks of 2048 possible CPUs", whole.asMasks(t, 2048), wholeIs},
		{"a list wins over its mask", whole.with(sysfs{"cpu/cpu0/cache/index2/shared_cpu_map": "junk", "node/node0/cpumap": ""}), wholeIs},
		{"NUL behind the newline (5.15-rc)", whole.with(sysfs{"node/node0/cpulist": "0-3\n\x00", "node/node1/cpulist": "4-7\n\x00",
			"cpu/cpu0/topology/core_cpus_list": "0-1\n\x00\x00", "cpu/online": "0-7\x00"}), wholeIs},
		{"carriage returns and blanks", whole.with(sysfs{"node/node0/cpulist": " 0-3 \r", "node/node1/distance": "21 10\r",
			"cpu/cpu0/topology/physical_package_id": "0\r", "cpu/cpu0/cache/index2/type": "Unified \r"}), wholeIs},
		{"numa=fake: each CPU in the list of every node made of its own", whole.with(sysfs{
			"node/node2/cpulist": "0-3", "node/node3/cpulist": "4-7", "node/node0/distance": "10 21 10 21", "node/node1/distance": "21 10 21 10",
			"node/node2/distance": "10 21 10 21", "node/node3/distance": "21 10 21 10"}),
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7 2: 3:] offline  direct 21"},
		{"numa=fake, CPUs dealt out", whole.with(sysfs{"node/node0/cpulist": "0-7", "node/node1/cpulist": "0-7",
			link(1, 0): "gone", link(1, 1): "", link(2, 0): "gone", link(2, 1): "", link(6, 1): "gone", link(6, 0): ""}),
			"cores [0 1 2 3 4-5 6 7] llcs [0,3 1-2 4-5,7 6] nodes [0:0,3,6 1:1-2,4-5,7] offline  direct 21"},
		{"a CPU that only its link places", whole.with(sysfs{"node/node0/cpulist": "0-2"}), wholeIs},
		{"a node that is online but has no directory yet", whole.with(sysfs{"node/node0/distance": "10 21 31", "node/node1/distance": "21 10 31"}), wholeIs},
		{"a node between the others that has none yet", whole.with(sysfs{"node/node0/distance": "10 31 21", "node/node1/distance": "21 31 10"}), wholeIs},
		{"the first node without directory", trees(present("4-7"), cpus(4, 7, sysfs{"core_cpus_list": "N"}),
			sysfs{"node/node1/cpulist": "4-7", "node/node1/distance": "21 10"}),
			"cores [4 5 6 7] llcs [4-7] nodes [1:4-7] offline  direct 10"},
		{"no distances", whole.with(sysfs{"node/node0/distance": "gone", "node/node1/distance": ""}),
			strings.Replace(wholeIs, "direct 21", "direct 20", 1)},
		{"a cache shared by nobody (ia64)", whole.with(sysfs{
			"cpu/cpu0/cache/index2/shared_cpu_list": "", "cpu/cpu1/cache/index2/shared_cpu_list": "",
			"cpu/cpu2/cache/index2/shared_cpu_list": "gone", "cpu/cpu2/cache/index2/shared_cpu_map": "00000000",
			"cpu/cpu3/cache/index2/shared_cpu_list": "\x00"}),
			"cores [0-1 2-3 4-5 6-7] llcs [0-1 2-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"a fourth level, out of order", trees(whole, level4(0, "0-1"), level4(1, "0-1"), level4(2, "2-3"), level4(3, "2-3")),
			"cores [0-1 2-3 4-5 6-7] llcs [0-1 2-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"caches that list CPUs which are off line", whole.with(sysfs{"cpu/online": "1-2,5-7", "node/node0/cpulist": "0-3", "node/node1/cpulist": "5-7"}),
			"cores [1 2 5 6-7] llcs [1-2 5-7] nodes [0:1-2 1:5-7] offline 0,3-4 direct 21"},
		{"a cache of two packages in one node", trees(present("0-3"), cpus(0, 1, sysfs{"physical_package_id": "0"}), cpus(2, 3, sysfs{"physical_package_id": "1"}),
			level4(0, "0-3"), level4(1, "0-3"), level4(2, "0-3"), level4(3, "0-3")),
			"cores [0 1 2 3] llcs [0-3] nodes [0:0-3] offline  direct 10"},
		{"SMT on some cores only", trees(present("0-3"), cpus(0, 1, sysfs{"core_cpus_list": "0-1"}), cpus(2, 3, sysfs{"core_cpus_list": "N"})),
			"cores [0-1 2 3] llcs [0-3] nodes [0:0-3] offline  direct 10"},
		{"a sandbox that lists CPUs and nothing else (gVisor)", trees(present("0-2"), sysfs{"cpu/cpu0/x": ""}),
			"cores [0 1 2] llcs [0-2] nodes [0:0-2] offline  direct 10"},
		{"siblings left empty", trees(present("0-1"), cpus(0, 1, sysfs{"core_cpus_list": "", "package_cpus": "0", "physical_package_id": "0"})),
			"cores [0 1] llcs [0-1] nodes [0:0-1] offline  direct 10"},
		{"no cache shared, sockets by list only (s390)", s390("-1"),
			"cores [0 1 2 3 4 5] llcs [0-1 2-4 5] nodes [0:0-5] offline  direct 10"},
		{"ids that are those of a book (s390)", s390("0"),
			"cores [0 1 2 3 4 5] llcs [0-1 2-4 5] nodes [0:0-5] offline  direct 10"},
		{"a socket whose other CPUs are off line (s390)", s390("-1").with(sysfs{"cpu/online": "1,4-5"}),
			"cores [1 4 5] llcs [1 4 5] nodes [0:1,4-5] offline 0,2-3 direct 10"},
		{"packages not known and lists that tell nothing (sparc64)", trees(present("0-3"),
			cpus(0, 3, sysfs{"core_siblings_list": "N", "thread_siblings_list": "N", "physical_package_id": "-1"})),
			"cores [0 1 2 3] llcs [0-3] nodes [0:0-3] offline  direct 10"},
		{"ids and lists that tell nothing more", trees(present("0-3"), cpus(0, 3, sysfs{"core_siblings_list": "N", "thread_siblings_list": "N"}),
			cpus(0, 1, sysfs{"physical_package_id": "0"}), cpus(2, 3, sysfs{"physical_package_id": "1"})),
			"cores [0 1 2 3] llcs [0-1 2-3] nodes [0:0-3] offline  direct 10"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			top, err := readStable(tt.tree.fs())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, summary(top)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkInvariants(t, top)
		})
	}
}

// TestReadNodeUndecided: a CPU in two lists whose link is missing or names a third.
func TestReadNodeUndecided(t *testing.T) {
	whole := sysfsOf(mustParse(t, "3x2x2")).with(sysfs{"node/node1/cpulist": "3-7"})
	if top, err := readStable(whole.fs()); err != nil || top.NodeOf(3) != 0 {
		t.Errorf("cpu 3 with its link: %v", err)
	}
	for name, changes := range map[string]sysfs{
		"without link":                      {link(3, 0): "gone"},
		"with a link to a node that is not": {link(3, 0): "gone", link(3, 7): ""},
		"with a link to a third node":       {link(3, 0): "gone", link(3, 2): ""},
	} {
		_, err := readStable(whole.with(changes).fs())
		if err == nil || !strings.Contains(err.Error(), "node/node1: cpu 3 is also in node 0") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := readStable(whole.with(sysfs{link(3, 0): "gone", "node/node0/cpulist": "0-2", "node/node1/cpulist": "4-7"}).fs())
	if err == nil || !strings.Contains(err.Error(), "cpu 3 is online and in no node") {
		t.Errorf("in no list and without link: %v", err)
	}
}

// TestReadWhileNodeArrives: a contradiction of one moment is read again.
func TestReadWhileNodeArrives(t *testing.T) {
	after := sysfsOf(mustParse(t, "3x1x1"))
	between := after.with(sysfs{"node/node2/cpulist": "gone"}) // its directory is there before its files
	top, err := readStable(&hotplugFS{states: toFS(between, between, after)})
	if err != nil || len(top.Nodes) != 3 {
		t.Errorf("%v, %v", top, err)
	}
	if _, err := readStable(between.fs()); err == nil || !strings.Contains(err.Error(), "node2/cpulist") {
		t.Errorf("a host that stays so: %v", err)
	}
}

// TestReadMasksAny holds the masks against the lists of any machine.
func TestReadMasksAny(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := func(name string, most int) int { return rapid.IntRange(1, most).Draw(rt, name) }
		want := mustParse(t, fmt.Sprintf("%dx%dx%dx%d", n("sockets", 3), n("caches", 2), n("cores", 8), n("threads", 2)))
		width := 32 * ((want.Online.Count()+31)/32 + n("spare", 3) - 1)
		got, err := readStable(sysfsOf(want).asMasks(t, width).fs())
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got, exported); diff != "" {
			rt.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestReadHuge: more CPUs than a word, a line or a screen holds.
func TestReadHuge(t *testing.T) {
	root := t.TempDir()
	tree := trees(present("0-1299"), sysfs{"node/node0/cpumap": maskText(span(0, 700), 8192), "node/node9/cpumap": maskText(span(700, 600), 8192),
		"node/node0/distance": "10 40", "node/node9/distance": "40 10"})
	if err := tree.write(root); err != nil {
		t.Fatal(err)
	}
	top, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if top.String() != "1300 CPUs, 1300 cores, 2 last-level caches, 2 nodes" || top.NodeOf(699) != 0 || top.NodeOf(700) != 9 {
		t.Errorf("%v", top)
	}
	checkInvariants(t, top)
}

// TestReadNodes holds what a snapshot reads against the whole topology.
func TestReadNodes(t *testing.T) {
	root := t.TempDir()
	tree := sysfsOf(mustParse(t, "2x2x2")).with(sysfs{"node/node1/cpulist": "0-7", "cpu/cpu4": "gone"})
	if err := tree.with(sysfs{"node/node0/cpulist": "0-4"}).write(root); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadNodes(root, NewCPUSet(0, 4)); err == nil || !strings.Contains(err.Error(), "cpu 4 is also in node 0") {
		t.Errorf("cpu 4 in two lists, without link: %v", err)
	}
	got, err := ReadNodes(root, NewCPUSet(1, 5))
	if want := []int{-1, 0, -1, -1, -1, 1}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	none := t.TempDir()
	got, err = ReadNodes(none, NewCPUSet(1))
	if want := []int{-1, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("without CONFIG_NUMA: %v, %v; want %v", got, err, want)
	}
}

// FuzzRead writes what it is given into files of a sound tree: it is refused
// with one line that names a file, or what comes of it still nests.
func FuzzRead(f *testing.F) {
	names := slices.Sorted(maps.Keys(sysfsOf(mustParse(f, "2x2x1x2")).with(sysfs{
		"cpu/cpu0/cache/index2/shared_cpu_map": "", "cpu/cpu1/topology/core_siblings": "", "node/node0/cpumap": "",
		"cpu/cpu1/topology/package_cpus_list": "", "node/node2/distance": "", "node/node2/cpulist": "",
	})))
	tree := sysfsOf(mustParse(f, "2x2x1x2"))
	for _, text := range []string{"gone", "0-1\n\x00", "", "10 21 31", "f", "ff,00000000", "0-7:2/4"} {
		f.Add(uint(len(text)), text, uint(2*len(text)), "0-7")
	}
	f.Fuzz(func(t *testing.T, a uint, textA string, b uint, textB string) {
		for _, text := range []string{textA, textB} {
			if set, err := ParseCPUList(text); err == nil && set.Count() > 64 {
				return // a map for a file system takes seconds for thousands of CPUs
			}
		}
		changed := tree.with(sysfs{names[a%uint(len(names))]: textA, names[b%uint(len(names))]: textB})
		top, err := readStable(changed.fs())
		if err != nil {
			if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "sys/devices/system/") {
				t.Errorf("%q is not one line that names a file", err)
			}
			return
		}
		checkInvariants(t, top)
		for cpu := range top.Online.All() {
			if top.NodeOf(cpu) < 0 {
				t.Errorf("cpu %d is on no node", cpu)
			}
		}
	})
}
