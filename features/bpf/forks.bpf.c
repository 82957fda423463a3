//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Children of held threads. A child inherits its parent's narrowed mask, so
 * user space wants to hear of it at once; and its own children too, which may
 * exist before user space has heard of it. sched_process_fork fires in
 * kernel_clone() before wake_up_new_task(): the child has not run yet.
 */
#include "mllb.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 version = MLLB_VERSION;

/* Forks that user space will not hear of: the ring or the map was full. */
__u64 lost = 0;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* the loader sets both sizes */
	__type(key, __s32); /* tid in the initial pid namespace */
	__type(value, __u32);
} held SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct mllb_fork);
} forks SEC(".maps");

SEC("tp_btf/sched_process_fork")
int on_fork(__u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	__s32 from = parent->pid, tid = child->pid;
	struct mllb_fork *event;
	__u32 tracked = MLLB_TRACKED;

	if (!bpf_map_lookup_elem(&held, &from))
		return 0;
	if (bpf_map_update_elem(&held, &tid, &tracked, BPF_ANY)) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event = bpf_ringbuf_reserve(&forks, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	event->start = child->start_boottime;
	event->parent = from;
	event->child = tid;
	event->tgid = child->tgid;
	event->pad = 0;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/*
 * A thread that execs takes over its leader's tid, with the mask it has. Its
 * old tid may be used again and must not look held: args are p, old_pid, bprm.
 */
SEC("tp_btf/sched_process_exec")
int on_exec(__u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	__s32 was = ctx[1], tid = p->pid;
	__u32 *value = bpf_map_lookup_elem(&held, &was), copy;

	if (was == tid || !value)
		return 0;
	copy = *value;
	bpf_map_delete_elem(&held, &was);
	if (bpf_map_update_elem(&held, &tid, &copy, BPF_ANY))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int on_exit(__u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	__s32 tid = p->pid;

	bpf_map_delete_elem(&held, &tid);
	return 0;
}
