/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Reaction: a CPU is idle while a thread of the tree waits elsewhere; how long until
 * the CPU runs one that came from another CPU's queue.
 *
 *	a thread waits	from when it is queued behind another until it runs, also
 *			across migrations. One that wakes on an idle CPU does not
 *			wait, unless another runs first. Masks are not looked at: what
 *			is held may wait as well.
 *	a CPU is idle	from when the idle task runs to when another does, but for the
 *			balancer, the process that started the root. What runs for less
 *			than the kernel's default cost of a migration only interrupts it.
 *	an episode	lasts while both are so. With more idle CPUs than waiting
 *			threads, or the reverse, there are as many as the fewer.
 *	pulled		it ended because the CPU runs a thread that was migrated while
 *			it waited: by whom makes no difference. What the kernel pulls
 *			when a CPU is about to go idle never lets the idle task run: it is
 *			an episode of its own, from when schedule() began to when the
 *			thread is queued.
 *	otherwise	it ended, or was interrupted, because another thread woke on the
 *			CPU, or none waited any more.
 *
 * What changes a thread's or a CPU's state has its runqueue locked, but for the sums of
 * all, which have a lock of their own.
 */
#ifndef REACTION_H
#define REACTION_H

#include "latency.h"
#include "queues.h"
#include "use.h"

#define BRIEF 500000 /* ns: sysctl_sched_migration_cost, kernel/sched/fair.c */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct rq___clock {
	__u64 clock;	  /* of when the CPU's queue last changed, at the least */
	__u64 idle_stamp; /* what it was when the balancer was asked for a CPU about to go idle; 0: one woke since */
};

struct task_struct___queued {
	unsigned char on_rq; /* int, as on_cpu */
};

#pragma clang attribute pop

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* the loader sets what the kernel allows */
	__type(key, __u64);
	__type(value, struct mllb_member);
} tree SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_starved);
} starved SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_reaction);
} reactions SEC(".maps");

__s32 balancer = 0; /* the process that started the root; by scan() */

static __always_inline struct mllb_member *find(struct task_struct *t)
{
	__u64 key = (__u64)t;

	return bpf_map_lookup_elem(&tree, &key);
}

/*
 * More or fewer CPUs are idle, more or fewer threads wait, or the kernel pulled one
 * for a CPU that was not idle yet. Returns since when a thread had waited.
 */
static __always_inline __u64 change(__u64 now, int idle, int waiting, int newidle)
{
	__u32 zero = 0, open;
	struct mllb_starved *s = bpf_map_lookup_elem(&starved, &zero);
	__u64 since;

	if (!s)
		return now;
	bpf_spin_lock(&s->lock);
	if (now > s->last) {
		s->wasted += s->open * (now - s->last);
		s->last = now;
	}
	since = s->since;
	if (!s->waiting)
		s->since = now;
	s->idle += idle;
	s->waiting += waiting;
	open = s->idle < s->waiting ? s->idle : s->waiting;
	s->begun += newidle;
	s->newidle += newidle;
	if (open > s->open)
		s->begun += open - s->open;
	s->open = open;
	bpf_spin_unlock(&s->lock);
	return since;
}

static __always_inline void record(__u64 ns)
{
	__u32 zero = 0, i = latency_bucket(ns);
	struct mllb_reaction *r = bpf_map_lookup_elem(&reactions, &zero);

	if (!r)
		return;
	r->count++;
	r->sum += ns;
	if (ns > r->max)
		r->max = ns;
	asm volatile("" : "+r"(i)); /* the compiler knows the bound, the verifier has to see it */
	if (i < LATENCY_BUCKETS)
		r->buckets[i]++;
}

/* A thread becomes runnable. */
static __always_inline void woken(struct task_struct *t)
{
	struct mllb_member *m = find(t);
	struct mllb_place *c;
	__u32 cpu;

	if (!m || m->running || m->waits)
		return;
	cpu = SUMS(t)->thread_info.cpu;
	c = bpf_map_lookup_elem(&places, &cpu);
	if (!c)
		return;
	if (c->rests && !c->alone) {
		c->alone = (__u64)t;
		return;
	}
	m->waits = 1;
	change(bpf_ktime_get_ns(), 0, 1, 0);
}

/* A thread that waits, or is about to run on an idle CPU, changes its queue. */
static __always_inline void moved(struct mllb_member *m, struct task_struct *t, struct mllb_place *from, struct mllb_place *to, int here)
{
	struct task_struct *curr = bpf_get_current_task_btf();
	struct rq___clock *rq = (void *)to->rq;

	if (from->alone == (__u64)t) {
		from->alone = 0;
		m->waits = 1;
		change(bpf_ktime_get_ns(), 0, 1, 0);
	}
	if (!m->waits)
		return;
	m->moved = MOVED;
	if (!here || !curr->pid || ((struct task_struct___queued *)curr)->on_rq)
		return;
	to->asked = BPF_CORE_READ(rq, idle_stamp); /* in schedule() */
	if (to->asked)
		m->moved = MOVED_NEWIDLE;
}

/* The thread that was to run on an idle CPU waits if another runs first. */
static __always_inline int overtaken(struct mllb_place *c, struct task_struct *next)
{
	__u64 key = c->alone;
	struct mllb_member *m;

	c->alone = 0;
	if (!key || key == (__u64)next)
		return 0;
	m = bpf_map_lookup_elem(&tree, &key);
	if (!m || m->running || m->waits)
		return 0;
	m->waits = 1;
	return 1;
}

/* What a switch does to the threads; *how is next's way here if it waited. */
static __always_inline int switched_threads(struct task_struct *prev, struct task_struct *next, int runnable, __u32 *how)
{
	struct mllb_member *p = find(prev), *n = find(next);
	int waiting = 0;

	if (p) {
		waiting = runnable - p->waits;
		p->waits = runnable;
		p->running = 0;
	}
	if (n) {
		waiting -= n->waits;
		*how = n->waits ? n->moved : 0;
		n->waits = n->moved = 0;
		n->running = 1;
	}
	return waiting;
}

static __always_inline void switched(struct mllb_place *c, struct task_struct *prev, struct task_struct *next, int runnable)
{
	__u32 how = 0;
	int waiting = overtaken(c, next) + switched_threads(prev, next, runnable, &how);
	__u64 now = bpf_ktime_get_ns(), waited;
	int was = c->idle, idled = was || (c->left && now - c->left < BRIEF), newidle;
	int is = !next->pid || (idled && next->tgid == balancer);

	c->rests = !next->pid;
	if (is != was) /* atomic, for idle_before() */
		was = __sync_lock_test_and_set(&c->idle, is);
	newidle = how == MOVED_NEWIDLE && !idled && !runnable;
	if (newidle)
		c->since = now - (((struct rq___clock *)next->se.cfs_rq->rq)->clock - c->asked);
	else if (is && !idled)
		c->since = now;
	if (was && !is)
		c->left = now;
	if (is == was && !waiting && !newidle)
		return;
	waited = change(now, is - was, waiting, newidle);
	if (!how || !(idled || newidle))
		return;
	c->left = 0;
	record(now - (waited > c->since ? waited : c->since));
}

/* A thread leaves the tree. */
static __always_inline void gone(struct mllb_member *m)
{
	if (m->waits) /* it was not seen to run */
		change(bpf_ktime_get_ns(), 0, -1, 0);
}

/* A CPU that was idle before the measurement. */
static __always_inline void idle_before(struct mllb_place *c)
{
	c->since = bpf_ktime_get_ns();
	c->rests = 1;
	if (!__sync_lock_test_and_set(&c->idle, 1))
		change(c->since, 1, 0, 0);
}

#endif
