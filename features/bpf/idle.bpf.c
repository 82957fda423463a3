//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * A CPU goes idle while threads wait for another. The kernel has just tried to pull
 * one (newidle balance runs before the idle task is picked), so those that wait are
 * held, or not worth its while. User space is told once, and then has to ask again:
 * it hears of no more than it can attend to.
 */
#include "mllb.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 version = MLLB_VERSION;
const volatile __u64 pause = 0; /* ns between two walks over the queues; by the loader */

__u32 armed = 0; /* user space wants to be told */
__u64 walked = 0;

/* The reader's: its passes note where each CPU's runqueue is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_rq);
} runqueues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096); /* the loader makes it a page */
} wakeups SEC(".maps");

static long crowded(void *map, const __u32 *cpu, struct mllb_rq *slot, __u32 *found)
{
	struct rq *rq = (void *)slot->rq;
	__u32 awake;

	if (!rq)
		return 0;
	awake = BPF_CORE_READ(rq, nr_running);
	if (awake < 2)
		return 0;
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable)) /* less those whose dequeue is delayed */
		awake -= BPF_CORE_READ(rq, cfs.h_nr_queued) - BPF_CORE_READ(rq, cfs.h_nr_runnable);
	*found = awake >= 2;
	return *found;
}

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *next = (void *)ctx[2]; /* after preempt and prev */
	__u32 found = 0, *event;
	__u64 now;

	if (!armed || next->pid)
		return 0;
	now = bpf_ktime_get_ns();
	if (now - walked < pause)
		return 0;
	walked = now;
	bpf_for_each_map_elem(&runqueues, crowded, &found, 0);
	/* Of two CPUs that come here together one tells. */
	if (!found || !__sync_bool_compare_and_swap(&armed, 1, 0))
		return 0;
	event = bpf_ringbuf_reserve(&wakeups, 8, 0);
	if (!event)
		return 0;
	event[0] = bpf_get_smp_processor_id();
	event[1] = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
