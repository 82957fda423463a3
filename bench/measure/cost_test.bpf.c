//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * For BenchmarkCost: what the sampler's programs take. Those of a tracepoint run in
 * the order in which they were attached, so two that read the clock, one
 * attached before and one after, have the program that is measured between
 * them. Preemption is off meanwhile.
 */
#include "sampler.bpf.c"

const volatile __u32 which = 0; /* the tracepoint: set before loading */

#define COST_MAX 4096

struct mllb_costs {
	__u64 start;
	__u64 nr;
	__u32 ns[COST_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 6);
	__type(key, __u32);
	__type(value, struct mllb_costs);
} costs SEC(".maps");

SEC("tp_btf/sched_process_fork")
int before(void *ctx)
{
	__u32 key = which;
	struct mllb_costs *c = bpf_map_lookup_elem(&costs, &key);

	if (c)
		c->start = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sched_process_fork")
int after(void *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 key = which;
	struct mllb_costs *c = bpf_map_lookup_elem(&costs, &key);

	if (c && c->start && c->nr < COST_MAX) {
		c->ns[c->nr] = now - c->start;
		c->nr++;
	}
	return 0;
}

SEC("tp_btf/sched_process_fork")
int empty(void *ctx)
{
	return 0;
}

/* What the clock must count as 1,000 more than the empty one. */
SEC("tp_btf/sched_process_fork")
int thousand(void *ctx)
{
	asm volatile(".rept 1000\n\tr1 += 1\n\t.endr" ::: "r1");
	return 0;
}

SEC("syscall")
int nothing(void *ctx)
{
	return 0;
}

SEC("syscall")
int sample_once(void *ctx)
{
	sample();
	return 0;
}
