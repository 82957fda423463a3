/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The balance pass of one CPU: which queue it pulls from, and what the policy says of
 * each thread in it.
 */
#ifndef MLLB_SCX_PULL_H
#define MLLB_SCX_PULL_H

#include "state.h"
#include <bpf/bpf_core_read.h>

#define LOOKS 32

/* One CPU's attempt to pull. */
struct pull {
	struct mllb_facts facts;
	struct mllb_verdict verdict;
	struct mllb_vector vector;
	__u64 now;
	__s32 src, dst;
	__u32 level;
	__u32 net;	/* that decided */
	_Bool idle;	/* nothing is left to run on dst */
	_Bool overridden, moved;
	__u64 waited;
};

/* The busiest CPU of a domain of dst from which a thread may be worth pulling, or -1. */
MLLB_ONCE int busiest(const struct pull *pl, const struct mllb_near *near, __u32 from, __u32 to)
{
	struct bpf_iter_num it;
	struct cpu *dst;
	__s64 most = 0;
	__s32 best = -1;
	int *i;

	if (!pl || !near)
		return -1;
	dst = cpu_of(pl->dst);
	if (!dst)
		return -1;
	bpf_iter_num_new(&it, from, to);
	while ((i = bpf_iter_num_next(&it))) {
		__s32 cpu = near->cpu[*i & (MLLB_SCX_CPUS - 1)];
		struct cpu *c = cpu_of(cpu);

		if (!c || cpu == pl->dst || c->load <= most || c->nr < dst->nr + (pl->idle ? 1 : 2))
			continue;
		if (scx_bpf_dsq_nr_queued(cpu) <= 0)
			continue;
		most = c->load;
		best = cpu;
	}
	bpf_iter_num_destroy(&it);
	return best;
}

/* Everything of a decision but what is the thread's. */
MLLB_ONCE int fill(struct pull *pl, const struct mllb_place *from, const struct mllb_place *to)
{
	static const __u8 tries[MLLB_LEVELS] = { 0, 1, 1, 2 }; /* sd_init() (kernel/sched/topology.c, 6.12) */
	struct cpu *src, *dst;
	struct mllb_facts *f;

	if (!pl || !from || !to)
		return 0;
	src = cpu_of(pl->src);
	dst = cpu_of(pl->dst);
	if (!src || !dst)
		return 0;
	f = &pl->facts;
	f->src_load = average(src, pl->now);
	f->dst_load = average(dst, pl->now);
	f->migration_cost = migration_cost;
	f->src_nr_running = f->src_len = src->nr;
	f->dst_nr_running = f->dst_len = dst->nr;
	f->nr_balance_failed = dst->failed[pl->level & 3];
	f->cache_nice_tries = tries[pl->level & 3];
	f->src_nid = from->nid;
	f->dst_nid = to->nid;
	f->idle = !pl->idle ? MLLB_NOT_IDLE : dst->idle ? MLLB_IDLE : MLLB_NEWLY_IDLE;
	f->same_smt = pl->level == MLLB_SMT;
	f->numa = numa_balancing && pl->level == MLLB_MACHINE && from->nid != to->nid;
	f->fair = 1;
	return 0;
}

MLLB_ONCE int decide(struct pull *pl)
{
	__u32 key = current_net & 1;
	struct mllb_net *net = bpf_map_lookup_elem(&nets, &key);

	if (!pl || !net)
		return 0;
	pl->net = key;
	mllb_decide(&pl->verdict, &pl->vector, net, &pl->facts);
	return 0;
}

/* Tells of a decision: the first of each CPU, and of every so many. */
MLLB_ONCE int sample(struct pull *pl, struct task_struct *p __trusted)
{
	struct mllb_counters *n = count();
	struct mllb_sample *s;
	struct mllb_net *net;
	struct cpu *c;
	__u32 key;

	if (!sample_every || !pl || !n)
		return 0;
	key = pl->net;
	net = bpf_map_lookup_elem(&nets, &key);
	c = cpu_of(pl->dst);
	if (!c || !net || c->looks++ % sample_every)
		return 0;
	s = bpf_ringbuf_reserve(&samples, sizeof(*s), 0);
	if (!s) {
		n->dropped++;
		return 0;
	}
	s->time = pl->now;
	s->waited = pl->waited;
	s->checksum = net->checksum;
	s->facts = pl->facts;
	s->verdict = pl->verdict;
	s->tid = p->pid;
	s->tgid = p->tgid;
	s->start = p->start_boottime;
	s->src = pl->src;
	s->dst = pl->dst;
	s->level = pl->level;
	s->overridden = pl->overridden;
	s->moved = pl->moved;
	__builtin_memset(s->pad, 0, sizeof(s->pad));
	bpf_core_read(s->comm, sizeof(s->comm), &p->comm);
	bpf_ringbuf_submit(s, 0);
	return 0;
}

/* Pulls one thread from the queue of pl->src: 1 if it did, 0 if none was approved, -1 if none may move. */
static __always_inline int take(struct pull *pl)
{
	struct cpu *src = cpu_of(pl->src), *dst = cpu_of(pl->dst);
	struct mllb_counters *n = count();
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	int looks = 0, result = -1;

	if (!src || !dst || !n)
		return -1;
	if (bpf_iter_scx_dsq_new(&it, pl->src, 0))
		goto out;
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		struct task *t = task_of(p);
		__u32 weight = SCX(p)->scx.weight;

		if (++looks > LOOKS) {
			n->exhausted++;
			break;
		}
		if (!t || !bpf_cpumask_test_cpu(pl->dst, SCX(p)->cpus_ptr))
			continue;
		/* The guard: the source stays at least as loaded as the destination. */
		if (src->load - weight < dst->load + weight && !(pl->idle && dst->load <= 0))
			continue;
		pl->waited = pl->now - t->queued;
		pl->facts.delta = pl->now - t->last;
		pl->facts.preferred_nid = p->numa_preferred_nid;
		pl->facts.idle_policy = p->policy == SCHED_IDLE;
		pl->overridden = pl->moved = 0;
		if (result < 0)
			result = 0;
		n->asked[pl->level & 3]++;
		decide(pl);
		n->unknown += pl->verdict.unknown;
		if (pl->verdict.migrate) {
			n->approved[pl->level & 3]++;
		} else if (pl->idle && pl->waited > patience) {
			pl->overridden = 1;
			n->overridden++;
		} else {
			sample(pl, p);
			continue;
		}
		settle(t, p, pl->dst, pl->now);
		if (pl->idle)
			pl->moved = move(&it, p, SCX_DSQ_LOCAL);
		else
			pl->moved = move_vtime(&it, p, pl->dst, vtime_at(t, pl->dst));
		sample(pl, p);
		if (!pl->moved) {
			n->lost++;
			continue;
		}
		n->pulled[pl->level & 3]++;
		result = 1;
		break;
	}
out:
	bpf_iter_scx_dsq_destroy(&it);
	return result;
}

/*
 * Lets a CPU pull one thread in one of its domains: 1 if it did. Global, so that the
 * verifier looks at it once for all levels.
 */
MLLB_ONCE int pull_in(__s32 cpu, __u32 level, _Bool idle)
{
	__u32 key = cpu;
	struct mllb_place *to = bpf_map_lookup_elem(&places, &key), *from;
	struct mllb_near *near = bpf_map_lookup_elem(&nears, &key);
	struct cpu *dst = cpu_of(cpu);
	struct pull pl = { .dst = cpu, .now = bpf_ktime_get_ns(), .idle = idle, .level = level };
	__u32 begin, end;
	int took;

	if (!to || !near || !dst || !to->speed || level >= MLLB_LEVELS)
		return 0;
	begin = level ? to->end[(level - 1) & 3] : 0;
	end = to->end[level & 3];
	pl.src = begin < end ? busiest(&pl, near, begin, end) : -1;
	if (pl.src < 0) {
		dst->failed[level & 3] = 0;
		return 0;
	}
	key = pl.src;
	from = bpf_map_lookup_elem(&places, &key);
	if (!from)
		return 0;
	fill(&pl, from, to);
	took = take(&pl);
	if (took > 0) {
		dst->failed[level & 3] = 0;
		return 1;
	}
	/* Like the kernel's, an attempt of a CPU that has only just become idle does not count. */
	if (!took && pl.facts.idle != MLLB_NEWLY_IDLE && dst->failed[level & 3] < 16)
		dst->failed[level & 3]++;
	return 0;
}

/* Bottom-up through the domains of a CPU. */
static __always_inline _Bool balance(__s32 cpu, _Bool idle)
{
	return pull_in(cpu, MLLB_SMT, idle) || pull_in(cpu, MLLB_LLC, idle) ||
	       pull_in(cpu, MLLB_NODE, idle) || pull_in(cpu, MLLB_MACHINE, idle);
}

#endif
