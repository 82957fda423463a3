// SPDX-License-Identifier: Apache-2.0

package topology

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

func draw(t interface{ Fatal(...any) }, top *Topology, width int) string {
	var b bytes.Buffer
	if err := Draw(&b, top, width); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// oddHost has all that a described machine has not: offline CPUs in a node and
// in none, a node of memory, one whose CPUs are all offline, cores of unlike
// size, sparse ids and siblings that are far apart.
func oddHost() *Topology {
	var sites []site
	for cpu := range 6 {
		sites = append(sites, site{cpu: cpu, online: cpu != 5, pkg: 0, siblings: NewCPUSet(cpu, cpu+8), cache: span(0, 16)})
	}
	for cpu := 6; cpu < 12; cpu++ {
		node := map[bool]int{false: 0, true: 8}[cpu >= 10]
		sites = append(sites, site{cpu: cpu, online: cpu < 10, node: node, pkg: 0, siblings: NewCPUSet(cpu, cpu&7), cache: span(0, 16)})
	}
	sites = append(sites, site{cpu: 12, node: -1}, site{cpu: 13, node: -1})
	return build(sites, nodeTable{ids: []int{0, 8, 9}, distance: [][]int{{10, 20, 80}, {20, 10, 80}, {80, 80, 10}}}, nil)
}

func TestDrawGolden(t *testing.T) {
	hosts := map[string]*Topology{"odd": oddHost(), "epyc": epyc()}
	for _, desc := range []string{"1x2x1", "4x2x2", "2x2x8x2", "8x64x2", "8x16x8x2", "64x4x1"} {
		hosts[desc] = mustParse(t, desc)
	}
	for name, top := range hosts {
		checkInvariants(t, top)
		file := filepath.Join("testdata", name+".txt")
		got := draw(t, top, 80)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// TestDrawFits checks that any machine fits any width, and that a picture
// which shows cores shows each of them.
func TestDrawFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := func(name string, most int) int { return rapid.IntRange(1, most).Draw(t, name) }
		top, err := Parse(fmt.Sprintf("%dx%dx%dx%d", n("sockets", 20), n("caches", 6), n("cores", 9), n("threads", 7)))
		if err != nil {
			t.Fatal(err)
		}
		width := rapid.IntRange(0, 200).Draw(t, "width")
		text := draw(t, top, width)
		for line := range strings.Lines(text) {
			if w := len([]rune(line)) - 1; w > max(width, minWidth) || strings.HasSuffix(line, " \n") {
				t.Fatalf("%d columns for %d: %q in\n%s", w, width, line, text)
			}
		}
		if cells := strings.Count(text, "["); cells != 0 && cells != len(top.Cores) {
			t.Fatalf("%d of %d cores in\n%s", cells, len(top.Cores), text)
		}
		boxes, _, _ := strings.Cut(text, "\ndomains")
		if lines := strings.Count(boxes, "│\n"); lines > maxLines {
			t.Fatalf("%d lines:\n%s", lines, text)
		}
	})
}

type fullDisk struct{}

var errFull = errors.New("full")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestDrawReportsWriteError(t *testing.T) {
	if err := Draw(fullDisk{}, mustParse(t, "1x1x1"), 80); !errors.Is(err, errFull) {
		t.Errorf("error %v", err)
	}
}

// TestJSON checks the names that programs rely on, and that the form says all.
func TestJSON(t *testing.T) {
	text, err := json.Marshal(oddHost())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"schema": "1", "online": "0-4,6-9", "offline": "5,10-13", "llcs": "[0-4,6-9]", "cores": "[0,8 1,9 2 3 4 6 7]",
		"numa": "map[max_distance:10 type:direct]",
	} {
		if s := fmt.Sprint(got[key]); s != want {
			t.Errorf("%s is %s, want %s", key, s, want)
		}
	}
	cpus := got["cpus"].([]any)
	if s := fmt.Sprint(cpus[9], cpus[13]); s != "map[core:1 id:9 llc:0 node:0 online:true package:0] map[core:-1 id:13 llc:-1 node:-1 online:false package:-1]" {
		t.Errorf("cpus 9 and 13 are %s", s)
	}
	if s := fmt.Sprint(got["nodes"].([]any)[1]); s != "map[cpus: distances:[20 10 80] id:8]" {
		t.Errorf("second node is %s", s)
	}
	if s := fmt.Sprint(got["domains"].([]any)[2]); s != "map[cpus:0-4,6-9 groups:[0,8 1,9 2 3 4 6 7] id:2 level:llc]" {
		t.Errorf("third domain is %s", s)
	}
	var back Document
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || !bytes.Equal(again, text) {
		t.Errorf("through a Document: %v\n%s\n%s", err, text, again)
	}
}
