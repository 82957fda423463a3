/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The kernel's types, only the fields used: CO-RE finds the rest. The tests
 * pass on 6.1, 6.12, 6.18 and 7.2; what differs between them is said at the field.
 * A field that is narrower here than in the kernel is loaded from its low bytes,
 * which is why only little endian is built.
 */
#ifndef MLLB_KERNEL_H
#define MLLB_KERNEL_H

#include <linux/types.h>

#define PIDTYPE_SID 3 /* enum pid_type; 4.19 and later (6883f81aac6f) */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next;
	struct list_head *prev;
};

struct sched_avg {
	unsigned long load_avg;
	unsigned long runnable_avg;
};

struct rq;
struct task_struct;

struct cfs_rq {
	/* h_nr_running until 6.13; renamed in 6.14 (7b8a702d9438), which 6.12 stable may have */
	unsigned int h_nr_queued;
	unsigned int h_nr_runnable; /* 6.14 and later: queued less those whose dequeue is delayed */
	struct sched_avg avg;
	struct rq *rq; /* CONFIG_FAIR_GROUP_SCHED */
};

struct cfs_rq___until_6_13 {
	unsigned int h_nr_running;
};

struct scx_rq { /* 6.12 and later, CONFIG_SCHED_CLASS_EXT */
	unsigned int nr_running;
};

struct rq {
	unsigned int nr_running;
	unsigned int nr_numa_running;	   /* CONFIG_NUMA_BALANCING */
	unsigned int nr_preferred_running; /* CONFIG_NUMA_BALANCING */
	struct cfs_rq cfs;
	struct scx_rq scx;
	struct list_head cfs_tasks; /* sched_entity.group_node of each task; CONFIG_SMP until 6.16 */
	struct task_struct *curr;
	__u64 clock_task;
	int cpu;
	int online;
};

struct sched_entity {
	struct list_head group_node;
	unsigned char on_rq; /* int until 6.12 at least */
	__u64 exec_start;
	__u64 sum_exec_runtime;
	struct cfs_rq *cfs_rq; /* CONFIG_FAIR_GROUP_SCHED; set for every class (set_task_rq) */
	struct sched_avg avg;
};

struct cpumask {
	unsigned long bits[1];
};

struct affinity_context { /* 6.2 and later (713a2e21a513) */
	const struct cpumask *new_mask;
};

struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1]; /* [0] is the initial pid namespace's; [] since 6.5 (b69f0aeb0689) */
};

struct signal_struct {
	struct pid *pids[PIDTYPE_SID + 1];
};

struct kernfs_node {
	__u64 id;
};

struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct list_head cgrp_links; /* cgrp_cset_link.cgrp_link, one a hierarchy */
};

struct cgrp_cset_link {
	struct cgroup *cgrp;
	struct list_head cgrp_link;
};

struct numa_group {
	unsigned long total_faults;
	unsigned long faults[1];
};

struct task_struct {
	unsigned int __state; /* `state` until 5.13 (2f064a59a11f) */
	unsigned int flags;
	unsigned char on_cpu; /* int until 6.18 at least; one byte in 7.2 */
	unsigned char on_rq;  /* likewise; TASK_ON_RQ_QUEUED or TASK_ON_RQ_MIGRATING */
	int static_prio;
	struct sched_entity se;
	unsigned int policy;
	struct cpumask cpus_mask; /* the allowed CPUs; cpus_ptr is narrower while migration is off */
	struct cpumask *user_cpus_ptr; /* 5.15 and later; kept by every sched_setaffinity since 6.2 (8f9ea86fdf99) */
	unsigned short migration_disabled;
	int exit_state;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	__u64 start_boottime; /* `real_start_time` until 5.4 (cf25e24db61c) */
	char comm[16];
	struct signal_struct *signal;
	struct css_set *cgroups;
	int numa_preferred_nid;	    /* the rest: CONFIG_NUMA_BALANCING */
	struct numa_group *numa_group;
	unsigned long *numa_faults;
	unsigned long total_numa_faults;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

#endif
