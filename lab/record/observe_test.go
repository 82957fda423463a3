// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bytes"
	"strings"
	"testing"
)

const metricsText = `# TYPE mllb_kernel_decisions_total counter
mllb_kernel_decisions_total{kernel="migrate",policy="migrate"} 1.5e+06
mllb_kernel_decisions_total{kernel="stay",policy="migrate"} 3
mllb_kernel_decisions_lost_total 7
`

func TestParseCompared(t *testing.T) {
	if n, err := parseCompared(strings.NewReader(metricsText)); n != 1_500_003 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "mllb_kernel_decisions_lost_total 7\n", "mllb_kernel_decisions_total{} x\n", "mllb_kernel_decisions_total{} NaN\n", "mllb_kernel_decisions_total{} -1\n", "mllb_kernel_decisions_total{\n"} {
		if n, err := parseCompared(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %d", bad, n)
		}
	}
}

func FuzzParseCompared(f *testing.F) {
	f.Add(metricsText)
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := parseCompared(strings.NewReader(text)); err == nil && !strings.Contains(text, "mllb_kernel_decisions_total{") {
			t.Error("found what is not there")
		}
	})
}

// TestObserver reads a log as mllbd writes it.
func TestObserver(t *testing.T) {
	o := &observer{attached: make(chan struct{}), ended: make(chan struct{})}
	var stderr bytes.Buffer
	o.read(strings.NewReader(`{"level":"INFO","msg":"balancing","mode":"observe"}
{"level":"INFO","msg":"balance","asked":3}
{"level":"WARN","msg":"a warning"}
no JSON
{"level":"INFO","msg":"agreement","stay_stay":1,"stay_migrate":2,"migrate_stay":3,"migrate_migrate":4,"out_of_distribution":5,"lost":6}
`), &stderr)
	<-o.attached
	<-o.ended
	if want := (Agreement{1, 2, 3, 4, 5, 6}); o.result == nil || *o.result != want || o.result.Total() != 10 {
		t.Errorf("%+v, want %+v", o.result, want)
	}
	if got := stderr.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "a warning") || !strings.Contains(got, "no JSON") {
		t.Errorf("passed on %q", got)
	}
}
