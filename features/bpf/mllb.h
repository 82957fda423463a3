/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the eBPF programs and the Go loader say to each other. This file is the
 * source of truth: bpf2go derives the Go types from it, and Go takes sizes and
 * offsets from those. All fields are little endian and naturally aligned; every
 * size is a multiple of 8, so records stay aligned in a stream.
 */
#ifndef MLLB_H
#define MLLB_H

#include <linux/types.h>

/* Raised with every change below; the loader refuses an object that differs. */
#define MLLB_VERSION 5

/* NR_CPUS and MAX_NUMNODES are at most this (arch/x86/Kconfig, 6.12). */
#define MLLB_MAX_CPUS 8192
#define MLLB_MAX_NODES 1024
#define MLLB_MAX_WORDS (MLLB_MAX_CPUS / 64)

/* Bits of mllb_thread.numa, as features.HasFaults and features.HasGroup. */
#define MLLB_HAS_FAULTS 1
#define MLLB_HAS_GROUP 2

/*
 * One thread. It is followed by
 *	__u64 cpus_mask[mask_words]
 *	__u64 user_cpus[mask_words], only with `asked`: every bit as it was asked for,
 *	      those of CPUs that do not exist included
 * and, only with MLLB_HAS_FAULTS,
 *	__u64 task_total, group_total
 *	__u64 task_faults[nr_nodes][2]
 *	__u64 group_faults[nr_nodes][2]
 * where the 2 are shared and private faults (task_faults_idx, NUMA_MEM,
 * kernel/sched/fair.c); without MLLB_HAS_GROUP the group's are all zero.
 */
struct mllb_thread {
	__u64 start;		/* start_boottime, ns; MLLB_PAUSE: not a record, nothing follows */
	__u64 task;		/* address of the task_struct, for `kept` */
	__u64 cgroup;		/* kernfs id: the inode of the directory; 0 unknown */
	__u64 load;		/* se.avg.load_avg */
	__u64 runtime;		/* se.sum_exec_runtime, ns */
	__s64 delta;		/* rq.clock_task - se.exec_start, ns */
	__u8 comm[16];
	__u32 size;		/* of this record with what follows */
	__s32 tid;
	__s32 tgid;
	__s32 ppid;		/* real_parent->tgid */
	__s32 session;
	__u32 cpu;
	__u32 state;		/* __state | exit_state: their bits are disjoint */
	__u32 flags;		/* PF_* */
	__u32 runnable;		/* se.avg.runnable_avg */
	__s32 preferred_node;	/* -1 none */
	__u8 policy;
	__s8 nice;
	__u8 on_cpu;
	__u8 migration_disabled; /* != 0 */
	__u8 numa;		/* MLLB_HAS_* */
	__u8 asked;		/* 1: there is a user_cpus_ptr */
	__u8 descends;		/* from mllb_awake.self; only in passes over the awake */
	__u8 pad;
};

/* What an audit writes now and then, so that a read(2) of 8 bytes comes back. */
#define MLLB_PAUSE (~0ULL)

/* How many threads a pass over the awake can be told to read as well. */
#define MLLB_MAX_KEPT 65536

/* Room for the records of one run; the longest is 35 KiB, most are 120 bytes. */
#define MLLB_RECORDS (1 << 20)

/* A run ends with the CPU at which it wrote so much: it is not preempted meanwhile. */
#define MLLB_ENOUGH (128 << 10)

/*
 * The state of a pass, and what its last run wrote. User space sets all but `astray`
 * before the first run, and calls again with size 0 until cpu is nr_cpus.
 */
struct mllb_awake {
	__u64 pass;		/* number of this pass, of either kind: they only grow */
	__u32 self;		/* the process whose descendants are marked; 0: none */
	__u32 nr_kept;		/* entries of `kept` */
	__u32 kept;		/* the entry to go on with */
	__u32 cpu;		/* the CPU to go on with */
	__u32 size;		/* bytes of `records` */
	__u32 gave_up;		/* 1: a queue changed at each try, or is longer than `records` */
	__u64 astray;		/* walks that met a change under way, since the start */
	__u8 records[MLLB_RECORDS];
};

/* One CPU's runqueue, in an array map indexed by CPU id. */
struct mllb_rq {
	__u64 pass;		/* mllb_awake.pass of the pass that wrote it */
	__u64 clock;		/* clock_task, ns */
	__u64 load_avg;		/* cfs.avg.load_avg */
	__u64 rq;		/* address of the struct rq; 0 until a pass met it */
	__u32 nr_running;
	__u32 nr_queued;	/* cfs.h_nr_queued, and scx.nr_running */
	__u32 nr_preferred;	/* nr_preferred_running */
	__u32 nr_numa;		/* nr_numa_running */
	__u32 online;
	__u32 self;		/* 1: of nr_running is whoever reads this */
	__u32 delayed;		/* of nr_running sleep, but are on the queue still (sched_delayed) */
	__u32 now_delayed;
	__u32 now_running;	/* these, too: the same, as recount() saw them last */
	__u32 now_queued;
	__u32 now_online;
	__u32 now_self;
};

/*
 * What the map `held` has of a thread whose forks are followed, plus how often
 * anybody but mllbd has given it a mask since, or is about to.
 */
#define MLLB_TRACKED 1

/* What anybody but mllbd last gave a thread in the map `guarded`. */
struct mllb_given {
	__u64 calls;		/* how many there were; the mask is of the last */
	__u64 mask[MLLB_MAX_WORDS];
};

/* One fork by a thread in the map `held`. */
struct mllb_fork {
	__u64 start;		/* the child's start_boottime, ns */
	__s32 parent;		/* tid of the thread that forked */
	__s32 child;		/* tid */
	__s32 tgid;		/* the child's process */
	__u32 pad;
};

_Static_assert(sizeof(struct mllb_thread) == 112, "mllb_thread");
_Static_assert(sizeof(struct mllb_rq) == 80, "mllb_rq");
_Static_assert(sizeof(struct mllb_fork) == 24, "mllb_fork");
_Static_assert(sizeof(struct mllb_given) == 1032, "mllb_given");

#endif
