// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mllb/internal/cc"
)

// TestKUnitSuite runs the kernel's own suite in user space, with native's stand-in
// for KUnit and the sanitizers: what fails here would fail at boot.
func TestKUnitSuite(t *testing.T) {
	program := filepath.Join(t.TempDir(), "suite")
	args := append(slices.Clip(cflags), "-o", program, "src/mllb_test.c", "src/mllb.c", "src/mllb_blob.c")
	if out, err := exec.Command(cc.Find(t, cflags...), args...).CombinedOutput(); err != nil {
		t.Fatalf("compile: %v\n%s", err, out)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), "ASAN_OPTIONS=detect_leaks=0") // KUnit frees, the stand-in does not
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	passed := strings.Count("\n"+string(out), "\nok ")
	if strings.Contains("\n"+string(out), "\nnot ok ") || passed != 21 {
		t.Errorf("%d passed, want 21:\n%s", passed, out)
	}
}
