// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSchedExtRefused: whoever balances beside a sched_ext scheduler fights it;
// whoever only looks does not.
func TestSchedExtRefused(t *testing.T) {
	for _, tt := range []struct {
		mode, state string
		refused     bool
	}{
		{"assist", "enabled\n", true},
		{"own", "enabled\n", true},
		{"observe", "enabled\n", false},
		{"assist", "disabled\n", false},
		{"own", "", false}, // a kernel without sched_ext
	} {
		root := t.TempDir()
		if tt.state != "" {
			dir := filepath.Join(root, "sys/kernel/sched_ext/root")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{"../state": tt.state, "ops": "rusty\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		c := runCmd{Mode: tt.mode}
		c.Root = root
		err := c.checkSchedExt()
		if (err != nil) != tt.refused || tt.refused && !strings.Contains(err.Error(), "rusty") {
			t.Errorf("%s beside sched_ext %q: %v", tt.mode, tt.state, err)
		}
	}
}
