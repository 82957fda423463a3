// SPDX-License-Identifier: Apache-2.0

package mllb

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const fallback = "Apache-2.0"

var (
	row       = regexp.MustCompile(`(?m)^\| (.*) \| (GPL-2\.0 OR BSD-2-Clause), at your choice \|$`)
	quoted    = regexp.MustCompile("`([^`]+)`")
	spdx      = regexp.MustCompile(`SPDX-License-Identifier: (.*?)(?: \*/)?$`)
	source    = regexp.MustCompile(`(\.(go|c|h|s|sh)|(^|/)Makefile|^\.ci/[^/]+)$`)
	bpf2go    = regexp.MustCompile(`_bpfel(_test)?\.go$`)
	notSource = []string{".git", "bin"}
)

// TestEachFileNamesItsLicence reads the patterns of the table in LICENSES/README.md: one that
// matches a folder means what is below it too.
func TestEachFileNamesItsLicence(t *testing.T) {
	text, err := os.ReadFile("LICENSES/README.md")
	if err != nil {
		t.Fatal(err)
	}
	patterns := make(map[string]string)
	for _, r := range row.FindAllStringSubmatch(string(text), -1) {
		for _, p := range quoted.FindAllStringSubmatch(r[1], -1) {
			patterns[p[1]] = r[2]
		}
	}
	if len(patterns) == 0 {
		t.Fatal("LICENSES/README.md has no row with a pattern")
	}
	used := make(map[string]bool)
	tree := os.DirFS(".")
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains(notSource, name) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || !source.MatchString(name) || bpf2go.MatchString(name) {
			return nil
		}
		want := fallback
		for p, licence := range patterns {
			if matches(p, name) {
				want, used[p] = licence, true
			}
		}
		got, err := licenceOf(tree, name)
		if err != nil {
			return err
		}
		if got != want {
			t.Errorf("%s: its licence is %q, and README.md says %q", name, got, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for p := range patterns {
		if !used[p] {
			t.Errorf("LICENSES/README.md: %s matches no source file", p)
		}
	}
}

// matches reports whether the pattern matches a file or a folder that it is in.
func matches(pattern, name string) bool {
	for ; name != "."; name = path.Dir(name) {
		if ok, err := path.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return false
}

// licenceOf returns what the SPDX line says, which is among the first three: some
// files have to begin with another; "" if there is none.
func licenceOf(tree fs.FS, name string) (string, error) {
	f, err := tree.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for range 3 {
		if !lines.Scan() {
			break
		}
		if m := spdx.FindStringSubmatch(lines.Text()); m != nil {
			return strings.TrimSpace(m[1]), nil
		}
	}
	return "", lines.Err()
}
