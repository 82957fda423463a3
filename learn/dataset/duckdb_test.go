// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mllb/features"
)

// fleetQuery is the query over the files of many hosts that docs/LEARNING.md has.
func fleetQuery(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/LEARNING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(string(text), "\n```sql\n")
	query, _, closed := strings.Cut(query, "\n```\n")
	if !closed {
		t.Fatal("docs/LEARNING.md has no block of SQL")
	}
	return query
}

// TestFleetQueryColumns holds that what the query names is in the files: each word of
// it that is neither DuckDB's nor its own is a column, or a key of the metadata's runs.
func TestFleetQueryColumns(t *testing.T) {
	const (
		duckdb = "parquet_kv_metadata key value decode from_json unnest recursive read_parquet union_by_name true count avg round"
		own    = "run decisions percent fleet parquet"
	)
	known := make(map[string]bool)
	for _, word := range strings.Fields(duckdb + " " + own + " " + features.Passed.String()) {
		known[word] = true
	}
	query := fleetQuery(t)
	if key := "'" + keyRuns + "'"; !strings.Contains(query, key) {
		t.Errorf("the query does not look for %s", key)
	}
	query = strings.ReplaceAll(query, "'"+keyRuns+"'", "")
	m := Meta{Runs: []Run{testRun("x")}}
	pairs, err := m.pairs()
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	for _, word := range regexp.MustCompile(`\b[a-z_]+\b`).FindAllString(query, -1) {
		isColumn := slices.ContainsFunc(columns, func(c column) bool { return c.name == word })
		switch {
		case isColumn || strings.Contains(pairs[keyRuns], `"`+word+`":`):
			named = append(named, word)
		case !known[word]:
			t.Errorf("%s is no column, and no key of %s", word, keyRuns)
		}
	}
	if len(named) < 5 {
		t.Errorf("only %q were found", named)
	}
}

// TestFleetQuery runs the query over files of two hosts, one of the first schema, and
// counts again.
func TestFleetQuery(t *testing.T) {
	duckdb, err := exec.LookPath("duckdb")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	fleet := filepath.Join(dir, "fleet")
	if err := os.Mkdir(fleet, 0o755); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile("testdata/a.parquet") // of host guest
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{filepath.Join(fleet, "guest.parquet"), filepath.Join(fleet, "n2.parquet")}
	if err := os.WriteFile(paths[0], old, 0o644); err != nil {
		t.Fatal(err)
	}
	run := testRun("of n2")
	run.Host = "n2"
	w, err := Create(paths[1], Meta{Runs: []Run{run}})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(plausible(300, 16)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(duckdb, "-csv", "-c", fleetQuery(t))
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(countFleet(t, paths), string(out)); diff != "" {
		t.Errorf("(-want +duckdb):\n%s", diff)
	}
}

// countFleet is what the query says, as CSV.
func countFleet(t *testing.T, paths []string) string {
	type group struct {
		host, domain string
	}
	counts := make(map[group][2]int)
	err := Each(context.Background(), paths, func(_ string, _ int64, r *Row) error {
		if r.Condition == features.Passed {
			g := group{r.Run.Host, text(&r.DomainName)}
			n := counts[g]
			n[label(r)]++
			counts[g] = n
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for g, n := range counts {
		all := n[0] + n[1]
		lines = append(lines, fmt.Sprintf("%s,%s,%d,%.1f\n", g.host, g.domain, all, 100*float64(n[1])/float64(all)))
	}
	slices.Sort(lines)
	return "host,domain_name,decisions,percent\n" + strings.Join(lines, "")
}
