//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * One process tree and all runqueues.
 *
 *	fork:	 the child of a thread in `tree` joins it, before it first runs
 *	migrate: counted by the level crossed, if the thread is in `tree`
 *	free:	 the thread's sums are added up, and it leaves `tree`
 *	timer:	 every runqueue's length (queues.h)
 *
 * The tree is keyed by the address of the task_struct: unlike a thread id it
 * stays when a thread execs, and it is not used again before the task is freed,
 * which is when it leaves. Then, not at its exit, because what a thread uses
 * while it exits is its own as well. Whoever is not free when the measurement
 * ends (alive, a zombie, or waiting for RCU) is summed up by account().
 */
#include "queues.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CLOCK_MONOTONIC 1

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

const volatile __u32 version = SAMPLE_VERSION; /* set here, read by the loader */

/* Set by the loader before a measurement. */
__s32 root = 0;
__u64 interval = 0; /* mean time between samples, ns */

/* Threads of the tree; the value is 1 once the thread is summed up. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* the loader sets what the kernel allows */
	__type(key, __u64);
	__type(value, __u32);
} tree SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_sums);
} sums SEC(".maps");

struct tick {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

__u32 joined = 0; /* threads that scan() found */
__u8 has_delay = 0;

static __always_inline struct mllb_sums *here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sums, &zero);
}

/* Atomic, for account() may be interrupted by on_free() on its CPU. */
#define ADD(field, n) __sync_fetch_and_add(&s->field, sign * (n))
/* Typed pointers are read as they are; one that was a number, by a helper. */
#define GET(field) (typed ? t->field : BPF_CORE_READ(t, field))
#define GETSUM(field) (typed ? SUMS(t)->field : BPF_CORE_READ(SUMS(t), field))

static __always_inline void add(struct task_struct *t, int typed, __s64 sign)
{
	struct mllb_sums *s = here();

	if (!s)
		return;
	ADD(runtime, GET(se.sum_exec_runtime));
	ADD(utime, GETSUM(utime));
	ADD(stime, GETSUM(stime));
	ADD(voluntary, GETSUM(nvcsw));
	ADD(involuntary, GETSUM(nivcsw));
	ADD(moves, GETSUM(se.nr_migrations));
	if (bpf_core_field_exists(SUMS(t)->sched_info.run_delay))
		ADD(delay, GETSUM(sched_info.run_delay));
}

static __always_inline int join(struct task_struct *t)
{
	struct mllb_sums *s = here();
	__u64 key = (__u64)t;
	__u32 no = 0;
	long err = bpf_map_update_elem(&tree, &key, &no, BPF_NOEXIST);

	if (s && err)
		__sync_fetch_and_add(&s->lost, 1);
	else if (s)
		__sync_fetch_and_add(&s->tasks, 1);
	return err;
}

SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx)
{
	__u64 parent = ctx[0];

	if (bpf_map_lookup_elem(&tree, &parent))
		join((void *)ctx[1]);
	return 0;
}

SEC("tp_btf/sched_process_free")
int on_free(__u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	__u64 key = (__u64)t;
	__u32 *summed = bpf_map_lookup_elem(&tree, &key);

	if (!summed)
		return 0;
	if (!__sync_val_compare_and_swap(summed, 0, 1))
		add(t, 1, 1);
	bpf_map_delete_elem(&tree, &key);
	return 0;
}

/* Interrupts are off (set_task_cpu); it fires before the CPU is changed. */
SEC("tp_btf/sched_migrate_task")
int on_migrate(__u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	__u32 from, to = ctx[1], level = SAMPLE_MACHINE;
	struct mllb_place *a, *b;
	struct mllb_sums *s;
	__u64 key = (__u64)t;

	if (!bpf_map_lookup_elem(&tree, &key))
		return 0;
	from = SUMS(t)->thread_info.cpu;
	if (from == to)
		return 0;
	a = bpf_map_lookup_elem(&places, &from);
	b = bpf_map_lookup_elem(&places, &to);
	s = here();
	if (!a || !b || !s)
		return 0;
	if (a->known && b->known && a->node == b->node)
		level = a->core == b->core ? SAMPLE_SMT : a->llc == b->llc ? SAMPLE_LLC : SAMPLE_NODE;
	s->migrations[level]++;
	return 0;
}

/*
 * Finds the runqueues (see ../features/bpf/threads.bpf.c) and those of the tree
 * that are there already. What they used before is taken off the sums.
 */
SEC("iter/task")
int scan(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	__u64 key = (__u64)t, parent, leader;
	struct mllb_place *place;
	struct rq *rq;
	__u32 cpu;

	if (!t)
		return 0;
	has_delay = bpf_core_field_exists(SUMS(t)->sched_info.run_delay);
	rq = t->se.cfs_rq->rq;
	cpu = rq->cpu;
	place = bpf_map_lookup_elem(&places, &cpu);
	if (place)
		place->rq = (__u64)rq;
	if (bpf_map_lookup_elem(&tree, &key))
		return 0;
	parent = (__u64)t->real_parent;
	leader = (__u64)SUMS(t)->group_leader;
	if (t->tgid != root && !bpf_map_lookup_elem(&tree, &parent) && !bpf_map_lookup_elem(&tree, &leader))
		return 0;
	if (!join(t)) {
		add(t, 1, -1);
		joined++;
	}
	return 0;
}

static long account_one(void *map, const __u64 *key, __u32 *summed, void *ctx)
{
	if (!__sync_val_compare_and_swap(summed, 0, 1))
		add((void *)*key, 0, 1);
	return 0;
}

/* Run once, when the measurement ends. */
SEC("syscall")
int account(void *ctx)
{
	bpf_for_each_map_elem(&tree, account_one, 0, 0);
	return 0;
}

static int on_tick(void *map, __u32 *zero, struct tick *tick)
{
	sample();
	/* 3/4 to 5/4 of the interval: never in step with the balancer's own timers. */
	bpf_timer_start(&tick->timer, interval * 3 / 4 + bpf_get_prandom_u32() % (interval / 2 + 1), 0);
	return 0;
}

SEC("syscall")
int begin(void *ctx)
{
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);

	if (!tick)
		return -1;
	bpf_timer_init(&tick->timer, &ticks, CLOCK_MONOTONIC); /* again: says that it is */
	bpf_timer_set_callback(&tick->timer, on_tick);
	return bpf_timer_start(&tick->timer, interval, 0);
}

/* Waits for a callback under way, which may start the timer again: then it is 1. */
SEC("syscall")
int end(void *ctx)
{
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);

	return tick ? bpf_timer_cancel(&tick->timer) : -1;
}
