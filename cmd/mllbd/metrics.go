// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mllb/scheduler"
	"mllb/topology"
)

// identity is what a run is, as labels of mllb_info and as the view's header.
type identity struct {
	Mode, Policy, Model, Rung, Enforcer string
}

// metric is one line of the tables below: a value of the counters.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(c *counters) float64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("mllb_"+name, help, labels, nil)
}

var plain = []metric{
	{desc("ticks_total", "Ticks of the balance loop."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Ticks) }},
	{desc("ticks_failed_total", "Ticks that failed and changed nothing."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Failed) }},
	{desc("ticks_missed_total", "Ticks dropped because the one before took too long."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Missed) }},
	{desc("ticks_quiet_total", "Ticks skipped because the host was at rest."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Quiet) }},
	{desc("ticks_early_total", "Ticks that were not due, but a CPU was idle while threads waited for another."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Early) }},
	{desc("ticks_spared_total", "Ticks left out to stay below --max-cpu."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Spared) }},
	{desc("tick_seconds_total", "Wall time spent in ticks."), prometheus.CounterValue, func(c *counters) float64 { return c.Took.Seconds() }},
	{desc("cpu_seconds_total", "CPU time of mllbd itself."), prometheus.CounterValue, func(*counters) float64 { return cpuTime().Seconds() }},
	{desc("holds_failed_total", "Holds that the kernel refused."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.HoldFailed) }},
	{desc("holds_in_place_total", "Threads held on the CPU where they were."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.InPlace) }},
	{desc("releases_total", "Threads that the scheduler gave their mask back."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Released) }},
	{desc("decisions_outside_total", "Decisions outside the model's training data, which policy cfs answered."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.Outside) }},
	{desc("threads", "Threads in the last snapshot."), prometheus.GaugeValue, func(c *counters) float64 { return float64(c.Threads) }},
	{desc("threads_managed", "Threads in scope."), prometheus.GaugeValue, func(c *counters) float64 { return float64(c.Managed) }},
	{desc("threads_held", "Threads held on one CPU."), prometheus.GaugeValue, func(c *counters) float64 { return float64(c.Held) }},
	{desc("imbalance", "Longest less shortest cfs queue, in tasks."), prometheus.GaugeValue, func(c *counters) float64 { return float64(c.Imbalance) }},
	{desc("imbalance_max", "Largest imbalance of any tick, in tasks."), prometheus.GaugeValue, func(c *counters) float64 { return float64(c.ImbalanceMax) }},
	{desc("imbalance_tasks_total", "Sum of the imbalance; its rate over that of mllb_imbalance_ticks_total is the mean."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.ImbalanceSum) }},
	{desc("imbalance_ticks_total", "Ticks that were due and knew the imbalance."), prometheus.CounterValue, func(c *counters) float64 { return float64(c.ImbalanceN) }},
}

var (
	infoDesc       = desc("info", "What runs; always 1.", "mode", "policy", "model", "rung", "enforcer")
	candidatesDesc = desc("candidates_total", "Threads that a balance pass looked at, and what became of them.", "level", "reason")
	decisionsDesc  = desc("decisions_total", "Decisions put to the policy.", "level", "verdict")
	movesDesc      = desc("moves_total", "Moves that took effect.", "level")
	nodeQueueDesc  = desc("node_queued_tasks", "Tasks in the cfs queues of a node's CPUs.", "node")
	nodeSpreadDesc = desc("node_imbalance", "Longest less shortest cfs queue of a node, in tasks.", "node")
	kernelDesc     = desc("kernel_decisions_total", "Decisions of the kernel that were put to the policy too.", "kernel", "policy")
	lostDesc       = desc("kernel_decisions_lost_total", "Decisions of the kernel that were not seen.")
	eventsDesc     = desc("events_write_errors_total", "Writes to the --events file that failed; each loses lines.")
)

// answers name the two labels of a decision.
var answers = [2]string{"stay", "migrate"}

// metrics is a prometheus.Collector over the counters.
type metrics struct {
	stats *stats
	id    identity
	lost  *atomic.Uint64 // failed writes of events, or nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for i := range plain {
		ch <- plain[i].desc
	}
	for _, d := range []*prometheus.Desc{
		infoDesc, candidatesDesc, decisionsDesc, movesDesc, nodeQueueDesc, nodeSpreadDesc, kernelDesc, lostDesc, eventsDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Every series is there from the
// first scrape, at 0, so that rates are right.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	c := m.stats.read()
	send := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	send(infoDesc, prometheus.GaugeValue, 1, m.id.Mode, m.id.Policy, m.id.Model, m.id.Rung, m.id.Enforcer)
	for i := range plain {
		send(plain[i].desc, plain[i].kind, plain[i].value(&c))
	}
	for l := range topology.NumLevels {
		for r := range scheduler.NumReasons {
			send(candidatesDesc, prometheus.CounterValue, float64(c.Candidates[l][r]), l.String(), r.String())
		}
		send(decisionsDesc, prometheus.CounterValue, float64(c.Approved[l]), l.String(), "migrate")
		send(decisionsDesc, prometheus.CounterValue, float64(c.Asked[l]-c.Approved[l]), l.String(), "stay")
		send(movesDesc, prometheus.CounterValue, float64(c.Moves[l]), l.String())
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		send(nodeQueueDesc, prometheus.GaugeValue, float64(n.Total), strconv.Itoa(n.ID))
		send(nodeSpreadDesc, prometheus.GaugeValue, float64(n.Max-n.Min), strconv.Itoa(n.ID))
	}
	if k := c.Compared; k != nil {
		for kernel := range k.By {
			for policy, n := range k.By[kernel] {
				send(kernelDesc, prometheus.CounterValue, float64(n), answers[kernel], answers[policy])
			}
		}
		send(lostDesc, prometheus.CounterValue, float64(k.Drops))
	}
	if m.lost != nil {
		send(eventsDesc, prometheus.CounterValue, float64(m.lost.Load()))
	}
}

// server serves /metrics and /healthz.
type server struct {
	listener net.Listener
	http     http.Server
}

// listen binds addr. A name or address that is not loopback is obeyed, since
// somebody asked for it, and warned of.
func listen(addr string, log *slog.Logger) (*server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		log.Warn("metrics are open to the network", "addr", l.Addr().String())
	}
	return &server{listener: l}, nil
}

// serve answers until close. stale is the age at which the last tick counts as
// lost.
func (s *server) serve(m *metrics, stale time.Duration, log *slog.Logger) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if why := unhealthy(m.stats.read(), time.Now(), stale); why != "" {
			http.Error(w, why, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	s.http = http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics server ended", "err", err)
		}
	}()
}

// unhealthy says why the daemon is not well, or "".
func unhealthy(c counters, now time.Time, stale time.Duration) string {
	switch {
	case c.Last.IsZero() && c.LastErr == "":
		return "no tick yet"
	case now.Sub(c.Last) <= stale:
		return ""
	case c.LastErr != "":
		return "ticks fail: " + c.LastErr
	}
	return fmt.Sprintf("last tick was %v ago", now.Sub(c.Last).Round(time.Millisecond))
}

// close ends the server; requests under way get a second to finish.
func (s *server) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.http.Shutdown(ctx)
	_ = s.listener.Close()
}
