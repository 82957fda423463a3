// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"testing"

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
