// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"mllb/internal/cc"
)

// BenchmarkDecision counts the cycles of one decision in the C that the kernel
// has (native/cycles.c): what is to be compared is one way with another.
func BenchmarkDecision(b *testing.B) {
	if runtime.GOARCH != "amd64" {
		b.Skip("reads the x86 time stamp counter")
	}
	program := filepath.Join(b.TempDir(), "cycles")
	flags := []string{"-std=gnu11", "-O2", "-fno-strict-aliasing", "-Inative/include"}
	args := append(slices.Clip(flags), "-o", program, "native/cycles.c", "src/mllb.c", "src/mllb_blob.c", "src/mllb_float.c")
	if out, err := exec.Command(cc.Find(b, flags...), args...).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	var fixed, plain, float, saved int
	for b.Loop() {
		out, err := exec.Command(program).Output()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := fmt.Sscan(string(out), &fixed, &plain, &float, &saved); err != nil {
			b.Fatalf("%q: %v", out, err)
		}
	}
	b.ReportMetric(0, "ns/op") // of the program: says nothing
	b.ReportMetric(float64(fixed), "fixed-cycles")
	b.ReportMetric(float64(plain), "plain-cycles")
	b.ReportMetric(float64(float), "float-cycles")
	b.ReportMetric(float64(saved), "float-xsave-cycles")
}
