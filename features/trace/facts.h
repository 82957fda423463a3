/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What can_migrate_task() knows, read into a slot. GET and GETBIT are the
 * including file's: see trace.h.
 */
#ifndef MLLB_FACTS_H
#define MLLB_FACTS_H

#include "call.h"
#include "balance.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Set by the loader before the programs are loaded. */
const volatile __u32 nr_nodes = 1;
const volatile __u8 percpu_groups = 0; /* task_group.cfs_rq is a per-CPU pointer: 7.2 */
const volatile __u16 sibling[MLLB_MAX_CPUS] = {}; /* each core's CPUs as a ring */

/* Runqueues by CPU, filled by one pass of the iterator: see ../bpf/threads.bpf.c. */
static __u64 rqs[MLLB_MAX_CPUS];

#define LB(type, p) ((struct type##___lb *)(p))
#define HAS(type, field) bpf_core_field_exists(((struct type *)0)->field)
#define MAX_THREADS 8 /* hardware threads of a core */

/* How many hardware threads of cpu's core have tasks; nr is cpu's own number. */
static __always_inline __u8 busy(__u32 cpu, __u32 nr)
{
	__u8 n = nr > 0;
	__u32 c = cpu;

	for (int i = 1; i < MAX_THREADS; i++) {
		if (c >= MLLB_MAX_CPUS)
			break;
		c = sibling[c];
		if (c == cpu || c >= MLLB_MAX_CPUS)
			break;
		nr = 0;
		bpf_probe_read_kernel(&nr, sizeof(nr),
				      (void *)rqs[c] + bpf_core_field_offset(struct rq, nr_running));
		n += nr > 0;
	}
	return n;
}

/* h_nr_queued's old name: see kernel.h. */
static __always_inline __u32 length(struct rq *rq)
{
	if (HAS(cfs_rq, h_nr_queued))
		return GET(rq, cfs.h_nr_queued);
	return GET((struct cfs_rq___until_6_13 *)&rq->cfs, h_nr_running);
}

/* Load weights as vruntime_eligible() uses them; 6.6 to 6.18 scale_load_down(). */
static __always_inline __s64 lag_weight(struct cfs_rq___lb *q, unsigned long w)
{
	unsigned int shift;

	if (HAS(cfs_rq___lb, sum_shift)) {
		shift = GET(q, sum_shift) & 63;
		w >>= shift;
		return shift && w < 2 ? 2 : w;
	}
	if (!w)
		return 0;
	w >>= 10; /* SCHED_FIXEDPOINT_SHIFT */
	return w < 2 ? 2 : w;
}

/* What entity_eligible(task_cfs_rq(p), &p->se) compares. */
static __always_inline void lag(struct mllb_call *c, struct task_struct *p, struct cfs_rq___lb *q)
{
	struct sched_entity___lb *curr;
	__s64 avg, weight, w;
	__u64 base;

	if (HAS(cfs_rq___lb, sum_w_vruntime)) {
		avg = GET(q, sum_w_vruntime);
		weight = GET(q, sum_weight);
	} else if (HAS(cfs_rq___lb, avg_vruntime)) {
		avg = GET(q, avg_vruntime);
		weight = GET(q, avg_load);
	} else {
		return;
	}
	base = HAS(cfs_rq___lb, zero_vruntime) ? GET(q, zero_vruntime) : GET(q, min_vruntime);
	curr = LB(sched_entity, GET(q, curr));
	if (curr && GET(curr, on_rq)) {
		w = lag_weight(q, GET(curr, load.weight));
		avg += (__s64)(GET(curr, vruntime) - base) * w;
		weight += w;
	}
	c->lag_avg = avg;
	c->lag_key = GET(LB(sched_entity, &p->se), vruntime) - base;
	c->lag_weight = weight;
	c->facts |= CALL_HAS_LAG;
}

/* The destination's queue of the task's group: tg_cfs_rq(task_group(p), cpu). */
static __always_inline __u64 group_queue(struct task_struct *p, struct lb_env *env)
{
	__u64 src = (__u64)GET(env, src_rq), dst = (__u64)GET(env, dst_rq), queue = 0;
	struct task_group *tg;

	/*
	 * All per-CPU variables lie equally far apart, runqueues as well as groups'
	 * queues. By a helper, for nothing unbounded may be added to a typed pointer.
	 */
	if (percpu_groups)
		return (__u64)BPF_CORE_READ(p, se.cfs_rq) + (dst - src);
	tg = GET(LB(task_struct, p), sched_task_group);
	bpf_probe_read_kernel(&queue, sizeof(queue),
			      (void *)GET(tg, cfs_rq) + 8 * (__u64)(__u32)GET(env, dst_cpu));
	return queue;
}

/* The queues' part in the hard conditions. */
static __always_inline void queues(struct mllb_call *c, struct task_struct *p, struct lb_env *env)
{
	struct cfs_rq *own = GET(p, se.cfs_rq);
	struct cfs_rq___lb *q = LB(cfs_rq, own);
	__u32 throttled = 0, queued = 0;
	__u64 dst;

	if ((__u64)GET(q, next) == (__u64)p + bpf_core_field_offset(struct task_struct, se))
		c->facts |= CALL_NEXT_BUDDY;
	lag(c, p, q);
	dst = group_queue(p, env);
	if (HAS(cfs_rq___lb, throttle_count)) {
		if (GET(q, throttle_count))
			c->facts |= CALL_SRC_THROTTLED;
		bpf_probe_read_kernel(&throttled, sizeof(throttled),
				      (void *)dst + bpf_core_field_offset(struct cfs_rq___lb, throttle_count));
		if (throttled)
			c->facts |= CALL_DST_THROTTLED;
	}
	if (HAS(cfs_rq___lb, nr_queued)) {
		bpf_probe_read_kernel(&queued, sizeof(queued),
				      (void *)dst + bpf_core_field_offset(struct cfs_rq___lb, nr_queued));
		if (queued)
			c->facts |= CALL_DST_QUEUED;
	}
}

static __always_inline int allowed(struct task_struct *p, __u32 cpu)
{
	struct cpumask *mask = GET(LB(task_struct, p), cpus_ptr);
	__u64 word = 0;

	if (cpu < 64)
		return GET(mask, bits[0]) >> cpu & 1;
	/* Kept apart: one load may not go through pointers of two kinds. */
	asm volatile("" : "+r"(cpu));
	bpf_probe_read_kernel(&word, sizeof(word), (void *)mask + cpu / 64 * 8);
	asm volatile("" : "+r"(word));
	return word >> (cpu & 63) & 1;
}

static __always_inline int percpu_kthread(struct task_struct *p)
{
	struct kthread *k;

	if (!(GET(p, flags) & PF_KTHREAD))
		return 0;
	k = GET(LB(task_struct, p), worker_private);
	return k && BPF_CORE_READ(k, flags) & KTHREAD_IS_PER_CPU;
}

/* The task's and its CPU's part in the hard conditions. */
static __always_inline void conditions(struct mllb_call *c, struct task_struct *p, struct rq *src)
{
	__u64 donor;

	if (percpu_kthread(p))
		c->facts |= CALL_PERCPU_KTHREAD;
	if (HAS(sched_entity___lb, sched_delayed) && GET(LB(sched_entity, &p->se), sched_delayed))
		c->facts |= CALL_DELAYED;
	if (!allowed(p, c->dst_cpu))
		c->facts |= CALL_NOT_ALLOWED;
	if (GET(p, on_cpu))
		c->facts |= CALL_ON_CPU;
	if (HAS(rq___lb, donor)) {
		donor = (__u64)GET(LB(rq, src), donor);
		if (donor == (__u64)p)
			c->facts |= CALL_ON_CPU;
		/* blocked_on is set without proxy execution too, and means nothing then. */
		if (bpf_core_field_offset(struct rq___lb, donor) != bpf_core_field_offset(struct rq___lb, curr) &&
		    HAS(task_struct___lb, blocked_on) && GET(LB(task_struct, p), blocked_on))
			c->facts |= CALL_BLOCKED;
	}
	if (GET(p, migration_disabled))
		c->facts |= CALL_MIGRATION_DISABLED;
}

static __always_inline void cookie(struct mllb_call *c, struct task_struct *p, struct rq___lb *dst)
{
	struct rq___lb *core;

	if (!HAS(rq___lb, core_enabled) || !GET(dst, core_enabled))
		return;
	core = LB(rq, GET(dst, core));
	if (GET(core, core_cookie) != GET(LB(task_struct, p), core_cookie))
		c->facts |= CALL_OTHER_COOKIE;
}

static __always_inline void pass(struct mllb_call *c, struct lb_env *env, struct sched_domain *sd)
{
	__u32 idle = GET(env, idle);

	c->idle = idle == bpf_core_enum_value(enum cpu_idle_type, CPU_IDLE)	    ? 1
		  : idle == bpf_core_enum_value(enum cpu_idle_type, CPU_NEWLY_IDLE) ? 2
										    : 0;
	c->imbalance = GET(env, imbalance);
	c->flags = GET(env, flags);
	c->loop = GET(env, loop);
	c->loop_max = GET(env, loop_max);
	c->migration_type = GET(env, migration_type);
	c->balance_failed = GET(sd, nr_balance_failed);
	c->nice_tries = GET(sd, cache_nice_tries);
	c->sd_level = GET(sd, level);
	c->sd_weight = GET(sd, span_weight);
	c->imbalance_pct = GET(sd, imbalance_pct);
	/* Reads past the end of a short name, within read-only data. */
	*(__u64 *)c->domain = 0;
	if (HAS(sched_domain, name))
		bpf_probe_read_kernel(c->domain, sizeof(c->domain), GET(sd, name));
}

static __always_inline void both_queues(struct mllb_call *c, struct rq *src, struct rq *dst)
{
	c->src_load = GET(src, cfs.avg.load_avg);
	c->dst_load = GET(dst, cfs.avg.load_avg);
	c->src_nr_running = GET(src, nr_running);
	c->dst_nr_running = GET(dst, nr_running);
	c->src_len = length(src);
	c->dst_len = length(dst);
	c->src_busy = busy(c->src_cpu, c->src_nr_running);
	c->dst_busy = busy(c->dst_cpu, c->dst_nr_running);
	c->src_nr_preferred = 0;
	c->src_nr_numa = 0;
	if (HAS(rq, nr_preferred_running)) {
		c->src_nr_preferred = GET(src, nr_preferred_running);
		c->src_nr_numa = GET(src, nr_numa_running);
	}
}

static __always_inline void task(struct mllb_call *c, struct task_struct *p, struct rq *src)
{
	__u64 *comm = (__u64 *)c->comm;

	c->delta = GET(src, clock_task) - GET(p, se.exec_start);
	c->task_load = GET(p, se.avg.load_avg);
	c->task_util = GET(LB(sched_entity, &p->se), avg.util_avg);
	bpf_probe_read_kernel(comm, sizeof(c->comm), &p->comm);
	c->tid = GET(p, pid);
	c->tgid = GET(p, tgid);
	c->policy = GET(p, policy);
	c->nice = GET(p, static_prio) - 120; /* PRIO_TO_NICE */
	/* A candidate is on cfs_tasks; one boosted to another class has a lower prio. */
	if (GET(LB(task_struct, p), prio) >= MAX_RT_PRIO)
		c->facts |= CALL_FAIR;
}

static __always_inline void numa(struct mllb_slot *s, struct task_struct *p)
{
	__u32 bytes = nr_nodes * 16;
	struct mllb_call *c = &s->call;
	struct numa_group *group;
	unsigned long *faults;

	c->preferred_node = -1;
	c->task_total = 0;
	c->group_total = 0;
	if (!HAS(task_struct, numa_faults) || bytes > 16 * CALL_MAX_NODES)
		return;
	c->preferred_node = GET(p, numa_preferred_nid);
	group = GET(p, numa_group);
	if (group)
		c->facts |= CALL_HAS_GROUP;
	faults = GET(p, numa_faults);
	if (!faults)
		return;
	c->facts |= CALL_HAS_FAULTS;
	c->task_total = GET(p, total_numa_faults);
	bpf_probe_read_kernel(s->faults, bytes, faults);
	if (!group)
		return;
	c->group_total = GET(group, total_faults);
	bpf_probe_read_kernel((void *)s->faults + bytes, bytes,
			      (void *)group + bpf_core_field_offset(struct numa_group, faults));
}

#endif
