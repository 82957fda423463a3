// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestArgs(t *testing.T) {
	tests := []struct {
		golden string
		shape  string
		m      machine
	}{
		{"2x4x2", "2x4x2", machine{memoryMiB: 2048}},
		{"2x14x2-single", "2x14x2", machine{memoryMiB: 4097, single: true}},
		{"4x2x2-icount", "4x2x2", machine{memoryMiB: 4096, icount: true}},
		{"1x4x1-halted", "1x4x1", machine{memoryMiB: 1024, halted: true}},
		{"1x2x4x1-kvm", "1x2x4x1", machine{memoryMiB: 512, accel: AccelKVM, params: "quiet numa_balancing=disable"}},
	}
	for _, tt := range tests {
		t.Run(tt.golden, func(t *testing.T) {
			shape, err := ParseShape(tt.shape)
			if err != nil {
				t.Fatal(err)
			}
			tt.m.shape, tt.m.kernel, tt.m.initrd = shape, "VMLINUZ", "INITRD"
			var lines strings.Builder
			for _, arg := range tt.m.args() {
				if strings.HasPrefix(arg, "-") && lines.Len() > 0 {
					lines.WriteByte('\n')
				} else if lines.Len() > 0 {
					lines.WriteByte(' ')
				}
				lines.WriteString(arg)
			}
			lines.WriteByte('\n')
			file := "testdata/argv-" + tt.golden + ".golden"
			if *update {
				if err := os.WriteFile(file, []byte(lines.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), lines.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Init finds its role in its environment, to which the kernel adds the
// parameters that it does not know itself.
func TestKernelParams(t *testing.T) {
	for _, p := range []string{"MLLB_LAB=1", "rdinit=/bin/mllb", "oops=panic", "tsc=reliable", "schedstats=enable"} {
		if !slices.Contains(kernelParams, p) {
			t.Errorf("no %s", p)
		}
	}
}

func TestParseShape(t *testing.T) {
	for desc, want := range map[string]Shape{
		"2x4x2": {2, 1, 4, 2}, "2x14x2": {2, 1, 14, 2}, "4x2x2": {4, 1, 2, 2}, "1x1x1": {1, 1, 1, 1}, "2x2x8x2": {2, 2, 8, 2},
	} {
		got, err := ParseShape(desc)
		if err != nil || got != want || got.String() != desc {
			t.Errorf("%s: %+v, %v, prints as %s", desc, got, err, got)
		}
	}
	for _, desc := range []string{"", "2", "2x", "0x1x1", "2x4", "axbxc", "2x4x2x2x2", "-1x1x1", "8x64x2", "99999x1x1"} {
		if got, err := ParseShape(desc); err == nil {
			t.Errorf("%q gave %+v", desc, got)
		}
	}
}

func TestNoQEMU(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := findQEMU()
	if err == nil || !strings.Contains(err.Error(), "qemu-system-x86") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}
