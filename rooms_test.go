// SPDX-License-Identifier: Apache-2.0

// Package mllb holds nothing but tests of the module as a whole.
package mllb

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// room is a folder at the top of the module and the rooms that its packages import.
type room struct {
	name    string
	imports []string
}

// TestRooms holds the list of rooms in docs/ARCHITECTURE.md against the imports of
// the packages, tests apart. A room may import only those listed above it, so
// there are no circles, and what carries a decision cannot depend on what learns,
// proves or hosts.
func TestRooms(t *testing.T) {
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	listed, err := parseRooms(string(text))
	if err != nil {
		t.Fatal(err)
	}
	above := make(map[string]bool)
	for _, r := range listed {
		for _, i := range r.imports {
			if !above[i] {
				t.Errorf("%s imports %s, which is not above it", r.name, i)
			}
		}
		above[r.name] = true
	}
	want := make(map[string][]string)
	for _, r := range listed {
		want[r.name] = r.imports
	}
	if diff := cmp.Diff(want, imports(t)); diff != "" {
		t.Errorf("rooms and their imports (-docs/ARCHITECTURE.md +go list):\n%s", diff)
	}
}

// TestDaemonLinks keeps what runs as root small: no figures, no training of many
// models, no datasets.
func TestDaemonLinks(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/mllbd").Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "mllb/scheduler") {
		t.Fatalf("no list of mllbd's packages: %q", deps)
	}
	unwanted := []string{"mllb/learn", "mllb/bench", "mllb/lab", "mllb/kernel", "gonum.org", "golang.org/x/perf", "github.com/parquet-go"}
	for _, dep := range deps {
		for _, u := range unwanted {
			if dep == u || strings.HasPrefix(dep, u+"/") {
				t.Errorf("mllbd links %s", dep)
			}
		}
	}
}

// parseRooms reads the block of lines "room <- import import ..." between
// "```rooms" and "```".
func parseRooms(text string) ([]room, error) {
	_, block, found := strings.Cut(text, "\n```rooms\n")
	block, _, closed := strings.Cut(block, "\n```\n")
	if !found || !closed {
		return nil, fmt.Errorf("there is no block of rooms")
	}
	var rooms []room
	for line := range strings.Lines(block) {
		name, list, ok := strings.Cut(line, "<-")
		name = strings.TrimSpace(name)
		if !ok || strings.Contains(name, " ") {
			return nil, fmt.Errorf("%q is not NAME <- IMPORT ...", line)
		}
		imports := append([]string{}, strings.Fields(list)...)
		slices.Sort(imports)
		rooms = append(rooms, room{name, imports})
	}
	return rooms, nil
}

// imports asks the go command which rooms import which.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{if .GoFiles}}{{.ImportPath}} {{join .Imports " "}}{{end}}`, "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	got := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		packages := strings.Fields(line)
		from := roomOf(packages[0])
		got[from] = append(got[from], "") // a room that imports none is one, too
		for _, p := range packages[1:] {
			if to := roomOf(p); to != "" && to != from {
				got[from] = append(got[from], to)
			}
		}
	}
	for name, list := range got {
		slices.Sort(list)
		got[name] = slices.Compact(list)[1:]
	}
	return got
}

// roomOf returns the folder at the top that a package of this module is in, or "".
func roomOf(pkg string) string {
	path, ours := strings.CutPrefix(pkg, "mllb/")
	if !ours {
		return ""
	}
	name, _, _ := strings.Cut(path, "/")
	return name
}
