//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The host in one pass of iter/task: a record for each thread, and each CPU's
 * runqueue the first time that a thread of it is met. Typed ksyms for the
 * per-CPU runqueues need KALLSYMS_ALL, but se.cfs_rq->rq is always there, and
 * every online CPU has threads of its own (ksoftirqd/N).
 *
 * Nothing is locked. A thread that moves, wakes or exits while it is read may
 * show a state, a CPU and a runqueue of slightly different moments; its CPU and
 * delta are of one runqueue. Runqueues are read during the pass, not after it.
 * The iterator holds a reference to the task, which keeps signal, cgroups and
 * numa_faults alive; real_parent, pids, numa_group and css_set links are under
 * the program's rcu_read_lock. Every load of a dead pointer faults to 0.
 */
#include "mllb.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by the loader before the program is loaded. */
const volatile __u32 version = MLLB_VERSION;
const volatile __u32 mask_words = 1;
const volatile __u32 nr_nodes = 1;
const volatile __u32 hierarchy = 0; /* of the cgroup ids; 0 is cgroup v2 */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader sets the number of possible CPUs */
	__type(key, __u32);
	__type(value, struct mllb_rq);
} runqueues SEC(".maps");

/*
 * The record under construction. It is too large for the stack; one pass at a
 * time runs (bpf_seq_read holds the file's mutex, and the reader has one file).
 */
static struct {
	struct mllb_thread t;
	__u64 tail[2 * MLLB_MAX_WORDS + 2 + 4 * MLLB_MAX_NODES];
} rec;

/* Neighbours in the pass are mostly threads of one process: one css_set. */
static struct {
	__u64 pass;
	__u64 cset;
	__u64 id;
} last;

#define MAX_HIERARCHIES 32

static __always_inline __u64 cgroup_in(struct css_set *cset)
{
	struct list_head *head = &cset->cgrp_links, *pos = head->next;

	if (hierarchy == 0)
		return cset->dfl_cgrp->kn->id;
	for (int i = 0; i < MAX_HIERARCHIES && pos != head; i++) {
		struct cgrp_cset_link *link =
			(void *)pos - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);

		if (BPF_CORE_READ(link, cgrp, root, hierarchy_id) == hierarchy)
			return BPF_CORE_READ(link, cgrp, kn, id);
		pos = BPF_CORE_READ(pos, next);
	}
	return 0;
}

static __always_inline __u64 cgroup_id(struct task_struct *t, __u64 pass)
{
	struct css_set *cset = t->cgroups;

	/* An address may be used again, but not by the same pass: RCU aside, too soon. */
	if (last.cset != (__u64)cset || last.pass != pass) {
		last.id = cgroup_in(cset);
		last.cset = (__u64)cset;
		last.pass = pass;
	}
	return last.id;
}

static __always_inline void sample_rq(struct rq *rq, __u32 cpu, __u64 pass)
{
	struct mllb_rq *slot = bpf_map_lookup_elem(&runqueues, &cpu);

	if (!slot || slot->pass == pass)
		return;
	slot->pass = pass;
	slot->rq = (__u64)rq; /* per-CPU and static: it outlives the pass, and a hotplug */
	slot->self = cpu == bpf_get_smp_processor_id();
	slot->clock = rq->clock_task;
	slot->load_avg = rq->cfs.avg.load_avg;
	slot->nr_running = rq->nr_running;
	slot->online = rq->online;
	if (bpf_core_field_exists(rq->cfs.h_nr_queued))
		slot->nr_queued = rq->cfs.h_nr_queued;
	else
		slot->nr_queued = ((struct cfs_rq___until_6_13 *)&rq->cfs)->h_nr_running;
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable))
		slot->delayed = slot->nr_queued - rq->cfs.h_nr_runnable;
	if (bpf_core_field_exists(rq->nr_preferred_running)) {
		slot->nr_preferred = rq->nr_preferred_running;
		slot->nr_numa = rq->nr_numa_running;
	}
}

/* Appends the NUMA faults at tail[at]; returns the words written. */
static __always_inline __u32 numa(struct task_struct *t, __u32 at)
{
	__u64 *tail = rec.tail + at;
	__u32 bytes = nr_nodes * 16, words = nr_nodes * 2;
	struct numa_group *group;
	unsigned long *faults;

	rec.t.numa = 0;
	rec.t.preferred_node = -1;
	if (!bpf_core_field_exists(t->numa_faults))
		return 0;
	rec.t.preferred_node = t->numa_preferred_nid;
	faults = t->numa_faults;
	group = t->numa_group;
	if (group)
		rec.t.numa |= MLLB_HAS_GROUP;
	if (!faults)
		return 0;
	rec.t.numa |= MLLB_HAS_FAULTS;
	tail[0] = t->total_numa_faults;
	tail[1] = group ? group->total_faults : 0;
	/* Both helpers clear the destination where they fail, also for a NULL group. */
	bpf_probe_read_kernel(tail + 2, bytes, faults);
	bpf_probe_read_kernel(tail + 2 + words, bytes,
			      group ? (void *)group + bpf_core_field_offset(group->faults) : 0);
	return 2 + 2 * words;
}

/* Appends the mask that was asked for at tail[words], after the one there is; returns the words written. */
static __always_inline __u32 asked(struct task_struct *t, __u32 words)
{
	struct cpumask *user;

	rec.t.asked = 0;
	if (!bpf_core_field_exists(t->user_cpus_ptr))
		return 0;
	user = t->user_cpus_ptr;
	if (!user)
		return 0;
	rec.t.asked = 1;
	if (words == 1)
		rec.tail[1] = user->bits[0];
	else
		bpf_probe_read_kernel(rec.tail + words, words * 8, user);
	return words;
}

/* A load of 8 bytes from inside an array that is aligned to at least 4. */
#define LOAD64(p) (*(const volatile __u64 *)(p))

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	__u64 pass = ctx->meta->session_id;
	__u32 words = mask_words;
	struct rq *rq;

	/* The last call has no task. The bounds are the loader's, said to the verifier. */
	if (!t || words < 1 || words > MLLB_MAX_WORDS || nr_nodes > MLLB_MAX_NODES)
		return 0;

	rq = t->se.cfs_rq->rq;
	rec.t.cpu = rq->cpu;
	rec.t.delta = rq->clock_task - t->se.exec_start;
	sample_rq(rq, rec.t.cpu, pass);

	rec.t.start = t->start_boottime;
	rec.t.cgroup = cgroup_id(t, pass);
	rec.t.load = t->se.avg.load_avg;
	rec.t.runtime = t->se.sum_exec_runtime;
	rec.t.runnable = t->se.avg.runnable_avg;
	*(__u64 *)rec.t.comm = LOAD64(&t->comm[0]);
	*(__u64 *)(rec.t.comm + 8) = LOAD64(&t->comm[8]);
	rec.t.tid = t->pid;
	rec.t.tgid = t->tgid;
	rec.t.ppid = t->real_parent->tgid;
	rec.t.session = t->signal->pids[PIDTYPE_SID]->numbers[0].nr;
	rec.t.state = t->__state | t->exit_state;
	rec.t.flags = t->flags;
	rec.t.policy = t->policy;
	rec.t.nice = t->static_prio - 120; /* PRIO_TO_NICE */
	rec.t.on_cpu = t->on_cpu;
	rec.t.migration_disabled = t->migration_disabled != 0;

	/* A helper call costs more than the rest of the record; most hosts need none. */
	if (words == 1)
		rec.tail[0] = t->cpus_mask.bits[0];
	else
		bpf_probe_read_kernel(rec.tail, words * 8, &t->cpus_mask);
	words += asked(t, words);
	words += numa(t, words);
	rec.t.size = sizeof(rec.t) + words * 8;
	bpf_seq_write(ctx->meta->seq, &rec, rec.t.size);
	return 0;
}

static long look(void *map, const __u32 *cpu, struct mllb_rq *slot, void *ctx)
{
	struct rq *rq = (void *)slot->rq;

	if (!rq)
		return 0;
	slot->now_self = *cpu == bpf_get_smp_processor_id();
	slot->now_online = BPF_CORE_READ(rq, online);
	slot->now_running = BPF_CORE_READ(rq, nr_running);
	if (bpf_core_field_exists(rq->cfs.h_nr_queued))
		slot->now_queued = BPF_CORE_READ(rq, cfs.h_nr_queued);
	else
		bpf_probe_read_kernel(&slot->now_queued, sizeof(slot->now_queued),
				      (void *)&rq->cfs + bpf_core_field_offset(struct cfs_rq___until_6_13, h_nr_running));
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable))
		slot->now_delayed = slot->now_queued - BPF_CORE_READ(rq, cfs.h_nr_runnable);
	return 0;
}

/*
 * How many threads each CPU has now, without a look at any thread. It is never
 * attached, only run by BPF_PROG_RUN, which disables preemption meanwhile
 * (bpf_prog_test_run_raw_tp, net/bpf/test_run.c, 6.1). Like the programs above
 * it needs CAP_BPF and CAP_PERFMON.
 */
SEC("raw_tp")
int recount(void *ctx)
{
	bpf_for_each_map_elem(&runqueues, look, 0, 0);
	return 0;
}
