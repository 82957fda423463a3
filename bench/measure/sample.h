/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the sampler's programs and the Go loader say to each other: the source
 * of truth, as ../../features/bpf/mllb.h is for snapshots. Little endian, naturally
 * aligned, every size a multiple of 8.
 */
#ifndef SAMPLE_H
#define SAMPLE_H

#include <linux/types.h>

/* Raised with every change below; the loader refuses an object that differs. */
#define SAMPLE_VERSION 2

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

/* A CPU: where it is, and its runqueue's address (0: not found). */
struct mllb_place {
	__u64 rq;
	__u16 core;
	__u16 llc;
	__u16 node;
	__u16 known;
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
};

/* What was counted on one CPU. */
struct mllb_sums {
	__u64 tasks; /* threads that joined the tree */
	__u64 lost;  /* forks that did not fit into the map */
	__u64 migrations[SAMPLE_LEVELS];
	struct mllb_use use; /* of threads that ended; after account() of all */
};

_Static_assert(sizeof(struct mllb_place) == 16, "mllb_place");
_Static_assert(sizeof(struct mllb_member) == 64, "mllb_member");
_Static_assert(sizeof(struct mllb_sums) == 104, "mllb_sums");

#endif
