//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * One process tree and all runqueues.
 *
 *	fork:	 the child of a thread in `tree` joins it, before it first runs
 *	migrate: counted by the level crossed, if the thread is in `tree`
 *	switch, wake-up: how long CPUs are idle while threads of it wait (reaction.h)
 *	exit:	 what the thread used is added up
 *	free:	 and what it used while it exited; it leaves `tree`
 *	timer:	 every runqueue's length (queues.h)
 *
 * The tree is keyed by the address of the task_struct, which unlike a thread id
 * stays when a thread execs, and is not used again before the task is freed. At
 * its exit a thread has memory to give back still; and sched_process_free alone
 * will not do: on one 6.18 it did not fire for some threads, 0.1 to 9 % of those
 * of a storm of them now and then. Such leave the tree when their address is
 * used again. Whoever is in it when the measurement ends (alive, a zombie, waiting
 * for RCU) is added up by account(). What stands at an address is the thread
 * that joined if it started when that did.
 */
#include "queues.h"
#include "reaction.h"
#include "use.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define CLOCK_MONOTONIC 1

const volatile __u32 version = SAMPLE_VERSION; /* set here, read by the loader */

/* Set by the loader before a measurement. */
__s32 root = 0;
__u64 interval = 0; /* mean time between samples, ns */

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

/* A thread that was here and used something before is not counted for that. */
static __always_inline int join(struct task_struct *t, int born)
{
	struct mllb_member m = {.start = t->start_boottime};
	struct mllb_sums *s = here();
	__u64 key = (__u64)t;
	long err;

	if (!born)
		read_use(&m.counted, t, 1);
	err = bpf_map_update_elem(&tree, &key, &m, BPF_ANY);
	if (s && err)
		__sync_fetch_and_add(&s->lost, 1);
	else if (s)
		__sync_fetch_and_add(&s->tasks, 1);
	return err;
}

static __always_inline int member(struct task_struct *t)
{
	return find(t) != 0;
}

/*
 * An event that finds its program under way on its CPU is kept from it: on 7.2
 * one exit of some thousand. So a thread is known by its process too, and who
 * was not seen to join joins at exit.
 */
SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0];
	__u64 child = ctx[1];

	if (member(parent) || member(SUMS(parent)->group_leader))
		join((void *)ctx[1], 1);
	else if (bpf_map_lookup_elem(&tree, &child))
		bpf_map_delete_elem(&tree, &child); /* of one whose end was not seen */
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	struct mllb_member *m = find(t);

	if (!m && (member(SUMS(t)->group_leader) || member(t->real_parent))) {
		join(t, 1);
		m = find(t);
	}
	if (m)
		count(m, t, 1);
	return 0;
}

SEC("tp_btf/sched_process_free")
int on_free(__u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	__u64 key = (__u64)t;
	struct mllb_member *m = find(t);

	if (!m)
		return 0;
	count(m, t, 1);
	gone(m);
	bpf_map_delete_elem(&tree, &key);
	return 0;
}

/* Interrupts are off (set_task_cpu); it fires before the CPU is changed. */
SEC("tp_btf/sched_migrate_task")
int on_migrate(__u64 *ctx)
{
	struct task_struct *t = (void *)ctx[0];
	__u32 from, to = ctx[1], level = SAMPLE_MACHINE;
	struct mllb_member *m = find(t);
	struct mllb_place *a, *b;
	struct mllb_sums *s;

	if (!m)
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
	moved(m, t, a, b, to == bpf_get_smp_processor_id());
	return 0;
}

/* prev->__state is not 0 as long as prev is off the queue and not woken since. */
SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	__u32 cpu = bpf_get_smp_processor_id();
	struct mllb_place *c = bpf_map_lookup_elem(&places, &cpu);

	if (c)
		switched(c, prev, next, (ctx[0] & 1) || !prev->__state);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int on_wakeup(__u64 *ctx)
{
	woken((void *)ctx[0]);
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int on_wakeup_new(__u64 *ctx)
{
	woken((void *)ctx[0]);
	return 0;
}

/*
 * Finds the runqueues (see ../../features/bpf/threads.bpf.c) and those of the tree
 * that are there already.
 */
SEC("iter/task")
int scan(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct mllb_place *place;
	struct rq *rq;
	__u32 cpu;

	if (!t)
		return 0;
	has_delay = bpf_core_field_exists(SUMS(t)->sched_info.run_delay);
	rq = t->se.cfs_rq->rq;
	cpu = rq->cpu;
	place = bpf_map_lookup_elem(&places, &cpu);
	if (place && !place->rq) {
		place->rq = (__u64)rq;
		if (!rq->nr_running)
			idle_before(place);
	}
	if (t->tgid == root)
		balancer = t->real_parent->tgid;
	if (member(t))
		return 0;
	if (t->tgid != root && !member(t->real_parent) && !member(SUMS(t)->group_leader))
		return 0;
	if (!join(t, 0))
		joined++;
	return 0;
}

static long account_one(void *map, const __u64 *key, struct mllb_member *m, void *ctx)
{
	count(m, (void *)*key, 0);
	return 0;
}

/* Run once, when the measurement ends and the programs above are off. */
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
	return bpf_timer_start(&tick->timer, bpf_get_prandom_u32() % interval, 0); /* a short run may have one, too */
}

/* Waits for a callback under way, which may start the timer again: then it is 1. */
SEC("syscall")
int end(void *ctx)
{
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);

	return tick ? bpf_timer_cancel(&tick->timer) : -1;
}
