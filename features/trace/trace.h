/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The tracer, for both ways to attach it. On entry of can_migrate_task() the
 * facts go to the CPU's slot; on return the answer joins them and the whole is
 * one record of the ring:
 *
 *	entry:   calls++, facts -> slot          return: slot + answer -> ring
 *
 * The source's runqueue lock is held and interrupts are off, so a CPU has one
 * call under way at the most, and what the lock covers stands still between the
 * two. Not covered: the destination's queue, and faults of a group's other
 * members.
 *
 * Whoever includes this says how kernel memory is read: GET(pointer, field) and
 * GETBIT for bit fields. fentry may follow typed pointers, a kprobe may not.
 */
#include "facts.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by the loader before the programs are loaded. */
const volatile __u32 version = CALL_VERSION;
const volatile __u32 skip_domains = 0; /* SD_* of the domains that are left out */
const volatile __u8 usable_only = 0; /* leave out calls that a hard condition decided */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_slot);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24); /* the loader's default stands in the options */
} ring SEC(".maps");

SEC("iter/task")
int runqueues(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct rq *rq;
	__u32 cpu;

	if (!t)
		return 0;
	rq = t->se.cfs_rq->rq;
	cpu = rq->cpu;
	if (cpu < MLLB_MAX_CPUS)
		rqs[cpu] = (__u64)rq;
	return 0;
}

static __always_inline struct mllb_slot *slot(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&slots, &zero);
}

static __always_inline int enter(struct task_struct *p, struct lb_env *env)
{
	struct mllb_slot *s = slot();
	struct sched_domain *sd;
	struct mllb_call *c;
	struct rq *src, *dst;

	if (!s)
		return 0;
	s->calls++;
	if (s->state != SLOT_IDLE)
		s->lost++;
	sd = GET(env, sd);
	c = &s->call;
	c->sd_flags = GET(sd, flags);
	if (c->sd_flags & skip_domains) {
		s->state = SLOT_FILTER;
		return 0;
	}
	s->state = SLOT_RECORD;
	s->task = (__u64)p;
	s->env = (__u64)env;
	s->hot = GET(LB(task_struct, p), stats.nr_failed_migrations_hot);
	src = GET(env, src_rq);
	dst = GET(env, dst_rq);
	c->time = bpf_ktime_get_ns();
	c->src_cpu = GET(env, src_cpu);
	c->dst_cpu = GET(env, dst_cpu);
	c->facts = 0;
	pass(c, env, sd);
	both_queues(c, src, dst);
	task(c, p, src);
	queues(c, p, env);
	conditions(c, p, src);
	cookie(c, p, LB(rq, dst));
	numa(s, p);
	return 0;
}

static __always_inline void answer(struct mllb_slot *s, struct task_struct *p, struct lb_env *env, int ret)
{
	struct task_struct___lb *lb = LB(task_struct, p); /* GETBIT has a variable p */
	struct mllb_call *c = &s->call;

	c->hot = GET(lb, stats.nr_failed_migrations_hot) - s->hot;
	c->flags_out = GET(env, flags);
	if (ret)
		c->facts |= CALL_RETURNED;
	if (HAS(task_struct___lb, sched_task_hot) && GETBIT(lb, sched_task_hot))
		c->facts |= CALL_TASK_HOT;
}

static __always_inline void publish(struct mllb_slot *s)
{
	struct mllb_call *c = &s->call;
	__u64 size = sizeof(*c);
	__u32 bytes = nr_nodes * 16;

	if (bytes > 16 * CALL_MAX_NODES)
		return;
	if (c->facts & CALL_HAS_FAULTS)
		size += c->facts & CALL_HAS_GROUP ? 2 * bytes : bytes;
	if (bpf_ringbuf_output(&ring, c, size, BPF_RB_NO_WAKEUP))
		s->drops++;
	else
		s->records++;
}

static __always_inline int leave(struct mllb_slot *s, struct task_struct *p, struct lb_env *env, int ret)
{
	__u64 state = s->state;

	s->state = SLOT_IDLE;
	if (state == SLOT_IDLE) {
		s->orphans++;
		return 0;
	}
	if (state == SLOT_FILTER) {
		s->filtered++;
		return 0;
	}
	answer(s, p, env, ret);
	if (usable_only && (s->call.flags & LBF_ACTIVE_LB || !(ret || s->call.hot)))
		s->filtered++;
	else
		publish(s);
	return 0;
}
