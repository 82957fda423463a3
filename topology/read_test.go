// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// sysfs is the content of a host's /sys, by path below cpuDir's parent.
type sysfs map[string]string

func (s sysfs) fs() fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range s {
		m["sys/devices/system/"+name] = &fstest.MapFile{Data: []byte(text + "\n"), Mode: 0o644}
	}
	return m
}

// write puts the tree below root.
func (s sysfs) write(root string) error { return os.CopyFS(root, s.fs()) }

func toFS(states ...sysfs) (all []fs.FS) {
	for _, s := range states {
		all = append(all, s.fs())
	}
	return all
}

// with returns a copy in which files are replaced, or, where the text is
// "gone", taken away with all below them.
func (s sysfs) with(changes sysfs) sysfs {
	r := maps.Clone(s)
	for name, text := range changes {
		if text == "gone" {
			maps.DeleteFunc(r, func(k, _ string) bool { return k == name || strings.HasPrefix(k, name+"/") })
		} else {
			r[name] = text
		}
	}
	return r
}

// sysfsOf writes the tree that a kernel with this topology would show.
func sysfsOf(top *Topology) sysfs {
	s := sysfs{"cpu/online": top.Online.String(), "cpu/cpufreq/boost": "1", "node/has_cpu": "0"}
	s["cpu/possible"] = top.Online.Or(top.Offline).String()
	s["cpu/present"] = s["cpu/possible"]
	for _, c := range top.CPUs {
		dir := fmt.Sprintf("cpu/cpu%d/", c.ID)
		if c.Node >= 0 {
			s[dir+fmt.Sprintf("node%d/cpulist", c.Node)] = "a link"
		}
		if !c.Online {
			continue
		}
		s[dir+"topology/core_cpus_list"] = top.Cores[c.Core].String()
		s[dir+"topology/physical_package_id"] = fmt.Sprint(c.Package)
		for i, cache := range []struct{ level, kind, shared string }{
			{"1", "Data", top.Cores[c.Core].String()},
			{"1", "Instruction", top.Cores[c.Core].String()},
			{"3", "Unified", top.LLCs[c.LLC].String()},
			{"2", "Unified", top.Cores[c.Core].String()},
		} {
			index := dir + fmt.Sprintf("cache/index%d/", i)
			s[index+"level"], s[index+"type"], s[index+"shared_cpu_list"] = cache.level, cache.kind, cache.shared
		}
	}
	for i, n := range top.Nodes {
		s[fmt.Sprintf("node/node%d/cpulist", n.ID)] = n.CPUs.String()
		s[fmt.Sprintf("node/node%d/distance", n.ID)] = strings.Trim(fmt.Sprint(top.Distances[i]), "[]")
	}
	return s
}

func mustParse(t testing.TB, desc string) *Topology {
	t.Helper()
	top, err := Parse(desc)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

var exported = cmp.Options{cmpopts.IgnoreUnexported(Topology{}), cmpopts.EquateEmpty()}

// TestReadGivesBackParsed writes a described machine to /sys and reads it.
func TestReadGivesBackParsed(t *testing.T) {
	for _, desc := range []string{"1x1x1", "2x2x2x2"} {
		want := mustParse(t, desc)
		root := t.TempDir()
		if err := sysfsOf(want).write(root); err != nil {
			t.Fatal(err)
		}
		got, err := Read(root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, exported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", desc, diff)
		}
		checkInvariants(t, got)
	}
}

func TestReadGivesBackAny(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string, most int) int { return rapid.IntRange(1, most).Draw(t, name) }
		desc := fmt.Sprintf("%dx%dx%dx%d", n("sockets", 4), n("caches", 3), n("cores", 4), n("threads", 3))
		want, err := Parse(desc)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readStable(sysfsOf(want).fs())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, exported); diff != "" {
			t.Errorf("%s (-want +got):\n%s", desc, diff)
		}
	})
}

func TestReadThisHost(t *testing.T) {
	if _, err := os.Stat("/" + cpuDir); err != nil {
		t.Skipf("no sysfs here: %v", err)
	}
	top, err := Read("/")
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, top)
}

// summary is what the odd-host tests compare: enough to see what became of
// each CPU, short enough to write by hand.
func summary(top *Topology) string {
	var nodes []string
	for _, n := range top.Nodes {
		nodes = append(nodes, fmt.Sprintf("%d:%v", n.ID, n.CPUs))
	}
	return fmt.Sprintf("cores %v llcs %v nodes %v offline %v %v %d", top.Cores, top.LLCs, nodes, top.Offline,
		top.NUMA.Type, top.NUMA.MaxDistance)
}

// TestReadOddHosts starts from 2x2x2, whose cores are 0-1 2-3 | 4-5 6-7.
func TestReadOddHosts(t *testing.T) {
	tests := []struct {
		name    string
		changes sysfs
		want    string
	}{
		{"as it is", nil,
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"kernel before 5.3", sysfs{"cpu/cpu0/topology/core_cpus_list": "gone", "cpu/cpu0/topology/thread_siblings_list": "0-1"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"cpu 3 off line", sysfs{"cpu/online": "0-2,4-7", "cpu/cpu3/topology": "gone", "cpu/cpu3/cache": "gone",
			"node/node0/cpulist": "0-2", "cpu/cpu2/topology/core_cpus_list": "2"},
			"cores [0-1 2 4-5 6-7] llcs [0-2 4-7] nodes [0:0-2 1:4-7] offline 3 direct 21"},
		{"cpus 4-7 unplugged, 8 to come", sysfs{"cpu/online": "0-3", "cpu/present": "0-3", "cpu/possible": "0-8",
			"cpu/cpu4": "gone", "cpu/cpu5": "gone", "cpu/cpu6": "gone", "cpu/cpu7": "gone", "node/node1/cpulist": ""},
			"cores [0-1 2-3] llcs [0-3] nodes [0:0-3 1:] offline 4-8 direct 10"},
		{"virtual, no caches", sysfs{"cpu/cpu0/cache": "gone", "cpu/cpu1/cache": "gone", "cpu/cpu2/cache": "gone", "cpu/cpu3/cache": "gone"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"caches not told apart", sysfs{"cpu/cpu4/cache/index2/level": "gone", "cpu/cpu5/cache/index2/type": "gone",
			"cpu/cpu6/cache/index2/shared_cpu_list": "gone", "cpu/cpu7/cache/index2": "gone"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-5 6-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"no NUMA", sysfs{"node": "gone"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-7] offline  direct 10"},
		{"memory-only node", sysfs{"node/node2/cpulist": "", "node/node0/distance": "10 21 80",
			"node/node1/distance": "21 10 80", "node/node2/distance": "80 80 10"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7 2:] offline  direct 21"},
		{"nodes 0 and 8", sysfs{"node/node1": "gone", "node/node8/cpulist": "4-7", "node/node8/distance": "40 10",
			"node/node0/distance": "10 40"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 8:4-7] offline  direct 40"},
		{"node 1 holds the low CPUs", sysfs{"node/node1/cpulist": "0-3", "node/node0/cpulist": "4-7"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:4-7 1:0-3] offline  direct 21"},
		{"cache spans nodes", sysfs{"cpu/cpu3/cache/index2/shared_cpu_list": "0-7", "cpu/cpu4/cache/index2/shared_cpu_list": "0-7"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"core spans caches", sysfs{"cpu/cpu3/topology/core_cpus_list": "3-4", "cpu/cpu4/topology/core_cpus_list": "3-4"},
			"cores [0-1 2 3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
		{"package not known", sysfs{"cpu/cpu0/topology/physical_package_id": "-1"},
			"cores [0-1 2-3 4-5 6-7] llcs [0-3 4-7] nodes [0:0-3 1:4-7] offline  direct 21"},
	}
	for _, tt := range tests {
		top, err := readStable(sysfsOf(mustParse(t, "2x2x2")).with(tt.changes).fs())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if diff := cmp.Diff(tt.want, summary(top)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		checkInvariants(t, top)
	}
}

func TestReadOfflineNode(t *testing.T) {
	tree := sysfsOf(mustParse(t, "2x1x2")).with(sysfs{"cpu/online": "0-2", "cpu/possible": "0-5", "node/node1/cpulist": "2",
		"cpu/cpu2/topology/core_cpus_list": "2", link(5, 7): ""}) // no node 7
	top, err := readStable(tree.fs())
	if err != nil {
		t.Fatal(err)
	}
	want := []CPU{{3, false, -1, -1, 1, -1}, {4, false, -1, -1, -1, -1}, {5, false, -1, -1, -1, -1}}
	if diff := cmp.Diff(want, top.CPUs[3:]); diff != "" {
		t.Errorf("offline CPUs (-want +got):\n%s", diff)
	}
}

// TestReadRefuses checks that nonsense is an error that names the file.
func TestReadRefuses(t *testing.T) {
	tests := []struct{ file, text, want string }{
		{"cpu/online", "gone", "file does not exist"},
		{"cpu/online", "", "no CPU is online"},
		{"cpu/online", "0-7,x", `"x" is not a cpu number`},
		{"cpu/online", "0-9", "not within present"},
		{"cpu/online", strings.Repeat(" ", 1<<17), "longer than 65536 bytes"},
		{"cpu/present", "gone", "file does not exist"},
		{"cpu/possible", "0-99999", "over the limit of 8192"},
		{"cpu/cpu1/topology/core_cpus_list", "0", "without cpu 1 itself"},
		{"cpu/cpu1/topology/core_cpus_list", "1-0", "runs backwards"},
		{"cpu/cpu1/topology/physical_package_id", "one", "not a number from -1"},
		{"cpu/cpu1/topology/physical_package_id", "-2", "not a number from -1"},
		{"cpu/cpu1/cache/index2/level", "0", "not a number from 1 to 16"},
		{"cpu/cpu1/cache/index2/level", "99", "not a number from 1 to 16"},
		{"cpu/cpu1/cache/index2/type", "Holy", `unknown type "Holy"`},
		{"cpu/cpu1/topology/package_cpus_list", "0", "without cpu 1 itself"},
		{"cpu/cpu1/cache/index2/shared_cpu_list", "0,2-3", "without cpu 1 itself"},
		{"cpu/cpu1/cache/index64/level", "1", "over the limit of 64"},
		{"node/node1/cpulist", "gone", "file does not exist"},
		{"node/node1/distance", "gone", "0 distances for 2 nodes"},
		{"node/node1/distance", "", "0 distances for 2 nodes"},
		{"node/node1/distance", "21", "1 distances for 2 nodes"},
		{"node/node1/distance", "21 10 21", "3 distances for 2 nodes"},
		{"node/node1/distance", "21 256", `"256" is not a distance`},
		{"node/node1/distance", "21 -1", `"-1" is not a distance`},
		{"node/node1024/cpulist", "", "over the limit of 1024"},
		{"node/node99999999999999999999/cpulist", "", "over the limit of 1024"},
	}
	for _, tt := range tests {
		_, err := readStable(sysfsOf(mustParse(t, "2x2x2")).with(sysfs{tt.file: tt.text}).fs())
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s = %.20q: %v, want one line with %q", tt.file, tt.text, err, tt.want)
		} else if !strings.Contains(err.Error(), path.Dir(tt.file)) && !strings.Contains(tt.want, "/system/") {
			t.Errorf("%s = %.20q: %v does not name the file", tt.file, tt.text, err)
		}
	}
	if _, err := Read(t.TempDir()); err == nil || !strings.Contains(err.Error(), "cpu/online") {
		t.Errorf("an empty root: %v", err)
	}
}

// TestReadDamaged damages each file of a sound tree in turn: it is refused, or
// what comes of it still nests.
func TestReadDamaged(t *testing.T) {
	tree := sysfsOf(mustParse(t, "2x2x1x2"))
	texts := []string{"gone", "", "0", "0-7", "0-3", "2-9", "4,6", "10 21", "21 10", "-1", "8", "Data", "x", "99999"}
	read, refused := 0, 0
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		for _, text := range texts {
			top, err := readStable(tree.with(sysfs{name: text}).fs())
			if err != nil {
				refused++
				continue
			}
			read++
			checkInvariants(t, top)
		}
	}
	if read < 100 || refused < 100 {
		t.Errorf("%d trees read and %d refused: the test says little", read, refused)
	}
	t.Logf("%d trees read, %d refused", read, refused)
}

// hotplugFS is a host that becomes the next state whenever cpu/online is read.
// The last state stays.
type hotplugFS struct{ states []fs.FS }

func (h *hotplugFS) Open(name string) (fs.File, error) {
	state := h.states[0]
	if name == cpuDir+"/online" && len(h.states) > 1 {
		h.states = h.states[1:]
	}
	return state.Open(name)
}

func TestReadDuringHotplug(t *testing.T) {
	whole := sysfsOf(mustParse(t, "2x2x2"))
	less := whole.with(sysfs{"cpu/online": "0-2,4-7", "cpu/cpu3/topology": "gone", "node/node0/cpulist": "0-2",
		"cpu/cpu2/topology/core_cpus_list": "2"})
	top, err := readStable(&hotplugFS{states: []fs.FS{whole.fs(), less.fs()}})
	if err != nil || top.Online.String() != "0-2,4-7" {
		t.Errorf("one CPU goes: %v, %v", top, err)
	}
	var restless []fs.FS
	for range readAttempts {
		restless = append(restless, whole.fs(), less.fs())
	}
	if _, err := readStable(&hotplugFS{states: restless}); err == nil {
		t.Error("a host that never rests was read")
	}
}

func FuzzParseDistances(f *testing.F) {
	f.Add("10 21")
	f.Add("")
	f.Add("256")
	f.Fuzz(func(t *testing.T, text string) {
		row, err := parseDistances(text)
		if err == nil && len(row) != len(strings.Fields(text)) {
			t.Errorf("%q: %v", text, row)
		}
		for _, d := range row {
			if d < 0 || d > maxDistance {
				t.Errorf("%q: %v", text, row)
			}
		}
	})
}
