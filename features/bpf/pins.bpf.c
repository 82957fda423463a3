//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Which of the threads that forks.bpf.c follows were given a mask by anybody
 * but mllbd, for kernels before 6.2: they forget what was asked for
 * (task->user_cpus_ptr), so a mask of one CPU does not say whose it is.
 * __sched_setaffinity(p, mask) is where sched_setaffinity(2) ends, whoever's
 * thread p is (kernel/sched/core.c, 6.1).
 */
#include "mllb.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u32 version = MLLB_VERSION;
const volatile __u32 self = 0; /* mllbd's process id */

struct { /* that of forks.bpf.c */
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __s32);
	__type(value, __u8);
} held SEC(".maps");

SEC("fentry/__sched_setaffinity")
int on_setaffinity(__u64 *ctx)
{
	struct task_struct *p = (void *)ctx[0];
	__s32 tid = p->pid;
	__u8 pinned = MLLB_PINNED;

	if (bpf_get_current_pid_tgid() >> 32 != self)
		bpf_map_update_elem(&held, &tid, &pinned, BPF_EXIST);
	return 0;
}
