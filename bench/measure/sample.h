/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the sampler's programs and the Go loader say to each other: the source
 * of truth, as ../../features/bpf/mllb.h is for snapshots. Little endian, naturally
 * aligned, every size a multiple of 8.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include "latency.h"
#include <linux/bpf.h>
#include <linux/types.h>

/* Raised with every change below; the loader refuses an object that differs. */
#define SAMPLE_VERSION 3

/* topology.NumLevels: what the CPUs before and after a migration still share. */
#define SAMPLE_SMT 0
#define SAMPLE_LLC 1
#define SAMPLE_NODE 2
#define SAMPLE_MACHINE 3
#define SAMPLE_LEVELS 4

/* Longer queues count as the last of lengths[]. */
#define SAMPLE_LENGTHS 4096
/* Samples whose imbalance is kept: 7 hours at 10 a second. */
#define SAMPLE_SERIES (1 << 18)

/* A CPU: where it is, its runqueue's address (0: not found), and its state (reaction.h). */
struct mllb_place {
	__u64 rq;
	__u16 core;
	__u16 llc;
	__u16 node;
	__u16 known;
	__u64 since; /* it is idle since then, ns */
	__u64 left;  /* it was idle until then, ns */
	__u64 asked; /* the balancer for a thread, by the runqueue's clock, ns */
	__u64 alone; /* the thread of the tree that woke on it while it rested */
	__u32 idle;  /* has no thread to run */
	__u32 rests; /* runs the idle task */
};

/* What a thread used, or many together. */
struct mllb_use {
	__u64 runtime;	   /* se.sum_exec_runtime, ns */
	__u64 utime;	   /* ns */
	__u64 stime;	   /* ns */
	__u64 delay;	   /* sched_info.run_delay, ns */
	__u64 voluntary;   /* nvcsw */
	__u64 involuntary; /* nivcsw */
	__u64 moves;	   /* se.nr_migrations */
};

/* A thread of the tree. */
struct mllb_member {
	__u64 start;		 /* start_boottime: which thread it is, of those at one address */
	struct mllb_use counted; /* what is in the sums already, or was before the measurement */
	__u16 running;
	__u16 waits; /* behind another */
	__u16 moved; /* while it waited */
	__u16 pad;
};

#define MOVED 1
#define MOVED_NEWIDLE 2 /* by a CPU that gives up its last thread */

/* CPUs that are idle while threads wait, of the whole machine. */
struct mllb_starved {
	struct bpf_spin_lock lock;
	__u32 idle;    /* CPUs */
	__u32 waiting; /* threads */
	__u32 open;    /* the fewer of both: episodes under way */
	__u64 since;   /* a thread waits since then, ns */
	__u64 last;    /* change, ns */
	__u64 wasted;  /* time in episodes up to then, ns */
	__u64 begun;   /* episodes */
	__u64 newidle; /* those of them in which no CPU was idle yet */
};

/* Episodes that ended with a thread pulled, by the CPU that runs it. */
struct mllb_reaction {
	__u64 count;
	__u64 sum; /* ns */
	__u64 max; /* ns */
	__u64 buckets[LATENCY_BUCKETS];
};

/* What was counted on one CPU. */
struct mllb_sums {
	__u64 tasks; /* threads that joined the tree */
	__u64 lost;  /* forks that did not fit into the map */
	__u64 migrations[SAMPLE_LEVELS];
	struct mllb_use use; /* of threads that ended; after account() of all */
};

_Static_assert(sizeof(struct mllb_place) == 56, "mllb_place");
_Static_assert(sizeof(struct mllb_member) == 72, "mllb_member");
_Static_assert(sizeof(struct mllb_starved) == 56, "mllb_starved");
_Static_assert(sizeof(struct mllb_reaction) == 24 + 8 * LATENCY_BUCKETS, "mllb_reaction");
_Static_assert(sizeof(struct mllb_sums) == 104, "mllb_sums");

#endif
