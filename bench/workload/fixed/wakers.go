// SPDX-License-Identifier: Apache-2.0

package fixed

import (
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is threads that pass a token round: who has it burns a slice and passes
// it on.
type ring struct {
	slices [][]uint64 // steps, by member and round
	first  uint64     // the token's state at the start
	pipes  bool
}

// wakersPlan is the rings: pairs, and three in the last if there is one over.
func wakersPlan(s Spec) []ring {
	var all []ring
	for i := range s.Threads / 2 {
		members := 2
		if i == s.Threads/2-1 {
			members += s.Threads % 2
		}
		r := ring{slices: make([][]uint64, members), first: first(s.Seed, i), pipes: i%2 == 1}
		rng := newRand(s.Seed, i)
		for m := range r.slices {
			for range s.Work {
				r.slices[m] = append(r.slices[m], between(rng, 100, 1900)*stepsPerUs)
			}
			r.slices[m] = slices.Clip(r.slices[m])
		}
		all = append(all, r)
	}
	return all
}

func wakersWant(s Spec) uint64 {
	var states []uint64
	for _, r := range wakersPlan(s) {
		x := r.first
		for round := range s.Work {
			for _, m := range r.slices {
				x = jump(x, m[round])
			}
		}
		states = append(states, x)
	}
	return total(states)
}

func wakersStart(s Spec) (*load, error) {
	rings := wakersPlan(s)
	states := make([]uint64, len(rings))
	var fds []int
	l := &load{sum: func() uint64 { return total(states) }, close: func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}}
	for i, r := range rings {
		seats := make([]seat, len(r.slices))
		for m := range seats {
			if r.pipes {
				p := make([]int, 2)
				if err := unix.Pipe2(p, unix.O_CLOEXEC); err != nil {
					l.close()
					return nil, fmt.Errorf("pipe %d: %w", len(fds)/2, err)
				}
				fds = append(fds, p...)
				seats[m].read, seats[m].write = p[0], p[1]
			}
			seats[m].pipe = r.pipes
		}
		for m := range seats {
			next := &seats[(m+1)%len(seats)]
			l.threads = append(l.threads, func() error {
				if m > 0 {
					_, err := member(&seats[m], next, r.slices[m])
					return errno(err)
				}
				// The first puts the token in, and takes it out at the end.
				if err := seats[m].put(r.first); err != 0 {
					return errno(err)
				}
				_, err := member(&seats[m], next, r.slices[m])
				if err == 0 {
					states[i], err = seats[m].get()
				}
				return errno(err)
			})
		}
	}
	return l, nil
}

// member takes the token, burns its slice and passes it on, round by round.
//
//go:nosplit
func member(me, next *seat, rounds []uint64) (x uint64, err unix.Errno) {
	for _, steps := range rounds {
		if x, err = me.get(); err != 0 {
			return
		}
		x = burn(x, steps)
		if err = next.put(x); err != 0 {
			return
		}
	}
	return
}

// seat is where a thread of a ring waits for the token.
type seat struct {
	full        uint32
	token       uint64
	pipe        bool
	read, write int
}

//go:nosplit
func (s *seat) put(x uint64) unix.Errno {
	if !s.pipe {
		s.token = x
		atomic.StoreUint32(&s.full, 1)
		wakeOne(&s.full)
		return 0
	}
	_, _, err := unix.RawSyscall(unix.SYS_WRITE, uintptr(s.write), uintptr(unsafe.Pointer(&x)), 8)
	return err
}

//go:nosplit
func (s *seat) get() (uint64, unix.Errno) {
	if !s.pipe {
		for atomic.LoadUint32(&s.full) == 0 {
			sleepWhile(&s.full, 0)
		}
		atomic.StoreUint32(&s.full, 0)
		return s.token, 0
	}
	var x uint64
	for {
		n, _, err := unix.RawSyscall(unix.SYS_READ, uintptr(s.read), uintptr(unsafe.Pointer(&x)), 8)
		switch {
		case err == unix.EINTR:
		case err != 0:
			return 0, err
		case n != 8:
			return 0, unix.EIO
		default:
			return x, 0
		}
	}
}

func errno(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return fmt.Errorf("pass the token: %w", e)
}
