// SPDX-License-Identifier: Apache-2.0

package fixed

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// line is one cache line: which to go to, and how often it was visited.
type line struct {
	next, visits uint32
	_            [56]byte
}

const (
	lines   = 1 << 18 // 16 MiB
	lineMul = 196_613 // 1 mod 4, with an odd addend: one cycle through all lines
	lineAdd = 87_481
	// walkPerMs are the steps of a millisecond if each waits 100 ns for memory.
	walkPerMs = 10_000
)

func numaSteps(s Spec) uint64 { return uint64(s.Work) * walkPerMs }

// numaWant follows from the cycle: after n steps it is n mod lines further.
func numaWant(s Spec) uint64 {
	states := make([]uint64, s.Threads)
	for i := range states {
		at := uint32(first(s.Seed, i) % lines)
		for range numaSteps(s) % lines {
			at = (at*lineMul + lineAdd) % lines
		}
		states[i] = uint64(at)<<32 | numaSteps(s)&(1<<32-1)
	}
	return total(states)
}

func numaStart(s Spec) (*load, error) {
	states := make([]uint64, s.Threads)
	l := &load{sum: func() uint64 { return total(states) }, close: func() {}}
	for i := range s.Threads {
		l.threads = append(l.threads, func() error {
			memory, err := unix.Mmap(-1, 0, lines*int(unsafe.Sizeof(line{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				return fmt.Errorf("map %d cache lines: %w", lines, err)
			}
			defer unix.Munmap(memory)
			states[i] = walk((*[lines]line)(unsafe.Pointer(&memory[0])), uint32(first(s.Seed, i)%lines), numaSteps(s))
			return nil
		})
	}
	return l, nil
}

// walk lays out the lines, and so has their pages on its node, and follows
// them. It returns where it ended and how many visits they count.
//
//go:nosplit
func walk(all *[lines]line, at uint32, steps uint64) uint64 {
	for i := range all {
		all[i].next = (uint32(i)*lineMul + lineAdd) % lines
	}
	for ; steps > 0; steps-- {
		all[at].visits++
		at = all[at].next % lines
	}
	var visits uint32
	for i := range all {
		visits += all[i].visits
	}
	return uint64(at)<<32 | uint64(visits)
}
