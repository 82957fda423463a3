//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Masks that anybody but mllbd gives a thread, two ways: which of the threads that
 * forks.bpf.c follows got one, for kernels before 6.2, which forget what was asked
 * for (task->user_cpus_ptr), so that a mask of one CPU does not say whose it is;
 * and what a thread got that mllbd is about to give one itself, so that it can put
 * that back. __sched_setaffinity(p, mask) is where sched_setaffinity(2) ends,
 * whoever's thread p is, with all that it checks behind it but whether a CPU of the
 * mask may be used (kernel/sched/core.c, 6.1; syscalls.c, 6.12).
 */
#include "mllb.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 version = MLLB_VERSION;
const volatile __u32 self = 0; /* mllbd's process id */
const volatile __u32 mask_size = 8; /* bytes of a mask */

struct { /* that of forks.bpf.c */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __s32);
	__type(value, __u32);
} held SEC(".maps");

struct { /* mllbd changes one thread at a time, of which it knows */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8);
	__type(key, __s32);
	__type(value, struct mllb_given);
} guarded SEC(".maps");

struct { /* how many calls of anybody else have begun for a thread, and not ended */
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __s32);
	__type(value, __u32);
} setting SEC(".maps");

SEC("fentry/__sched_setaffinity")
int on_setaffinity(__u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	const struct cpumask *mask = (void *)ctx[1];
	__s32 tid = p->pid;
	__u32 size = mask_size, none = 0, *calls;
	struct mllb_given *given;

	if (bpf_get_current_pid_tgid() >> 32 == self)
		return 0;
	/* Before the guard is looked for, which looks here once it is up: one sees the other. */
	bpf_map_update_elem(&setting, &tid, &none, 1 /* BPF_NOEXIST */);
	calls = bpf_map_lookup_elem(&setting, &tid);
	if (calls)
		__sync_fetch_and_add(calls, 1);
	calls = bpf_map_lookup_elem(&held, &tid);
	if (calls)
		__sync_fetch_and_add(calls, 1);
	given = bpf_map_lookup_elem(&guarded, &tid);
	if (!given || size > sizeof(given->mask))
		return 0;
	if (bpf_core_type_exists(struct affinity_context))
		mask = BPF_CORE_READ((struct affinity_context *)mask, new_mask);
	if (!bpf_probe_read_kernel(given->mask, size, mask))
		__sync_fetch_and_add(&given->calls, 1);
	return 0;
}

/* What was refused pins nothing: args are p, mask and what is returned. */
SEC("fexit/__sched_setaffinity")
int on_setaffinity_done(__u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	__s32 tid = p->pid;
	__u32 *calls;

	if (bpf_get_current_pid_tgid() >> 32 == self)
		return 0;
	calls = bpf_map_lookup_elem(&setting, &tid);
	if (calls && *calls)
		__sync_fetch_and_add(calls, -1);
	if (!(int)ctx[2])
		return 0;
	calls = bpf_map_lookup_elem(&held, &tid);
	if (calls && *calls > MLLB_TRACKED)
		__sync_fetch_and_add(calls, -1);
	return 0;
}
