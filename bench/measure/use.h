/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* What a thread used, and the sums of it. */
#ifndef USE_H
#define USE_H

#include "sample.h"
#include "../../features/bpf/kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct thread_info {
	__u32 cpu; /* the CPU it is on or was on last: task_cpu() */
};

struct sched_info {
	unsigned long long run_delay; /* CONFIG_SCHED_INFO */
};

struct sched_entity___sums {
	__u64 nr_migrations;
};

struct task_struct___sums {
	struct thread_info thread_info; /* CONFIG_THREAD_INFO_IN_TASK */
	struct sched_entity___sums se;
	struct task_struct *group_leader;
	struct sched_info sched_info;
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
};

#pragma clang attribute pop

#define SUMS(t) ((struct task_struct___sums *)(t))

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_sums);
} sums SEC(".maps");

static __always_inline struct mllb_sums *here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sums, &zero);
}

/* Typed pointers are read as they are; one that was a number, by a helper. */
#define GET(field) (typed ? t->field : BPF_CORE_READ(t, field))
#define GETSUM(field) (typed ? SUMS(t)->field : BPF_CORE_READ(SUMS(t), field))

static __always_inline void read_use(struct mllb_use *u, struct task_struct *t, int typed)
{
	u->runtime = GET(se.sum_exec_runtime);
	u->utime = GETSUM(utime);
	u->stime = GETSUM(stime);
	u->voluntary = GETSUM(nvcsw);
	u->involuntary = GETSUM(nivcsw);
	u->moves = GETSUM(se.nr_migrations);
	u->delay = 0;
	if (bpf_core_field_exists(SUMS(t)->sched_info.run_delay))
		u->delay = GETSUM(sched_info.run_delay);
}

/* Atomic, for a softirq may free a thread while another exits on its CPU. */
#define ADD(field) __sync_fetch_and_add(&s->use.field, now.field - m->counted.field)

/* Adds to the sums what a thread used since it was last counted. */
static __always_inline void count(struct mllb_member *m, struct task_struct *t, int typed)
{
	struct mllb_sums *s = here();
	struct mllb_use now;

	if (!s || GET(start_boottime) != m->start)
		return;
	read_use(&now, t, typed);
	ADD(runtime);
	ADD(utime);
	ADD(stime);
	ADD(voluntary);
	ADD(involuntary);
	ADD(moves);
	ADD(delay);
	m->counted = now;
}

#endif
