//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * How long a kernel function takes: the clock on its entry, the clock on its
 * return, one bucket. The loader attaches the pair once for each function.
 *
 * A CPU has one call of such a function under way at the most: the balancer runs
 * in a softirq or in schedule(), and neither interrupts the other on its CPU. On a
 * PREEMPT_RT kernel a softirq may be preempted, and such calls are counted as lost.
 */
#include "latency.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 version = LATENCY_VERSION; /* read by the loader */
const volatile __u32 which = 0; /* the function: set before loading */

__u32 active = 0; /* 1 while calls that begin are timed */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1); /* the loader sets the number of functions */
	__type(key, __u32);
	__type(value, struct mllb_latency);
} latencies SEC(".maps");

static __always_inline struct mllb_latency *mine(void)
{
	__u32 key = which;

	return bpf_map_lookup_elem(&latencies, &key);
}

SEC("fentry/bpf_fentry_test1")
int on_entry(void *ctx)
{
	struct mllb_latency *l = mine();

	if (!l || !active)
		return 0;
	if (l->start)
		l->lost++;
	l->start = bpf_ktime_get_ns();
	return 0;
}

SEC("fexit/bpf_fentry_test1")
int on_return(void *ctx)
{
	__u64 ns = bpf_ktime_get_ns();
	struct mllb_latency *l = mine();
	__u32 i;

	if (!l)
		return 0;
	if (!l->start) {
		l->orphans++;
		return 0;
	}
	ns -= l->start;
	l->start = 0;
	l->count++;
	l->sum += ns;
	if (ns > l->max)
		l->max = ns;
	i = latency_bucket(ns);
	asm volatile("" : "+r"(i)); /* the compiler knows the bound, the verifier has to see it */
	if (i < LATENCY_BUCKETS)
		l->buckets[i]++;
	return 0;
}
