// SPDX-License-Identifier: Apache-2.0

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"mllb/features"
	"mllb/internal/cgroup"
	"mllb/topology"
)

// How often to look which CPUs are left out: a few times a second, but for no
// more than a thousandth of the time, where there are hundreds of CPUs.
const (
	lookEvery = 300 * time.Millisecond
	lookShare = 1000
)

// leftOutWatch tells that CPUs are left out, or are no more, since the topology
// was read: an isolated cpuset partition was made, say.
type leftOutWatch struct {
	root    string
	log     *slog.Logger
	next    time.Time
	last    []topology.LeftOut // what the last look saw, if that was news
	failing bool
}

// changed looks if it is time to. It believes what two looks in a row saw.
func (w *leftOutWatch) changed(was *topology.Topology) bool {
	start := time.Now()
	if start.Before(w.next) {
		return false
	}
	now, err := topology.ReadLeftOut(w.root, was.Online)
	w.next = start.Add(max(lookEvery, lookShare*time.Since(start)))
	if err != nil && !w.failing {
		w.log.Warn("which CPUs are left out cannot be read", "err", err)
	}
	w.failing = err != nil
	if err != nil || topology.SameLeftOut(now, was.LeftOut) {
		w.last = nil
		return false
	}
	again := w.last != nil && topology.SameLeftOut(now, w.last)
	if w.last = now; now == nil {
		w.last = []topology.LeftOut{}
	}
	return again
}

// cpusets tells what the cpusets of threads allow.
type cpusets struct {
	root   string
	mounts []cgroup.Mount
}

// allowed returns the CPUs that a thread's cpuset allows: none if the kernel does
// not balance them, nil if nothing is known.
func (c *cpusets) allowed(t *features.Thread) topology.CPUSet {
	path := filepath.Join(c.root, "proc", strconv.Itoa(int(t.TGID)), "task", strconv.Itoa(int(t.TID)), "cgroup")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	of, err := cgroup.ParseMemberships(text)
	if err != nil {
		return nil
	}
	if !cgroup.Balanced(c.mounts, of) {
		return topology.CPUSet{}
	}
	cpus, err := cgroup.CPUs(c.mounts, of)
	if err != nil {
		return nil
	}
	return cpus
}
