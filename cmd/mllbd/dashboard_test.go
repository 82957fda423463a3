// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// dashboard is what of Grafana's dashboard the tests look at.
type dashboard struct {
	UID           string `json:"uid"`
	SchemaVersion int    `json:"schemaVersion"`
	Panels        []struct {
		ID         int        `json:"id"`
		Title      string     `json:"title"`
		Type       string     `json:"type"`
		Datasource *grafanaDS `json:"datasource"`
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct {
			Expr       string
			Datasource *grafanaDS
		}
	} `json:"panels"`
	Templating struct {
		List []struct {
			Name, Type string
			Definition string
			Datasource *grafanaDS
		}
	} `json:"templating"`
}

type grafanaDS struct{ Type, UID string }

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal(deployed(t, "grafana/mllb.json"), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 20 {
		t.Fatalf("only %d panels", len(d.Panels))
	}
	return d
}

// deployed reads a file of deploy/.
func deployed(t *testing.T, name string) []byte {
	t.Helper()
	if inGuest {
		t.Skip("the guest has no deploy/, and no part in this")
	}
	b, err := os.ReadFile(deploy + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDashboardImports: panels have ids and places of their own, and ask the data source
// that whoever looks at them has chosen.
func TestDashboardImports(t *testing.T) {
	d := readDashboard(t)
	want := &grafanaDS{"prometheus", "${datasource}"}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: the id %d is there twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x > 23 {
					t.Fatalf("%s is on %q, or beside the grid", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if !cmp.Equal(p.Datasource, want) || len(p.Targets) == 0 {
			t.Errorf("%s: data source %v, %d queries", p.Title, p.Datasource, len(p.Targets))
		}
		for _, target := range p.Targets {
			if !cmp.Equal(target.Datasource, want) {
				t.Errorf("%s: data source %v of %s", p.Title, target.Datasource, target.Expr)
			}
		}
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name+" "+v.Type)
		if v.Type == "query" && !cmp.Equal(v.Datasource, want) {
			t.Errorf("variable %s: data source %v", v.Name, v.Datasource)
		}
	}
	if diff := cmp.Diff([]string{"datasource datasource", "job query", "instance query"}, variables); diff != "" || d.UID == "" || d.SchemaVersion < 40 {
		t.Errorf("uid %q, schema %d, variables (-want +got):\n%s", d.UID, d.SchemaVersion, diff)
	}
}

var metricName = regexp.MustCompile(`\bmllb_[a-z_]+`)

// served are the names of all metrics.
func served() (names []string) {
	names = []string{"mllb_info", "mllb_build_info"}
	for i := range counterTable {
		if name := counterTable[i].metric; name != "" {
			names = append(names, "mllb_"+name)
		}
	}
	slices.Sort(names)
	return names
}

// TestMetricsOfDeploy: dashboard, alerts and their tests ask for metrics that there are,
// and docs/OPERATIONS.md has all of them.
func TestMetricsOfDeploy(t *testing.T) {
	all := served()
	for _, file := range []string{"grafana/mllb.json", "prometheus/mllb.rules.yml", "prometheus/mllb.rules_test.yml"} {
		for _, name := range metricName.FindAllString(string(deployed(t, file)), -1) {
			if !slices.Contains(all, name) {
				t.Errorf("%s asks for %s", file, name)
			}
		}
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(mllb_[a-z_]+)` \\| (?:gauge|counter) ").FindAllSubmatch(deployed(t, "../docs/OPERATIONS.md"), -1) {
		listed = append(listed, string(m[1]))
	}
	slices.Sort(listed)
	if diff := cmp.Diff(all, listed); diff != "" {
		t.Errorf("metrics that docs/OPERATIONS.md lists (-served +listed):\n%s", diff)
	}
}
