/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* One look at all runqueues, which nothing locks meanwhile. */
#ifndef QUEUES_H
#define QUEUES_H

#include "sample.h"
#include "../../features/bpf/kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#define PF_KTHREAD 0x00200000

struct cfs_rq___6_13 {
	unsigned int h_nr_delayed; /* 6.13; h_nr_runnable says it since 6.14, and in 6.12 stable */
} __attribute__((preserve_access_index));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* the loader sets the number of possible CPUs */
	__type(key, __u32);
	__type(value, struct mllb_place);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SAMPLE_SERIES);
	__type(key, __u32);
	__type(value, __u64); /* as large as the map's stride */
} series SEC(".maps");

__u64 lengths[SAMPLE_LENGTHS];
__u64 samples = 0;

struct seen {
	__u32 shortest;
	__u32 longest;
	__u32 self; /* the CPU whose queue has the thread that this runs in, or no CPU */
};

/*
 * Threads of the fair class and of sched_ext that run or wait. Not those whose dequeue is only delayed, but for
 * the first releases of 6.12, which do not tell them.
 */
static __always_inline __u32 length(struct rq *rq)
{
	struct cfs_rq *q = &rq->cfs;
	struct cfs_rq___until_6_13 *old = (void *)q;
	struct cfs_rq___6_13 *delayed = (void *)q;
	__u32 n, ext = bpf_core_field_exists(rq->scx.nr_running) ? BPF_CORE_READ(rq, scx.nr_running) : 0;

	if (bpf_core_field_exists(q->h_nr_runnable))
		return BPF_CORE_READ(q, h_nr_runnable) + ext;
	n = bpf_core_field_exists(q->h_nr_queued) ? BPF_CORE_READ(q, h_nr_queued) : BPF_CORE_READ(old, h_nr_running);
	if (bpf_core_field_exists(delayed->h_nr_delayed))
		n -= BPF_CORE_READ(delayed, h_nr_delayed);
	return n + ext;
}

static long look(void *map, const __u32 *cpu, struct mllb_place *place, struct seen *seen)
{
	struct rq *rq = (void *)place->rq;
	__u32 n, i;

	if (!rq || !BPF_CORE_READ(rq, online))
		return 0;
	n = length(rq);
	if (*cpu == seen->self && n)
		n--;
	i = n < SAMPLE_LENGTHS ? n : SAMPLE_LENGTHS - 1;
	asm volatile("" : "+r"(i)); /* the compiler knows the bound, 6.1's verifier has to see it */
	if (i < SAMPLE_LENGTHS)
		lengths[i]++;
	if (n < seen->shortest)
		seen->shortest = n;
	if (n > seen->longest)
		seen->longest = n;
	return 0;
}

/*
 * Softirqs borrow the thread that they interrupt, which would run anyway; but
 * ksoftirqd runs because of them.
 */
static __always_inline int in_ksoftirqd(void)
{
	struct task_struct *t = (void *)bpf_get_current_task();
	char comm[16] = {};

	if (!(BPF_CORE_READ(t, flags) & PF_KTHREAD))
		return 0;
	bpf_get_current_comm(comm, sizeof(comm));
	return comm[0] == 'k' && comm[1] == 's' && comm[2] == 'o' && comm[3] == 'f' && comm[4] == 't';
}

static __always_inline void sample(void)
{
	struct seen seen = {.shortest = ~0u, .self = ~0u};
	__u32 at = samples;
	__u64 *slot;

	if (in_ksoftirqd())
		seen.self = bpf_get_smp_processor_id();
	bpf_for_each_map_elem(&places, look, &seen, 0);
	slot = bpf_map_lookup_elem(&series, &at);
	if (slot)
		*slot = seen.longest < seen.shortest ? 0 : seen.longest - seen.shortest;
	samples++;
}

#endif
