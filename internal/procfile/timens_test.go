// SPDX-License-Identifier: Apache-2.0

package procfile

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBootOffset(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want int64
		ok   bool
	}{
		"none":      {"", 0, true}, // no file
		"zero":      {"monotonic           0         0\nboottime            0         0\n", 0, true},
		"ahead":     {"monotonic           5         0\nboottime       100000       250\n", 100000*1e9 + 250, true},
		"behind":    {"monotonic           0         0\nboottime          -10 500000000\n", -10*1e9 + 5e8, true},
		"5.6":       {"1 0 0\n7 60 0\n", 60e9, true},
		"missing":   {"monotonic 0 0\n", 0, false},
		"no number": {"boottime x 0\n", 0, false},
		"too large": {"boottime 99999999999 0\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if tt.text != "" {
				if err := os.MkdirAll(filepath.Join(root, "proc/self"), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(root, "proc/self/timens_offsets"), []byte(tt.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := BootOffset(root)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("%d, %v; want %d", got, err, tt.want)
			}
		})
	}
}
