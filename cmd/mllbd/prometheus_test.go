// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const rules = deploy + "/prometheus/mllb.rules.yml"

// debian finds a program of Debian's package prometheus.
func debian(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("needs Debian's package prometheus: %v", err)
	}
	return path
}

// TestAlertRules: the rules are valid, and each alert fires in a test of its own.
func TestAlertRules(t *testing.T) {
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations map[string]string
			}
		}
	}
	var tests struct {
		Tests []struct {
			Queries []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	for name, into := range map[string]any{"mllb.rules.yml": &file, "mllb.rules_test.yml": &tests} {
		if err := yaml.Unmarshal(deployed(t, "prometheus/"+name), into); err != nil {
			t.Fatal(err)
		}
	}
	var alerts, fired []string
	for _, r := range file.Groups[0].Rules {
		alerts = append(alerts, r.Alert)
		if r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
			t.Errorf("%s does not say what it is, or what to do: %q", r.Alert, r.Annotations)
		}
	}
	alert := regexp.MustCompile(`alertname="(\w+)"`)
	for _, test := range tests.Tests {
		for _, q := range test.Queries {
			for _, s := range q.Samples {
				fired = append(fired, alert.FindStringSubmatch(s.Labels)[1])
			}
		}
	}
	slices.Sort(alerts)
	slices.Sort(fired)
	if diff := cmp.Diff(alerts, slices.Compact(fired)); diff != "" {
		t.Errorf("alerts that fire in a test (-all +fire):\n%s", diff)
	}
	promtool := debian(t, "promtool")
	for _, args := range [][]string{
		{"check", "rules", rules},
		{"test", "rules", strings.Replace(rules, ".yml", "_test.yml", 1)},
		{"check", "config", "--syntax-only", deploy + "/prometheus/scrape.yml"},
	} {
		out, err := exec.Command(promtool, args...).CombinedOutput()
		if err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// scraper is a Prometheus that scrapes one mllbd twice a second.
type scraper struct{ addr string }

func startPrometheus(t *testing.T, target string) *scraper {
	t.Helper()
	path := debian(t, "prometheus")
	dir := t.TempDir()
	absolute, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`global: {scrape_interval: 500ms, evaluation_interval: 1s}
rule_files: [%q]
scrape_configs: [{job_name: mllbd, static_configs: [{targets: [%q]}]}]
`, absolute, target)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p := &scraper{freeAddr(t)}
	runtime.LockOSThread() // Pdeathsig is of the thread that forked (prctl(2))
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.addr, "--log.level=warn")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus: %s", said.String())
		}
	})
	return p
}

// ask returns the data of an answer of the HTTP API.
func (p *scraper) ask(what string, query url.Values, data any) error {
	resp, err := http.Get("http://" + p.addr + "/api/v1/" + what + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", what, answer.Error)
	}
	return nil
}

// query counts the series that an expression yields.
func (p *scraper) query(expr string) (int, error) {
	var data struct{ Result []any }
	err := p.ask("query", url.Values{"query": {expr}}, &data)
	return len(data.Result), err
}

// sometimes are metrics that there are only in some runs, and in which.
var sometimes = map[string]string{
	"mllb_kernel_decisions_total":     "--compare",
	"mllb_wakes_total":                "--backend scx",
	"mllb_enqueues_total":             "--backend scx",
	"mllb_kicks_total":                "--backend scx",
	"mllb_pulls_lost_total":           "--backend scx",
	"mllb_decisions_overridden_total": "--backend scx",
}

// TestDashboardQueries has Debian's Prometheus scrape a mllbd that owns a load, and puts
// each query of the dashboard to it: each has data, but for those of sometimes, which
// are right all the same. So are all rules.
func TestDashboardQueries(t *testing.T) {
	d := readDashboard(t)
	debian(t, "prometheus")
	needCPUs(t, 2)
	addr, gate := freeAddr(t), filepath.Join(t.TempDir(), "scraped")
	p := startPrometheus(t, addr)
	load := startDaemon(t, t.TempDir(), "--mode", "own", "--hold", "busy", "--policy", "always", "--speed", "canary", "--listen", addr,
		"--", "crowd", "8", cpus(), gate, "3600")
	load.expect("started")
	eventually(t, "two scrapes", func() (bool, any) {
		n, err := p.query("count_over_time(mllb_ticks_total[1m]) > 1")
		return n > 0, err
	})
	load.waitAllHeld(8)
	if err := os.WriteFile(gate, nil, 0o644); err != nil { // now there is something to decide
		t.Fatal(err)
	}
	waiting := make(map[string]bool)
	asked, without := 0, 0
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$job", "mllbd", "$instance", ".*").Replace(target.Expr)
			asked++
			if slices.ContainsFunc(metricName.FindAllString(expr, -1), func(name string) bool { return sometimes[name] != "" }) {
				without++
				if _, err := p.query(expr); err != nil {
					t.Errorf("%s: %v\n%s", panel.Title, err, expr)
				}
				continue
			}
			waiting[expr] = true
		}
	}
	eventually(t, "all queries have data", func() (bool, any) {
		for expr := range waiting {
			n, err := p.query(expr)
			if err != nil {
				t.Fatalf("%v\n%s", err, expr)
			}
			if n > 0 {
				delete(waiting, expr)
			}
		}
		return len(waiting) == 0, waiting
	})
	t.Logf("%d queries, of which %d have data in other runs only", asked, without)
	p.checkVariables(t, &d)
	p.checkRules(t)
	load.terminate()
}

// checkVariables asks as Grafana does for the values of the dashboard's variables.
func (p *scraper) checkVariables(t *testing.T, d *dashboard) {
	t.Helper()
	form := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := form.FindStringSubmatch(strings.ReplaceAll(v.Definition, "$job", "mllbd"))
		if m == nil {
			t.Errorf("variable %s: %s", v.Name, v.Definition)
			continue
		}
		var values []string
		if err := p.ask("label/"+m[2]+"/values", url.Values{"match[]": {m[1]}}, &values); err != nil || len(values) != 1 {
			t.Errorf("variable %s: %q, %v", v.Name, values, err)
		}
	}
}

// checkRules waits until each rule was evaluated, without an error.
func (p *scraper) checkRules(t *testing.T) {
	t.Helper()
	eventually(t, "all rules are evaluated", func() (bool, any) {
		var data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
		if err := p.ask("rules", nil, &data); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.LastError != "" {
					t.Errorf("%s: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					n++
				}
			}
		}
		return n > 10 && n == len(data.Groups[0].Rules), data
	})
}
