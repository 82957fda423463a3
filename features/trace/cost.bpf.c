//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * For BenchmarkProbe: what programs on can_migrate_task() cost a call. Two
 * programs on the entry and two on the return read the clock, with what is
 * measured between them. A function's trampoline runs its programs last
 * attached first, and another kernel may do the opposite: so nothing here
 * depends on which of a pair comes first.
 */
#include "balance.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 skip_domains = 0; /* as in trace.h */

#define COST_MAX 65536

struct mllb_cost {
	__u32 entry; /* between the programs on the entry, ns */
	__u32 ret; /* on the return */
	__u32 own; /* the function, between the two */
	__u32 facts; /* COST_* */
};

#define COST_MIGRATE 1
#define COST_SKIPPED 2 /* of a domain that the tracer leaves out */

struct at {
	__u64 entry[2];
	__u64 ret[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct at);
} under SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COST_MAX);
	__type(key, __u32);
	__type(value, struct mllb_cost);
} costs SEC(".maps");

__u64 nr = 0;

static __always_inline struct at *this_call(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&under, &zero);
}

static __always_inline __u64 distance(__u64 a, __u64 b)
{
	return a > b ? a - b : b - a;
}

static __always_inline void finish(struct at *at, struct lb_env *env, int ret)
{
	__u64 began = at->entry[0] > at->entry[1] ? at->entry[0] : at->entry[1];
	__u64 ended = at->ret[0] < at->ret[1] ? at->ret[0] : at->ret[1];
	struct mllb_cost *c;
	__u32 i;

	if (!at->entry[0] || !at->entry[1])
		return; /* it began before all programs were there */
	i = __sync_fetch_and_add(&nr, 1);
	c = bpf_map_lookup_elem(&costs, &i);
	if (!c)
		return;
	c->entry = distance(at->entry[0], at->entry[1]);
	c->ret = distance(at->ret[0], at->ret[1]);
	c->own = ended - began;
	c->facts = (ret ? COST_MIGRATE : 0) | (env->sd->flags & skip_domains ? COST_SKIPPED : 0);
}

static __always_inline int enter(int which)
{
	struct at *at = this_call();

	if (!at)
		return 0;
	at->entry[which] = bpf_ktime_get_ns();
	at->ret[0] = at->ret[1] = 0; /* one may stand there from before both were attached */
	return 0;
}

static __always_inline int leave(__u64 *ctx, int which)
{
	struct at *at = this_call();

	if (!at)
		return 0;
	at->ret[which] = bpf_ktime_get_ns();
	if (at->ret[!which]) { /* the second of the two */
		finish(at, (void *)ctx[1], ctx[2]);
		__builtin_memset(at, 0, sizeof(*at));
	}
	return 0;
}

SEC("fentry/can_migrate_task")
int entry_0(__u64 *ctx) { return enter(0); }

SEC("fentry/can_migrate_task")
int entry_1(__u64 *ctx) { return enter(1); }

SEC("fexit/can_migrate_task")
int ret_0(__u64 *ctx) { return leave(ctx, 0); }

SEC("fexit/can_migrate_task")
int ret_1(__u64 *ctx) { return leave(ctx, 1); }

SEC("fentry/can_migrate_task")
int empty_entry(__u64 *ctx) { return 0; }

SEC("fexit/can_migrate_task")
int empty_ret(__u64 *ctx) { return 0; }

/* What the clock must count as 1,000 more than the empty one. */
SEC("fentry/can_migrate_task")
int thousand(__u64 *ctx)
{
	asm volatile(".rept 1000\n\tr1 += 1\n\t.endr" ::: "r1");
	return 0;
}
