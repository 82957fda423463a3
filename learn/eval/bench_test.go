// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"testing"

	"mllb/learn/dataset"
)

// BenchmarkRun says how many decisions a second are judged, all widths included.
func BenchmarkRun(b *testing.B) {
	const rows = 50_000
	path := write(b, dataset.Run{ID: "r", Load: "100"}, records(rows, 1))
	for _, importance := range []bool{false, true} {
		b.Run(fmt.Sprintf("importance=%v", importance), func(b *testing.B) {
			cfg := Config{Model: builtIn(b), Importance: importance}
			b.ReportAllocs()
			for b.Loop() {
				run(b, cfg, path)
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "decisions/s")
		})
	}
}
