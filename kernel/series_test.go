// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// inTree are the sources of this directory and where the series puts them.
var inTree = map[string]string{
	"mllb.h":             "kernel/sched/mllb.h",
	"mllb.c":             "kernel/sched/mllb.c",
	"mllb_float.c":       "kernel/sched/mllb_float.c",
	"mllb_control.h":     "kernel/sched/mllb_control.h",
	"mllb_control.c":     "kernel/sched/mllb_control.c",
	"mllb_default.h":     "kernel/sched/mllb_default.h",
	"mllb_test.c":        "kernel/sched/mllb_test.c",
	"mllb_test_data.h":   "kernel/sched/mllb_test_data.h",
	"sched_mllb_trace.h": "include/trace/events/sched_mllb.h",
	"mllb.sh":            "tools/testing/selftests/sched/mllb.sh",
	"mllb_blob.c":        "kernel/sched/mllb_blob.c",
	"mllb_infer.h":       "kernel/sched/mllb_infer.h",
}

// TestSeriesAddsTheSources applies what the series does to its own files, and
// holds what comes of it against src.
func TestSeriesAddsTheSources(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("no git")
	}
	patches, err := filepath.Glob("patches/6.12/*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatalf("no patches: %v", err)
	}
	dir := t.TempDir()
	for _, patch := range patches {
		path, err := filepath.Abs(patch)
		if err != nil {
			t.Fatal(err)
		}
		args := []string{"apply", "--allow-empty"}
		for _, file := range inTree {
			args = append(args, "--include="+file)
		}
		cmd := exec.Command("git", append(args, path)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", patch, err, out)
		}
	}
	sources, err := os.ReadDir("src")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sources {
		file, ok := inTree[s.Name()]
		if !ok {
			t.Errorf("src/%s is in no patch", s.Name())
			continue
		}
		want, err := os.ReadFile(filepath.Join("src", s.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("src/%s is not what the series makes of %s (%v)", s.Name(), file, err)
		}
	}
	if len(sources) != len(inTree) {
		t.Errorf("%d sources, %d in the series", len(sources), len(inTree))
	}
}
