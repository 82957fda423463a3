// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"mllb/internal/version"
)

// identity is what a run is, as labels of mllb_info and as the view's header.
type identity struct {
	Mode, Policy, Model, Backend, Enforcer string
}

var (
	infoDesc  = desc("info", "What runs; always 1.", "mode", "policy", "model", "backend", "enforcer")
	buildDesc = desc("build_info", "What mllbd was built from; always 1.", "version", "revision", "goversion")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mllb_"+name, help, labels, nil)
}

// metrics is a prometheus.Collector over the counters.
type metrics struct {
	stats *stats
	id    atomic.Pointer[identity] // a reload changes it
}

func newMetrics(st *stats, id identity) *metrics {
	m := &metrics{stats: st}
	m.id.Store(&id)
	return m
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- infoDesc
	ch <- buildDesc
	for i := range counterTable {
		if r := &counterTable[i]; r.metric != "" {
			ch <- desc(r.metric, r.help, r.labels...)
		}
	}
}

// Collect implements prometheus.Collector. Every series is there from the
// first scrape, at 0, so that rates are right.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	c := m.stats.read()
	id := m.id.Load()
	ch <- prometheus.MustNewConstMetric(infoDesc, gauge, 1, id.Mode, id.Policy, id.Model, id.Backend, id.Enforcer)
	v := version.Read()
	ch <- prometheus.MustNewConstMetric(buildDesc, gauge, 1, v.Version, v.Revision, v.Go)
	for i := range counterTable {
		r := &counterTable[i]
		if r.metric == "" {
			continue
		}
		d := desc(r.metric, r.help, r.labels...)
		r.each(&c, func(v float64, labels ...string) { ch <- prometheus.MustNewConstMetric(d, r.kind, v, labels...) })
	}
}
