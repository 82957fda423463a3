// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"mllb/bench/workload/fixed"
	"mllb/lab/stress"
	"mllb/learn/dataset"
)

// TestKindsDiffer checks that no name means fixed work to one command and
// endless load to another, and that none is both a former name and a name.
func TestKindsDiffer(t *testing.T) {
	taken := map[string]bool{"fibo": true}
	for _, k := range fixed.Kinds() {
		taken[k.Name] = true
	}
	for _, k := range stress.Kinds() {
		if taken[k.Name] {
			t.Errorf("%s is a kind of mllb workload and of mllb stress", k.Name)
		}
		if now, renamed := stress.Renamed(k.Name); renamed {
			t.Errorf("%s is a kind of mllb stress, and the former name of %s", k.Name, now)
		}
	}
}

// TestRecipes has each command line in the metadata of data/ plan the run that it
// made, under its name of today.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("../../data/*.parquet")
	if err != nil || len(files) == 0 {
		t.Fatalf("no datasets: %v", err)
	}
	for _, file := range files {
		r, err := dataset.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, was := range r.Meta().Runs {
			var cmd cli
			parser, err := kong.New(&cmd)
			if err != nil {
				t.Fatal(err)
			}
			recipe := was.Command[slices.Index(was.Command, "--recipe")+1]
			if _, err := parser.Parse(append(strings.Fields(recipe)[1:], "--out", "none")); err != nil {
				t.Fatalf("%s: %s: %v", file, recipe, err)
			}
			runs, err := cmd.Lab.Record.plan(io.Discard)
			if err != nil || len(runs) != 1 {
				t.Fatalf("%s: %s: %d runs, %v", file, recipe, len(runs), err)
			}
			kind, tuning, _ := strings.Cut(was.Tag, "+")
			kind, _ = stress.Renamed(kind)
			if want := strings.TrimSuffix(kind+"+"+tuning, "+"); runs[0].Tag() != want || runs[0].Seed != was.Seed {
				t.Errorf("%s: %s: makes %s, seed %d; want %s, %d", file, recipe, runs[0].Tag(), runs[0].Seed, want, was.Seed)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
