// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// rung is one line of `mllbd check`.
type rung struct {
	Name  string `json:"name"`
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Needs string `json:"needs"`
	Note  string `json:"note,omitempty"` // what was found; where OK is false, why

	probe func(root string) (note string, err error)
	fatal bool // without it mllbd can do nothing
}

// ladder is what mllbd can use of a host, best rungs first.
func (c *checkCmd) ladder() []rung {
	return []rung{
		{Name: "topology", What: "CPUs, cores, caches, nodes", Needs: "/sys/devices/system", probe: probeTopology},
		{Name: "snapshot-bpf", What: "threads by iter/task eBPF", Needs: "BTF, CAP_BPF and CAP_PERFMON, initial pid namespace", probe: probeBPF},
		{Name: "runqueues-bpf", What: "per-CPU runqueues by CO-RE", Needs: "the same, CONFIG_FAIR_GROUP_SCHED", probe: probeRunqueues},
		{Name: "snapshot-proc", What: "threads from /proc", Needs: "/proc", probe: probeProc},
		{Name: "runqueues-proc", What: "runqueues from debugfs", Needs: "debugfs mounted, CAP_DAC_READ_SEARCH unless root", probe: probeDebugfs},
		{Name: "decisions-fentry", What: "the kernel's decisions, by fentry on can_migrate_task", Needs: "BTF, the function not inlined, CAP_BPF and CAP_PERFMON", probe: probeFentry},
		{Name: "decisions-kprobe", What: "the same by kprobe", Needs: "CONFIG_KPROBES, CAP_BPF and CAP_PERFMON", probe: probeKprobe},
		{Name: "forks-bpf", What: "forks of held threads, at once", Needs: "BTF, CAP_BPF and CAP_PERFMON; else they are found in snapshots", probe: probeForks},
		{Name: "idle-bpf", What: "CPUs that go idle while held threads wait, at once", Needs: "BTF, CAP_BPF and CAP_PERFMON; else they wait for the next tick", probe: probeIdle},
		{Name: "measure-bpf", What: "what the scheduler does to a workload, for mllb bench", Needs: "BTF, CAP_BPF and CAP_PERFMON; else /proc tells less", probe: probeMeasure},
		{Name: "latency-fentry", What: "how long the kernel's balancer takes", Needs: "the same as decisions-fentry, for sched_balance_rq as well", probe: probeLatency},
		{Name: "affinity", What: "sched_setaffinity of mllbd's own threads", Needs: "a kernel and sandbox that allow it", probe: probeAffinity, fatal: true},
		{Name: "affinity-others", What: "sched_setaffinity of other users' threads", Needs: "CAP_SYS_NICE", probe: probeNice},
		{Name: "cpuset-v1", What: "cpuset cgroups, version 1", Needs: "the cpuset hierarchy mounted", probe: probeCpusetV1},
		{Name: "cpuset-v2", What: "cpuset cgroups, version 2", Needs: "cpuset in cgroup.controllers", probe: probeCpusetV2},
		{Name: "cgroups", What: "hierarchies that --cgroup may name", Needs: "a mounted cgroup hierarchy", probe: probeCgroups},
		{Name: "numa-balancing", What: "preferred nodes and NUMA faults", Needs: "sysctl kernel.numa_balancing", probe: probeNUMA},
		{Name: "no-sched-ext", What: "no sched_ext scheduler that assist and own would fight", Needs: "none loaded", probe: probeSchedExt},
		{Name: "alone", What: "no other mllbd, nothing left by a killed one", Needs: "mllbd restore, if one was killed", probe: c.probeState},
	}
}

// run climbs the ladder. Only a host on which mllbd can do nothing is an error.
func (c *checkCmd) run(stdout io.Writer) error {
	rungs := c.ladder()
	var fatal error
	for i := range rungs {
		r := &rungs[i]
		note, err := r.probe(c.Root)
		r.OK, r.Note = err == nil, note
		if err != nil {
			r.Note = oneLine(err)
			if r.fatal {
				fatal = errors.Join(fatal, fmt.Errorf("%s: %w", r.Name, err))
			}
		}
	}
	if err := c.print(stdout, rungs); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return fatal
}

func (c *checkCmd) print(w io.Writer, rungs []rung) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(rungs)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range rungs {
		r := &rungs[i]
		answer, note := "yes", r.Note
		if !r.OK {
			answer, note = "no", "needs "+r.Needs+": "+r.Note
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", answer, r.Name, r.What, note)
	}
	return tw.Flush()
}

// oneLine is an error as one line: the verifier's log has thousands.
func oneLine(err error) string {
	first, rest, more := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	if more && rest != "" {
		return first + " ..."
	}
	return first
}
