// SPDX-License-Identifier: Apache-2.0

package main

// probe is one detail of `mllbd check`: something that a command may need.
type probe struct {
	Name  string `json:"name"`
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Needs string `json:"needs"`
	Note  string `json:"note,omitempty"` // what was found; where OK is false, why

	run func(root string) (note string, err error)
	err error
}

// try runs the probe.
func (p *probe) try(root string) {
	p.Note, p.err = p.run(root)
	if p.OK = p.err == nil; !p.OK {
		p.Note = oneLine(p.err)
	}
}

// probes are what the commands can use of a host, the best of each kind first.
func (c *checkCmd) probes() probed {
	return probed{
		{Name: "topology", What: "CPUs, cores, caches, nodes", Needs: "sysfs, mounted at /sys", run: probeTopology},
		{Name: "snapshot-bpf", What: "threads by iter/task eBPF", Needs: "BTF, CAP_BPF and CAP_PERFMON, the first pid namespace", run: probeBPF},
		{Name: "runqueues-bpf", What: "per-CPU runqueues by CO-RE", Needs: "the same, CONFIG_FAIR_GROUP_SCHED", run: probeRunqueues},
		{Name: "snapshot-proc", What: "threads from /proc", Needs: "/proc", run: probeProc},
		{Name: "runqueues-proc", What: "runqueues from debugfs", Needs: "debugfs mounted, CAP_DAC_READ_SEARCH unless root", run: probeDebugfs},
		{Name: "decisions-fentry", What: "programs at can_migrate_task by fentry", Needs: "BTF, the function not inlined, CAP_BPF and CAP_PERFMON", run: probeFentry},
		{Name: "decisions-kprobe", What: "the same by kprobe", Needs: "CONFIG_KPROBES, CAP_BPF and CAP_PERFMON", run: probeKprobe},
		{Name: "schedstats", What: "counters that tell why a thread was not moved", Needs: "CONFIG_SCHEDSTATS, and root to turn them on", run: probeSchedstats},
		{Name: "decisions", What: "the kernel's own decisions, recorded", Needs: "schedstats, fentry or kprobe, Linux 6.1", run: probeDecisions},
		{Name: "forks-bpf", What: "forks of held threads, at once", Needs: "BTF, CAP_BPF and CAP_PERFMON; else they are found in snapshots", run: probeForks},
		{Name: "marks-bpf", What: "whose a narrowed mask is, for certain", Needs: "BTF, CAP_BPF and CAP_PERFMON, Linux 6.2, CPUs that are no multiple of 64; else lineage says", run: probeMarks},
		{Name: "idle-bpf", What: "CPUs that go idle while held threads wait, at once", Needs: "BTF, CAP_BPF and CAP_PERFMON; else they wait for the next tick", run: probeIdle},
		{Name: "affinity", What: "sched_setaffinity of mllbd's own threads", Needs: "a kernel and sandbox that allow it", run: probeAffinity},
		{Name: "speed", What: "what each CPU is worth, measured", Needs: "sched_setaffinity; /proc/thread-self/schedstat (CONFIG_SCHED_INFO) to see that a host takes CPUs away", run: probeSpeed},
		{Name: "affinity-others", What: "sched_setaffinity of other users' threads", Needs: "CAP_SYS_NICE", run: probeNice},
		{Name: "cpuset-v1", What: "cpuset cgroups, version 1", Needs: "the cpuset hierarchy mounted, and writable", run: probeCpusetV1},
		{Name: "cpuset-v2", What: "cpuset cgroups, version 2", Needs: "cpuset in cgroup.controllers, and a writable hierarchy", run: probeCpusetV2},
		{Name: "cgroups", What: "hierarchies that --cgroup may name", Needs: "a mounted cgroup hierarchy", run: probeCgroups},
		{Name: "numa-balancing", What: "preferred nodes and NUMA faults", Needs: "sysctl kernel.numa_balancing", run: probeNUMA},
		{Name: "left-out", What: "CPUs that the kernel's balancer leaves alone", Needs: "CONFIG_SCHEDSTATS, to see those without a sched domain", run: probeLeftOut},
		{Name: "no-sched-ext", What: "no sched_ext scheduler that assist and own would fight", Needs: "none loaded", run: probeSchedExt},
		{Name: "sched-ext", What: "a sched_ext scheduler of mllb's own", Needs: "Linux 6.12 with CONFIG_SCHED_CLASS_EXT, BTF, CAP_BPF and CAP_PERFMON, cgroups with equal shares, no core scheduling", run: probeOwnSchedExt},
		{Name: "alone", What: "no other mllbd", Needs: "that none is running", run: c.probeAlone},
		{Name: "restored", What: "nothing left by a killed mllbd", Needs: "mllbd restore, or the next mllbd run", run: c.probeJournal},
		{Name: "state-dir", What: "a directory for the journal of what is to be undone", Needs: "root, or --state-dir", run: c.probeStateDir},
	}
}
