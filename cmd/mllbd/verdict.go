// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"slices"

	"mllb/features/bpf"
	"mllb/internal/denial"
)

// verdict is whether one thing that a user wants works here.
type verdict struct {
	Name   string `json:"name"`
	What   string `json:"what"` // the command
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // why not
	Change string `json:"change,omitempty"` // what would change that
	Note   string `json:"note,omitempty"`

	needs [][]string // names of probes; of each list one has to succeed, else the first that is not absent has the reason
}

var (
	toObserve = [][]string{{"topology"}, {"snapshot-proc", "snapshot-bpf"}}
	// toHold is what assist and own need for a command; for the threads of others
	// they need toHoldOthers.
	toHold       = slices.Concat(toObserve, [][]string{{"affinity"}, {"no-sched-ext"}, {"alone"}, {"state-dir"}})
	toHoldOthers = slices.Concat(toObserve, [][]string{{"affinity"}, {"affinity-others"}, {"no-sched-ext"}, {"alone"}, {"state-dir"}})
	toTrace      = [][]string{{"topology"}, {"decisions"}}
)

// verdicts are the questions, in the order in which they are asked.
func verdicts() []verdict {
	return []verdict{
		{Name: "observe", What: "mllbd run --mode observe", needs: toObserve},
		{Name: "assist", What: "mllbd run --mode assist", needs: toHoldOthers},
		{Name: "own", What: "mllbd run --mode own", needs: toHoldOthers},
		{Name: "cpuset", What: "mllbd run --mode own --backend cpuset --cgroup DIR", needs: append(slices.Clone(toHoldOthers), []string{"cpuset-v1", "cpuset-v2"})},
		{Name: "scx", What: "mllbd run --backend scx", needs: append(slices.Clone(toHoldOthers), []string{"sched-ext"})},
		{Name: "collect", What: "mllb collect --out FILE", needs: toTrace},
		{Name: "compare", What: "mllbd run --mode observe --compare", needs: append(slices.Clone(toObserve), []string{"decisions"})},
		{Name: "latency", What: "mllb latency", needs: [][]string{{"topology"}, {"snapshot-bpf"}, {"decisions-fentry"}}},
		{Name: "bench", What: "mllb bench", needs: toHold},
	}
}

// verdictNames are for --require.
func verdictNames() (names []string) {
	for _, v := range verdicts() {
		names = append(names, v.Name)
	}
	return names
}

// probed finds probes by name.
type probed []probe

func (p probed) get(name string) *probe {
	return &p[slices.IndexFunc(p, func(q probe) bool { return q.Name == name })]
}

// missing returns the probe that stands in the way of all these, or nil.
func (p probed) missing(needs [][]string) *probe {
	for _, any := range needs {
		if slices.ContainsFunc(any, func(name string) bool { return p.get(name).OK }) {
			continue
		}
		at := slices.IndexFunc(any, func(name string) bool { return !errors.Is(p.get(name).err, errAbsent) })
		return p.get(any[max(at, 0)])
	}
	return nil
}

// errAbsent says that this host has no such thing, but may have another that does as well.
var errAbsent = errors.New("not mounted")

// judge answers all questions.
func (p probed) judge() []verdict {
	all := verdicts()
	for i := range all {
		v := &all[i]
		if no := p.missing(v.needs); no != nil {
			v.Reason, v.Change = no.reason()
			if v.Name == "latency" {
				v.Reason = "only mllbd's own pass can be timed: " + v.Reason
			}
			if no.Name == "affinity-others" {
				v.Change += p.withCommand(v.Name)
			}
			continue
		}
		v.OK, v.Note = true, p.note(v.Name)
	}
	return all
}

// withCommand is what needs no privilege instead, where that works.
func (p probed) withCommand(name string) string {
	stateDir := ""
	switch no := p.missing(toHold); {
	case name == "cpuset":
		return ""
	case no == p.get("state-dir"):
		stateDir = "--state-dir DIR "
	case no != nil:
		return ""
	}
	return "; for a single command neither is needed: mllbd run --mode " + name + " " + stateDir + "-- CMD"
}

// note says what a yes is worth less for.
func (p probed) note(name string) string {
	switch {
	case p.get("snapshot-bpf").OK || slices.Contains([]string{"collect", "compare", "latency"}, name):
		return ""
	case name == "bench":
		return "run times, without queue lengths and migrations: no eBPF"
	case errors.Is(p.get("snapshot-bpf").err, bpf.ErrNamespace):
		return "only what is in this pid namespace; threads are read from /proc"
	}
	return "threads are read from /proc"
}

// reason is why a probe failed, and what would change that.
func (p *probe) reason() (reason, change string) {
	if reason, change, ok := denial.Explain(p.err); ok {
		return reason, change
	}
	return oneLine(p.err), p.Needs
}
