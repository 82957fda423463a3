/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The kernel's types that only the tracer reads, beside those of
 * ../bpf/kernel.h. A name with ___ is a flavour: CO-RE takes what comes before
 * it. Read in the sources of 6.12 and 7.2; what differs is said at the field.
 */
#ifndef MLLB_BALANCE_H
#define MLLB_BALANCE_H

#include "../bpf/kernel.h"

#define PF_KTHREAD 0x00200000
#define KTHREAD_IS_PER_CPU 1 /* bit 0 of kthread.flags (kernel/kthread.c) */
#define MAX_RT_PRIO 100
#define LBF_ACTIVE_LB 0x10

/* CPU_IDLE was 0 and CPU_NOT_IDLE 1 until 6.9: only the names count. */
enum cpu_idle_type {
	CPU_IDLE = 1,
	CPU_NEWLY_IDLE = 2,
};

enum migration_type {
	migrate_load,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sched_domain {
	unsigned int imbalance_pct;
	unsigned int cache_nice_tries;
	int flags;
	int level;
	unsigned int nr_balance_failed;
	char *name; /* CONFIG_SCHED_DEBUG until 6.15 */
	unsigned int span_weight;
};

struct lb_env {
	struct sched_domain *sd;
	struct rq *src_rq;
	int src_cpu;
	int dst_cpu;
	struct rq *dst_rq;
	enum cpu_idle_type idle;
	long imbalance;
	unsigned int flags;
	unsigned int loop;
	unsigned int loop_max;
	enum migration_type migration_type;
};

struct sched_avg___lb {
	unsigned long util_avg;
};

struct load_weight {
	unsigned long weight;
};

struct sched_entity___lb {
	struct load_weight load;
	unsigned char on_rq; /* unsigned int until 6.12 */
	unsigned char sched_delayed; /* 6.12 and later */
	__u64 vruntime;
	struct sched_avg___lb avg;
};

/* EEVDF came in 6.6. */
struct cfs_rq___lb {
	int throttle_count; /* CONFIG_CFS_BANDWIDTH */
	unsigned int nr_queued; /* nr_running until 6.13 */
	__s64 avg_vruntime; /* sum_w_vruntime in 7.2 */
	__u64 avg_load; /* sum_weight in 7.2 */
	__s64 sum_w_vruntime;
	__u64 sum_weight;
	unsigned int sum_shift; /* 7.2: weights are not scaled down, but shifted by this */
	__u64 min_vruntime;
	__u64 zero_vruntime; /* instead of min_vruntime: 6.18, and 6.12 stable */
	struct sched_entity *curr;
	struct sched_entity *next;
};

struct task_group {
	struct cfs_rq **cfs_rq; /* a per-CPU pointer in 7.2: see group_queue */
};

struct rq___lb {
	struct task_struct *curr;
	struct task_struct *donor; /* a union with curr, unless there is proxy execution */
	struct rq *core; /* CONFIG_SCHED_CORE */
	unsigned int core_enabled;
	unsigned long core_cookie;
};

struct sched_statistics {
	__u64 nr_failed_migrations_hot;
};

struct kthread {
	unsigned long flags;
};

struct task_struct___lb {
	int prio;
	struct cpumask *cpus_ptr;
	struct task_group *sched_task_group;
	unsigned long core_cookie; /* CONFIG_SCHED_CORE */
	struct sched_statistics stats;
	unsigned int sched_task_hot : 1; /* 6.14, and 6.12 stable */
	void *worker_private; /* of a kthread: its struct kthread */
	void *blocked_on;
};

#pragma clang attribute pop

#endif
