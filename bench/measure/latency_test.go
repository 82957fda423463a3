// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestLatency times the balancer of a kernel that has too much to do.
func TestLatency(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs CAP_BPF and CAP_PERFMON: run as root")
	}
	tr, err := OpenLatency(slog.New(slog.DiscardHandler))
	if err != nil {
		if os.Getenv("MLLB_LAB") != "1" && errors.Is(err, ErrNoLatency) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer tr.Close()
	// Threads that sleep and wake, so that queues grow and empty.
	for range runtime.NumCPU() {
		w := newWorkload(t, "nap 3 3")
		w.begin()
	}
	time.Sleep(5 * time.Second)
	l, err := tr.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkLatency(t, l)
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var again Latency
	if err := json.Unmarshal(text, &again); err != nil || again.Functions[1].Count != l.Functions[1].Count {
		t.Errorf("JSON: %v, %s", err, text)
	}
}

func checkLatency(t *testing.T, l *Latency) {
	t.Helper()
	if len(l.Functions) != len(balancers) || len(l.Missing) > 0 {
		t.Fatalf("%d functions, missing %v", len(l.Functions), l.Missing)
	}
	if l.Probe.Count != probeCalls || l.Probe.Lost != 0 {
		t.Errorf("the empty function was called %d times, timed %d, lost %d", probeCalls, l.Probe.Count, l.Probe.Lost)
	}
	for _, f := range append(l.Functions, *l.Probe) {
		sum := uint64(0)
		for _, b := range f.Buckets {
			sum += b.N
		}
		if f.Count == 0 || sum != f.Count || f.By != "fentry" {
			t.Errorf("%s: %d calls, %d in buckets, by %s", f.Name, f.Count, sum, f.By)
		}
		if f.Lost > 0 {
			t.Errorf("%s: %d calls lost", f.Name, f.Lost)
		}
		t.Logf("%s: %d calls, median %v, p90 %v, p99 %v, max %v, mean %v, share %.4f", f.Name, f.Count,
			f.Quantile(0.5), f.Quantile(0.9), f.Quantile(0.99), f.Max, f.Mean(), l.Share(&f))
	}
	// The one calls the other.
	if a, b := &l.Functions[0], &l.Functions[1]; a.Sum >= b.Sum {
		t.Errorf("%s took %v, %s, which calls it, %v", a.Name, a.Sum, b.Name, b.Sum)
	}
}

func TestClones(t *testing.T) {
	const symbols = `0000000000000000 t can_migrate_task
0000000000000000 t can_migrate_task.cold
0000000000000000 t can_migrate_task.part.0
0000000000000000 t cant_migrate_task.part.0	[module]
`
	parts, err := clones(strings.NewReader(symbols), "can_migrate_task")
	if err != nil || len(parts) != 1 || parts[0] != "can_migrate_task.part.0" {
		t.Errorf("%v, %v", parts, err)
	}
	if _, err := clones(strings.NewReader("0 t\n"), "f"); err == nil {
		t.Error("half a symbol was taken")
	}
}

func TestFind(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs the kernel's BTF: run as root")
	}
	if name, err := find([]string{"no_such_function_of_any_kernel", empty}); err != nil || name != empty {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := find([]string{"no_such_function_of_any_kernel"}); err == nil || !strings.Contains(err.Error(), "inlined, or renamed") {
		t.Errorf("%v", err)
	}
}
