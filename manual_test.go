// SPDX-License-Identifier: Apache-2.0

package mllb

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestManual looks at the manual pages of all programs: each has all sections, the
// command lines of its examples are some, and man(7) is as mandoc wants it.
func TestManual(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and links all programs")
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin+"/", "./cmd/...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := map[string][]string{
		"mllbd": {"mllbd.8", "mllbd-run.8", "mllbd-restore.8", "mllbd-check.8"},
		"mllb":  {"mllb.1", "mllb-train.1", "mllb-lab.1", "mllb-dataset.1", "mllb-collect.1"},
		"fibo":  {"fibo.1"},
	}
	for program, names := range want {
		text, err := exec.Command(filepath.Join(bin, program), "--man-pages").Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range strings.Split(string(text), ".\\\" page ")[1:] {
			name, page, _ := strings.Cut(page, "\n")
			names = slices.DeleteFunc(names, func(n string) bool { return n == name })
			t.Run(name, func(t *testing.T) {
				sections := []string{"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS", "EXAMPLES"}
				if program != "fibo" {
					sections = append(sections, "FILES")
				}
				for _, section := range sections {
					if !strings.Contains(page, "\n.SH "+section+"\n") {
						t.Errorf("no %s", section)
					}
				}
				tryExamples(t, bin, page)
				lint(t, page)
			})
		}
		if len(names) > 0 {
			t.Errorf("%s has no pages %q", program, names)
		}
	}
}

var examples = regexp.MustCompile(`(?s)\n\.SH EXAMPLES\n.*?\n\.nf\n(.*?)\n\.fi\n`)

// tryExamples has each command line parsed: with --help, and without the command that
// it would run.
func tryExamples(t *testing.T, bin, page string) {
	t.Helper()
	m := examples.FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no examples")
	}
	for line := range strings.Lines(strings.NewReplacer(`\-`, "-", `\e`, `\`).Replace(m[1])) {
		line, _, _ = strings.Cut(strings.TrimSpace(line), " -- ")
		cmd := exec.Command("sh", "-c", line+" --help")
		cmd.Env = []string{"PATH=" + bin}
		cmd.Path = "/bin/sh"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", line, err, out)
		}
	}
}

func lint(t *testing.T, page string) {
	t.Helper()
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Log("mandoc is not here to check man(7)")
		return
	}
	cmd := exec.Command("mandoc", "-Tlint", "-W", "warning")
	cmd.Stdin = strings.NewReader(page)
	out, _ := cmd.Output() // its exit status counts the date, which this build may not know
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "missing date") {
			t.Error(line)
		}
	}
}
