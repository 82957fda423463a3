// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"mllb/internal/version"
	"mllb/scheduler"
)

// parse is a command line of `mllbd run` as the program would parse it.
func parse(t testing.TB, args ...string) *runCmd {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.DefaultEnvars("MLLBD"), defaults)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"run"}, args...)); err != nil {
		t.Fatal(err)
	}
	return &c.Run
}

// fixtureHost is a host of two nodes with four CPUs, one of them offline: the
// threads and runqueues of features/procfs, and a sysfs of its own.
func fixtureHost(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "host")
	if err := os.CopyFS(root, os.DirFS("../../features/procfs/testdata/host")); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"cpu/online": "0-2", "cpu/present": "0-3", "cpu/possible": "0-3",
		"node/node0/cpulist": "0-1", "node/node1/cpulist": "2-3",
		"node/node0/distance": "10 21", "node/node1/distance": "21 10",
	}
	for cpu, package_ := range []string{"0", "0", "1"} {
		dir := fmt.Sprintf("cpu/cpu%d/topology/", cpu)
		files[dir+"core_cpus_list"] = fmt.Sprint(cpu)
		files[dir+"physical_package_id"] = package_
	}
	for name, text := range files {
		path := filepath.Join(root, "sys/devices/system", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// get returns the status and body of a page of the session's server.
func get(t *testing.T, s *session, page string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.server.listener.Addr().String() + page)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestMetricsOfFixture runs mllbd on a fixture host and compares the whole of
// /metrics, but for what is measured of mllbd itself.
func TestMetricsOfFixture(t *testing.T) {
	c := parse(t, "--mode", "observe", "--root", fixtureHost(t), "--snapshot", "proc", "--interval", "10s", "--listen", "127.0.0.1:0")
	s := &session{cfg: c, by: newInvocation(nil), stdout: io.Discard, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}
	defer s.close()
	if err := s.prepare(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.balance(ctx) }()
	for range 100 { // until the one tick of the first 10 s is over
		if s.stats.read().Ticks > 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	status, body := get(t, s, "/metrics")
	if status != http.StatusOK {
		t.Errorf("/metrics answers %d", status)
	}
	if status, text := get(t, s, "/healthz"); status != http.StatusOK || text != "ok\n" {
		t.Errorf("/healthz answers %d %q", status, text)
	}
	measured := regexp.MustCompile(`(?m)^(mllb_(?:cpu|tick)_seconds_total|mllb_snapshot_age_seconds) .*$`)
	body = measured.ReplaceAllString(body, "$1 MEASURED")
	v := version.Read()
	body = strings.Replace(body, fmt.Sprintf(`{goversion=%q,revision=%q,version=%q}`, v.Go, v.Revision, v.Version), "{BUILD}", 1)
	golden(t, "metrics.txt", []byte(body))
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestMetricsLint(t *testing.T) {
	var st stats
	st.Tick(sampleTick(t))
	problems, err := testutil.CollectAndLint(newMetrics(&st, identity{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestHealth(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name string
		c    counters
		want string
	}{
		{"before the first tick", counters{}, "no tick yet"},
		{"fresh", counters{Last: now.Add(-100 * time.Millisecond)}, ""},
		{"fresh, and one failure since", counters{Last: now.Add(-200 * time.Millisecond), LastErr: "blind"}, ""},
		{"stuck", counters{Last: now.Add(-2 * time.Second)}, "last tick was 2s ago"},
		{"failing", counters{Last: now.Add(-2 * time.Second), LastErr: "blind"}, "ticks fail: blind"},
		{"failing from the start", counters{LastErr: "blind"}, "ticks fail: blind"},
	} {
		if got := unhealthy(tt.c, now, 500*time.Millisecond); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestScrapeWhileTicking is for the race detector.
func TestScrapeWhileTicking(t *testing.T) {
	var st stats
	tick := sampleTick(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			st.Tick(tick)
			st.Tick(&scheduler.Tick{Err: errors.New("blind")})
		}
	}()
	for range 50 {
		if n := testutil.CollectAndCount(newMetrics(&st, identity{})); n == 0 {
			t.Fatal("nothing to scrape")
		}
	}
	<-done
}

func TestListenWarnsOfTheNetwork(t *testing.T) {
	for addr, want := range map[string]bool{"127.0.0.1:0": false, "[::1]:0": false, "0.0.0.0:0": true} {
		var out strings.Builder
		s, err := listen(addr, slog.New(slog.NewTextHandler(&out, nil)))
		if err != nil && addr == "[::1]:0" {
			t.Logf("no IPv6 here: %v", err)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		s.close()
		if got := strings.Contains(out.String(), "open to the network"); got != want {
			t.Errorf("%s: warned %v, want %v", addr, got, want)
		}
	}
}
