// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"strings"
	"testing"

	"mllb/bench/measure"
	"mllb/internal/browser"
)

// The pages are as readable on a phone as on a desk, in both themes, also where names are
// long and there are many of them.
func TestPages(t *testing.T) {
	h, records := sampleRun(t)
	h.Config.Workloads[0].Name = "cmd:make -C some/long/path -j64 all"
	for i := range records {
		if records[i].Workload == "fibo" {
			records[i].Workload = h.Config.Workloads[0].Name
		}
	}
	r := newReport(h, records)
	r.Latency = []measure.Latency{{Kernel: "6.12.48+deb13-amd64", Functions: []measure.Function{
		{Name: "can_migrate_task", By: "fentry", Histogram: measure.Histogram{Count: 3, Buckets: []measure.Bucket{{From: 100, To: 200, N: 2}, {From: 4000, To: 800000, N: 1}}}},
		{Name: "tick", By: "user", Histogram: measure.Histogram{Count: 1, Buckets: []measure.Bucket{{From: 100, To: 200, N: 1}}}}}}}
	r.Latency = append(r.Latency, measure.Latency{Kernel: "7.2.1+deb14-cloud-amd64", Functions: r.Latency[0].Functions})
	pictures, err := r.pictures()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pictures {
		browser.Inside(t, p.Title, []byte(p.SVG))
	}
	var page, compared bytes.Buffer
	if err := r.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := Compare([]*Report{r, r, r}).HTML(&compared); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(page.String(), "stroke:#000000") {
		t.Error("a line is black in every theme")
	}
	browser.Look(t, browser.Page{Name: "bench.html", Content: page.Bytes(), Figures: len(pictures), Least: 9},
		browser.Page{Name: "compare.html", Content: compared.Bytes()})
}
