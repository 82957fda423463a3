/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* Where a thread that wakes should run. */
#ifndef MLLB_SCX_WAKE_H
#define MLLB_SCX_WAKE_H

#include "state.h"

/* Whether no sibling of a CPU, as the loader knows them, has anything to run. */
static __always_inline _Bool idle_core(const struct mllb_place *at, const struct cpumask *idle)
{
	for (int i = 0; i < MLLB_SIBLINGS; i++) {
		if (i >= at->siblings)
			break;
		if (!bpf_cpumask_test_cpu(at->sibling[i], idle))
			return 0;
	}
	return 1;
}

/* What an idle CPU is worth: beside a busy sibling, half. */
static __always_inline __u32 worth(const struct mllb_place *at, const struct cpumask *idle)
{
	return idle_core(at, idle) ? at->speed : at->speed / 2;
}

#define FULL_SPEED 1024

/*
 * The idle CPU that is worth most to a thread, of equals the one that it ran on,
 * else the nearest; worth an eighth more than that one, since caches are. -1: there
 * is none.
 */
static __attribute__((noinline)) __s32 pick_idle(struct task_struct *p, __s32 prev)
{
	__u32 key = prev;
	struct mllb_place *at = bpf_map_lookup_elem(&places, &key);
	struct mllb_near *near = bpf_map_lookup_elem(&nears, &key);
	const struct cpumask *idle, *allowed = SCX(p)->cpus_ptr;
	__s32 best = -1;
	__u32 most = 0;
	struct bpf_iter_num it;
	int *i;

	if (!at || !near || !allowed)
		return -1;
	idle = scx_bpf_get_idle_cpumask();
	if (at->speed && bpf_cpumask_test_cpu(prev, idle) && bpf_cpumask_test_cpu(prev, allowed)) {
		best = prev;
		most = worth(at, idle);
		most += most / 8;
	}
	if (most < FULL_SPEED) {
		bpf_iter_num_new(&it, 0, nr_cpus);
		while ((i = bpf_iter_num_next(&it))) {
			__u32 cpu = near->cpu[*i & (MLLB_SCX_CPUS - 1)], w;
			struct mllb_place *there;

			if (!bpf_cpumask_test_cpu(cpu, idle) || !bpf_cpumask_test_cpu(cpu, allowed))
				continue;
			there = bpf_map_lookup_elem(&places, &cpu);
			w = there ? worth(there, idle) : 0;
			if (w <= most)
				continue;
			most = w;
			best = cpu;
			if (most == FULL_SPEED)
				break;
		}
		bpf_iter_num_destroy(&it);
	}
	scx_bpf_put_idle_cpumask(idle);
	if (best >= 0 && !scx_bpf_test_and_clear_cpu_idle(best))
		best = scx_bpf_pick_idle_cpu(allowed, 0);
	return best;
}

#endif
