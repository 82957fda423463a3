// SPDX-License-Identifier: Apache-2.0

package scx

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mllb/features"
	"mllb/topology"
)

// The Go side of a CPU's place is what the C side says.
func TestPlaceLayout(t *testing.T) {
	for ours, theirs := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[place](): reflect.TypeFor[scxMllbPlace](),
		reflect.TypeFor[near]():  reflect.TypeFor[scxMllbNear](),
	} {
		if ours.Size() != theirs.Size() {
			t.Errorf("%s: %d bytes, want %d", ours.Name(), ours.Size(), theirs.Size())
		}
		for i := range ours.NumField() {
			a := ours.Field(i)
			b, ok := theirs.FieldByNameFunc(func(name string) bool { return strings.EqualFold(name, a.Name) })
			if a.Name != "_" && (!ok || a.Offset != b.Offset || a.Type.Size() != b.Type.Size()) {
				t.Errorf("%s: %d bytes at %d; scx.h: %+v", a.Name, a.Type.Size(), a.Offset, b)
			}
		}
	}
}

// TestPlaces: each domain of a CPU is the beginning of the list of CPUs near it.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct {
		machine string
		cpu     int
		end     [topology.NumLevels]uint16
		sibling []uint16
		near    []uint16
	}{
		{"1x1x1", 0, [4]uint16{1, 1, 1, 1}, nil, []uint16{0}},
		{"1x4x1", 2, [4]uint16{1, 4, 4, 4}, nil, []uint16{2, 3, 0, 1}},
		{"2x2x2", 0, [4]uint16{2, 4, 4, 8}, []uint16{4}, nil},
		{"8x64x2", 1000, [4]uint16{2, 128, 128, 1024}, []uint16{488}, nil},
	} {
		topo, err := topology.Parse(tt.machine)
		if err != nil {
			t.Fatal(err)
		}
		places, nears, err := placesOf(topo, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, n := &places[tt.cpu], &nears[tt.cpu]
		if tt.near != nil && !slices.Equal(n.CPU[:len(tt.near)], tt.near) {
			t.Errorf("%s: near CPU %d are %v, want %v", tt.machine, tt.cpu, n.CPU[:len(tt.near)], tt.near)
		}
		if p.End != tt.end || p.Speed != features.FullSpeed || p.Siblings != uint16(len(tt.sibling)) {
			t.Errorf("%s: CPU %d is at %+v, want %v and %v", tt.machine, tt.cpu, p, tt.end, tt.sibling)
		}
		for cpu := range places {
			if err := checkPlace(topo, cpu, &places[cpu], &nears[cpu]); err != nil {
				t.Errorf("%s: %v", tt.machine, err)
			}
		}
	}
}

func checkPlace(t *topology.Topology, cpu int, p *place, n *near) error {
	all := n.CPU[:p.End[topology.Machine]]
	if len(all) != t.Online.Count() || int(all[0]) != cpu {
		return fmt.Errorf("near CPU %d are %d CPUs, the first %d", cpu, len(all), all[0])
	}
	seen := make(map[uint16]bool)
	for i, other := range all {
		if seen[other] || !t.Online.Has(int(other)) {
			return fmt.Errorf("near CPU %d: %d twice, or offline", cpu, other)
		}
		seen[other] = true
		for l := range topology.NumLevels {
			if in := i < int(p.End[l]); in != (levelOf(t, cpu, int(other)) <= l) {
				return fmt.Errorf("CPU %d is in the %s domain of %d: %t", other, l, cpu, in)
			}
		}
	}
	for _, other := range p.Sibling[:p.Siblings] {
		if int(other) == cpu || !t.SameCore(cpu, int(other)) {
			return fmt.Errorf("CPU %d is no sibling of %d", other, cpu)
		}
	}
	return nil
}

// Speeds are those that were measured; what is not known is as fast as any.
func TestPlaceSpeeds(t *testing.T) {
	topo, err := topology.Parse("1x4x1")
	if err != nil {
		t.Fatal(err)
	}
	places, _, err := placesOf(topo, []uint32{0, 512, 4096})
	if err != nil {
		t.Fatal(err)
	}
	for cpu, want := range []uint32{1024, 512, 1024, 1024} {
		if places[cpu].Speed != want {
			t.Errorf("CPU %d has speed %d, want %d", cpu, places[cpu].Speed, want)
		}
	}
}

func TestPlacesRefused(t *testing.T) {
	for machine, want := range map[string]string{
		"16x64x2": "scx: 2048 CPUs, but the scheduler is built for at most 1024",
		"1x1x16":  "scx: CPU 0 has more than 7 SMT siblings",
	} {
		topo, err := topology.Parse(machine)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := placesOf(topo, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", machine, err, want)
		}
	}
}
