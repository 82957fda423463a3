/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the scheduler in BPF and the Go loader say to each other. This file is the
 * source of truth: bpf2go derives the Go types from it. All fields are little
 * endian and naturally aligned.
 *
 * Everything of the network is Q21.11: a real number as an s32 of 1/2048ths.
 */
#ifndef MLLB_SCX_H
#define MLLB_SCX_H

#include <linux/types.h>

/* Raised with every change below; the loader refuses an object that differs. */
#define MLLB_SCX_VERSION 1

#define MLLB_FRAC_BITS 11
#define MLLB_ONE (1 << MLLB_FRAC_BITS)

#define MLLB_HIDDEN 16	    /* neurons in the hidden layer, at most */
#define MLLB_RATIOS 5	    /* features that are quotients */
#define MLLB_TABLE_BITS 6   /* 0/1 features that are looked up at a time */
#define MLLB_ROWS (1 << MLLB_TABLE_BITS)

/* The idleness of the destination, as features.IdleType. */
enum mllb_idle {
	MLLB_NOT_IDLE,
	MLLB_IDLE,
	MLLB_NEWLY_IDLE,
};

/* One candidate move, unscaled: of features.Decision what the policies look at. */
struct mllb_facts {
	__u64 src_load, dst_load;
	__s64 delta;		/* ns since the task last ran */
	__s64 migration_cost;	/* ns; -1: always hot, 0: never */
	__u64 src_faults, dst_faults; /* of the numa_group if there is one */
	__u64 total_faults;
	__u32 src_nr_running, dst_nr_running;
	__u32 src_nr_preferred;
	__u32 src_len, dst_len;
	__u32 nr_balance_failed, cache_nice_tries;
	__s32 src_nid, dst_nid, preferred_nid;
	__u8 idle;		/* enum mllb_idle; what follows is 0 or 1 */
	__u8 same_smt;		/* the domain's CPUs are SMT siblings */
	__u8 numa;		/* the domain's groups are nodes, and NUMA balancing is on */
	__u8 has_faults;
	__u8 next_buddy;
	__u8 fair;		/* the task is of the fair class, and */
	__u8 idle_policy;	/* SCHED_IDLE */
	__u8 cookie_mismatch;
};

/* A decision as the network sees it: features.Vector. */
struct mllb_vector {
	__u32 bits;
	__s32 ratio[MLLB_RATIOS];
};

/* What a policy says. */
struct mllb_verdict {
	__s32 logit;		/* 0 where the network was not asked */
	__u8 migrate;
	__u8 unknown;		/* a feature is out of the range that it had in training */
	__u8 pad[2];
};

enum mllb_policy {
	MLLB_POLICY_MLP,
	MLLB_POLICY_CFS,
	MLLB_POLICY_ALWAYS,
	MLLB_POLICY_NEVER,
};

/* What is read of one hidden neuron, by Ratio feature, and in the output. */
struct mllb_neuron {
	__s64 in[MLLB_RATIOS];
	__s64 out;
};

/*
 * A policy. What comes of 0/1 features, bias and rounding half included, is looked
 * up six of them at a time, as in mlp.Fixed; neurons that a network lacks have
 * weights of 0, which change no sum.
 */
struct mllb_net {
	__s64 low[MLLB_ROWS][MLLB_HIDDEN];
	__s64 high[MLLB_ROWS][MLLB_HIDDEN];
	struct mllb_neuron neuron[MLLB_HIDDEN];
	__s64 out_bias;		/* shifted, rounding half included */
	__s32 threshold;	/* migrate if the output is at least this */
	__u32 hidden;
	__u32 zero, one;	/* 0/1 features that were always 0 in training, and always 1 */
	__s32 min[MLLB_RATIOS], max[MLLB_RATIOS]; /* of the others in training; else of s32 */
	__u32 policy;		/* enum mllb_policy; the network is of MLLB_POLICY_MLP */
	__u32 pad;
	__u64 checksum;		/* of all that is above */
};

/* The most CPUs, and SMT siblings of one, that the scheduler is built for. */
#define MLLB_SCX_CPUS 1024
#define MLLB_SIBLINGS 7

/* Domains, bottom-up, as topology.Level. */
enum mllb_level {
	MLLB_SMT,
	MLLB_LLC,
	MLLB_NODE,
	MLLB_MACHINE,
	MLLB_LEVELS,
};

/* One CPU's place in the machine. The loader sets it before the scheduler is loaded. */
struct mllb_place {
	__u32 speed;		/* of 1024; 0: offline, or left out */
	__s32 nid;
	__u16 siblings;		/* how many of sibling[] there are */
	__u16 sibling[MLLB_SIBLINGS];
	__u16 end[MLLB_LEVELS];	/* of its domain at that level in struct mllb_near */
	__u16 pad[4];
};

/* All CPUs, the nearest first: each domain of the CPU is the beginning of it. */
struct mllb_near {
	__u16 cpu[MLLB_SCX_CPUS];
};

/* What the scheduler counts, by CPU. */
struct mllb_counters {
	__u64 wakes_idle;	/* threads woken on an idle CPU, */
	__u64 wakes_busy;	/* and where none was idle */
	__u64 enqueued;		/* to a queue */
	__u64 asked[MLLB_LEVELS]; /* the policy */
	__u64 approved[MLLB_LEVELS];
	__u64 unknown;		/* unlike what the model learned from */
	__u64 overridden;	/* moved against the policy, since they waited for too long */
	__u64 pulled[MLLB_LEVELS];
	__u64 lost;		/* of those that were to be pulled: another CPU was faster */
	__u64 exhausted;	/* looks ended by the bound on candidates */
	__u64 kicked;		/* idle CPUs told that threads wait elsewhere */
	__u64 dropped;		/* samples for which there was no room */
};

/* A decision that was made, for events and tests. */
struct mllb_sample {
	__u64 time;
	__u64 waited;		/* ns that the task was in its queue */
	__u64 checksum;		/* of the net that decided */
	__u64 start;		/* task.start_boottime, ns */
	struct mllb_facts facts;
	struct mllb_verdict verdict;
	__s32 tid, tgid;
	__u16 src, dst;
	__u8 level;
	__u8 overridden;
	__u8 moved;
	__u8 pad[9];
	char comm[16];
};

/* Why the kernel ended the scheduler: struct scx_exit_info. */
struct mllb_ended {
	__u32 kind;
	__u32 pad;
	__s64 code;
	char reason[128];
	char msg[1024];
};

_Static_assert(sizeof(struct mllb_facts) == 104, "mllb_facts");
_Static_assert(sizeof(struct mllb_vector) == 24, "mllb_vector");
_Static_assert(sizeof(struct mllb_verdict) == 8, "mllb_verdict");
_Static_assert(sizeof(struct mllb_place) == 40, "mllb_place");
_Static_assert(sizeof(struct mllb_sample) == 184, "mllb_sample");

#endif
