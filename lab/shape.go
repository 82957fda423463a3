// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"mllb/topology"
)

// maxGuestCPUs is where QEMU's default x86 machine stops: more need an
// interrupt remapper.
const maxGuestCPUs = 255

// Shape is the hardware of a guest. Each socket is one NUMA node.
type Shape struct {
	Sockets int
	Caches  int // last-level caches to the socket (QEMU: dies)
	Cores   int // to the cache
	Threads int // to the core
}

// ParseShape reads what topology.Parse reads: "2x14x2", "2x2x8x2".
func ParseShape(desc string) (Shape, error) {
	t, err := topology.Parse(desc)
	if err != nil {
		return Shape{}, err
	}
	s := Shape{Sockets: len(t.Nodes)}
	s.Caches = len(t.LLCs) / s.Sockets
	s.Cores = len(t.Cores) / len(t.LLCs)
	s.Threads = len(t.CPUs) / len(t.Cores)
	if s.CPUs() > maxGuestCPUs {
		return Shape{}, fmt.Errorf("topology %q: %d CPUs, a guest has at most %d", desc, s.CPUs(), maxGuestCPUs)
	}
	return s, nil
}

// CPUs is the number of hardware threads.
func (s Shape) CPUs() int { return s.Sockets * s.Caches * s.Cores * s.Threads }

// String is the description that ParseShape reads.
func (s Shape) String() string {
	if s.Caches == 1 {
		return fmt.Sprintf("%dx%dx%d", s.Sockets, s.Cores, s.Threads)
	}
	return fmt.Sprintf("%dx%dx%dx%d", s.Sockets, s.Caches, s.Cores, s.Threads)
}
