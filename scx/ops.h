/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The kernel's side of sched_ext, only what is used: CO-RE finds the rest. Names of
 * 7.2 come first, older ones stand in where they are missing.
 */
#ifndef MLLB_SCX_OPS_H
#define MLLB_SCX_OPS_H

#include "../features/bpf/kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* kernel/sched/ext_internal.h and include/linux/sched/ext.h (7.2); the same in 6.12. */
#define SCX_DSQ_LOCAL 0x8000000000000002ULL
#define SCX_KICK_IDLE 1
#define SCX_OPS_SWITCH_PARTIAL 8
#define SCX_TASK_QUEUED 1
#define PF_KTHREAD 0x00200000
#define SCHED_IDLE 5

/* A task that a global function gets may be read and given to kfuncs (6.9 and later). */
#define __trusted __attribute__((btf_decl_tag("arg:trusted")))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_ext_entity {
	__u32 flags;
	__u32 weight;
	__u64 slice;
};

struct task_struct___scx {
	int nr_cpus_allowed;
	const struct cpumask *cpus_ptr;
	struct sched_ext_entity scx;
} __attribute__((preserve_access_index));

enum scx_exit_kind {
	SCX_EXIT_NONE,
};

struct scx_exit_info {
	enum scx_exit_kind kind;
	__s64 exit_code;
	const char *reason;
	char *msg;
};

struct scx_init_task_args;

struct scx_bpf_dsq_insert_vtime_args { /* with the second versions below */
	__u64 dsq_id;
	__u64 slice;
	__u64 vtime;
	__u64 enq_flags;
};

#pragma clang attribute pop

struct bpf_iter_scx_dsq {
	__u64 opaque[6];
} __attribute__((aligned(8)));

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

#ifndef bpf_ksym_exists
#define bpf_ksym_exists(f) (!!(f))
#endif

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __ksym;
extern int bpf_iter_scx_dsq_new(struct bpf_iter_scx_dsq *it, __u64 dsq, __u64 flags) __ksym;
extern struct task_struct *bpf_iter_scx_dsq_next(struct bpf_iter_scx_dsq *it) __ksym;
extern void bpf_iter_scx_dsq_destroy(struct bpf_iter_scx_dsq *it) __ksym;

extern __s32 scx_bpf_create_dsq(__u64 dsq, __s32 node) __ksym;
extern __s32 scx_bpf_dsq_nr_queued(__u64 dsq) __ksym;
extern void scx_bpf_kick_cpu(__s32 cpu, __u64 flags) __ksym;
extern __s32 scx_bpf_task_cpu(const struct task_struct *p) __ksym;
extern _Bool scx_bpf_test_and_clear_cpu_idle(__s32 cpu) __ksym;
extern __s32 scx_bpf_pick_idle_cpu(const struct cpumask *allowed, __u64 flags) __ksym;
extern const struct cpumask *scx_bpf_get_idle_cpumask(void) __ksym;
extern void scx_bpf_put_idle_cpumask(const struct cpumask *mask) __ksym;
extern _Bool bpf_cpumask_test_cpu(__u32 cpu, const struct cpumask *mask) __ksym;

/* 7.2 has the second version of these, 6.13 and later the first, 6.12 other names. */
extern _Bool scx_bpf_dsq_insert___v2(struct task_struct *p, __u64 dsq, __u64 slice, __u64 flags) __ksym __weak;
extern void scx_bpf_dispatch(struct task_struct *p, __u64 dsq, __u64 slice, __u64 flags) __ksym __weak;
extern _Bool __scx_bpf_dsq_insert_vtime(struct task_struct *p, struct scx_bpf_dsq_insert_vtime_args *args) __ksym __weak;
extern void scx_bpf_dispatch_vtime(struct task_struct *p, __u64 dsq, __u64 slice, __u64 vtime, __u64 flags) __ksym __weak;
extern _Bool scx_bpf_dsq_move_to_local___v2(__u64 dsq, __u64 flags) __ksym __weak;
extern _Bool scx_bpf_consume(__u64 dsq) __ksym __weak;
extern _Bool scx_bpf_dsq_move(struct bpf_iter_scx_dsq *it, struct task_struct *p, __u64 dsq, __u64 flags) __ksym __weak;
extern _Bool scx_bpf_dispatch_from_dsq(struct bpf_iter_scx_dsq *it, struct task_struct *p, __u64 dsq, __u64 flags) __ksym __weak;
extern void scx_bpf_dsq_move_set_vtime(struct bpf_iter_scx_dsq *it, __u64 vtime) __ksym __weak;
extern _Bool scx_bpf_dsq_move_vtime(struct bpf_iter_scx_dsq *it, struct task_struct *p, __u64 dsq, __u64 flags) __ksym __weak;
extern void scx_bpf_dispatch_from_dsq_set_vtime(struct bpf_iter_scx_dsq *it, __u64 vtime) __ksym __weak;
extern _Bool scx_bpf_dispatch_vtime_from_dsq(struct bpf_iter_scx_dsq *it, struct task_struct *p, __u64 dsq, __u64 flags) __ksym __weak;

static __always_inline void insert(struct task_struct *p, __u64 dsq, __u64 slice, __u64 flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert___v2))
		scx_bpf_dsq_insert___v2(p, dsq, slice, flags);
	else if (bpf_ksym_exists(scx_bpf_dispatch))
		scx_bpf_dispatch(p, dsq, slice, flags);
}

static __always_inline void insert_vtime(struct task_struct *p, __u64 dsq, __u64 slice, __u64 vtime, __u64 flags)
{
	if (bpf_ksym_exists(__scx_bpf_dsq_insert_vtime)) {
		struct scx_bpf_dsq_insert_vtime_args args = {
			.dsq_id = dsq,
			.slice = slice,
			.vtime = vtime,
			.enq_flags = flags,
		};

		__scx_bpf_dsq_insert_vtime(p, &args);
	} else if (bpf_ksym_exists(scx_bpf_dispatch_vtime)) {
		scx_bpf_dispatch_vtime(p, dsq, slice, vtime, flags);
	}
}

static __always_inline _Bool to_local(__u64 dsq)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2))
		return scx_bpf_dsq_move_to_local___v2(dsq, 0);
	if (bpf_ksym_exists(scx_bpf_consume))
		return scx_bpf_consume(dsq);
	return 0;
}

static __always_inline _Bool move(struct bpf_iter_scx_dsq *it, struct task_struct *p, __u64 dsq)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move))
		return scx_bpf_dsq_move(it, p, dsq, 0);
	if (bpf_ksym_exists(scx_bpf_dispatch_from_dsq))
		return scx_bpf_dispatch_from_dsq(it, p, dsq, 0);
	return 0;
}

static __always_inline _Bool move_vtime(struct bpf_iter_scx_dsq *it, struct task_struct *p, __u64 dsq, __u64 vtime)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_vtime)) {
		scx_bpf_dsq_move_set_vtime(it, vtime);
		return scx_bpf_dsq_move_vtime(it, p, dsq, 0);
	}
	if (bpf_ksym_exists(scx_bpf_dispatch_vtime_from_dsq)) {
		scx_bpf_dispatch_from_dsq_set_vtime(it, vtime);
		return scx_bpf_dispatch_vtime_from_dsq(it, p, dsq, 0);
	}
	return 0;
}

#endif
