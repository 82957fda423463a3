// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"testing"
	"time"

	"mllb/features"
	"mllb/features/internal/threads"
)

// BenchmarkSnapshot takes snapshots of a host with 64 runnable threads and
// many sleeping ones. The /proc backend has one of the same name and shape.
func BenchmarkSnapshot(b *testing.B) {
	r := openReader(b, Options{})
	for _, n := range []int{200, 2_000, 20_000} {
		b.Run(fmt.Sprintf("sleeping=%d", n), func(b *testing.B) {
			threads.Sleep(b, n)
			threads.Spin(b, 64, -1)
			var s features.Snapshot
			threads.Bench(b, func() (int, error) {
				err := r.Snapshot(&s)
				return len(s.Threads), err
			})
		})
	}
}

// BenchmarkAwake reads a host with 64 runnable threads and many sleeping ones, of which
// some are held, in two ways: by the queues, and all threads.
func BenchmarkAwake(b *testing.B) {
	r := openAwake(b, Options{})
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("sleeping=%d", n), func(b *testing.B) {
			held := threads.Sleep(b, n).TIDs[:64] // more than kernel.pid_max: an error
			threads.Spin(b, 64, -1)
			var s features.Snapshot
			b.Run("all", func(b *testing.B) {
				threads.Bench(b, func() (int, error) {
					err := r.Snapshot(&s)
					return len(s.Threads), err
				})
			})
			was := snapshot(b, r, &s)
			var keep []uint64
			for _, tid := range held {
				keep = append(keep, was[tid].Task)
			}
			b.Run("awake", func(b *testing.B) {
				threads.Bench(b, func() (int, error) {
					s.Keep = keep
					err := r.Awake(&s)
					return len(s.Threads), err
				})
			})
		})
	}
}

// BenchmarkAudit looks at a step's worth of sleeping threads 40 times a second, as an
// audit does, so that they have left the caches when their turn comes again.
func BenchmarkAudit(b *testing.B) {
	r := openAwake(b, Options{})
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("sleeping=%d", n), func(b *testing.B) {
			threads.Sleep(b, n)
			threads.Spin(b, 4, -1)
			var s features.Snapshot
			snapshot(b, r, &s)
			a := &r.awake.audit
			threads.Bench(b, func() (read int, err error) {
				time.Sleep(25 * time.Millisecond)
				for more := false; !more && err == nil; {
					if !a.open {
						if a.fd, err = iterCreate(r.awake.iter.FD()); err != nil {
							return 0, err
						}
						a.open = true
					}
					if more, err = r.step(&s); !more {
						r.stopAudit()
					}
				}
				return stepSize, err
			})
		})
	}
}
