/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How the fair class asks the network, and how the network is controlled. */
#ifndef _KERNEL_SCHED_MLLB_CONTROL_H
#define _KERNEL_SCHED_MLLB_CONTROL_H

#include <linux/jump_label.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/tracepoint-defs.h>
#include <linux/types.h>

#include "mllb_infer.h"

struct dentry;
struct task_struct;

/* In place of a verdict: the locality rule was not asked, or has to be. */
#define MLLB_UNASKED	(-1)

#ifdef CONFIG_SCHED_MLLB

struct mllb_loaded {
	struct rcu_head rcu;
	bool built_in;
	struct mllb_model model;
};

/* One CPU's; it counts with interrupts off. */
struct mllb_stats {
	u64 both[2][2];		/* by the rule's verdict and the network's */
	u64 alone[2];		/* by the network's: the rule was not asked */
	u64 outside;		/* features were out of the ranges of training */
	u64 floats;		/* that were judged in floating point */
	u64 no_fpu;		/* that would have been, but the FPU was in use */
};

DECLARE_STATIC_KEY_FALSE(sched_mllb_asked);
DECLARE_STATIC_KEY_FALSE(sched_mllb_replaces);
DECLARE_STATIC_KEY_FALSE(sched_mllb_floats);
DECLARE_TRACEPOINT(sched_mllb_decision);
DECLARE_PER_CPU(struct mllb_stats, mllb_stats);
extern struct mllb_loaded __rcu *mllb_current;

/* The network is asked: in place of the locality rule, or beside it. */
static __always_inline bool mllb_asked(void)
{
	return static_branch_unlikely(&sched_mllb_asked);
}

static __always_inline bool mllb_replaces(void)
{
	return static_branch_unlikely(&sched_mllb_replaces);
}

/* A decision takes longer than it has to: mllb_ask_watched() is to be called. */
static __always_inline bool mllb_watched(void)
{
	return tracepoint_enabled(sched_mllb_decision) ||
	       static_branch_unlikely(&sched_mllb_floats);
}

/* Counts the network's verdict, and returns the one to go by. */
static __always_inline int mllb_count(int rule, bool migrate)
{
	if (rule == MLLB_UNASKED) {
		__this_cpu_inc(mllb_stats.alone[migrate]);
		return migrate;
	}
	__this_cpu_inc(mllb_stats.both[rule][migrate]);
	return mllb_replaces() ? migrate : rule;
}

/* The same where the network does not know such features: the rule's. */
static __always_inline int mllb_count_outside(int rule)
{
	if (rule != MLLB_UNASKED)
		__this_cpu_inc(mllb_stats.outside);
	return rule;
}

/*
 * Puts a decision to the network. @rule is what the locality rule says, or
 * MLLB_UNASKED. Returns the verdict to go by, or MLLB_UNASKED if there is none
 * without the rule. The source's runqueue is locked and interrupts are off.
 */
static __always_inline int mllb_ask(const struct mllb_facts *f, int rule)
{
	const struct mllb_model *m = &rcu_dereference_sched(mllb_current)->model;
	struct mllb_vector v;

	mllb_fill(&v, f);
	if (unlikely(!mllb_in_range(m, &v)))
		return mllb_count_outside(rule);
	return mllb_count(rule, mllb_logit(m, &v, m->small) >= m->threshold);
}

/* The same, but traced, or in floating point. */
int mllb_ask_watched(struct task_struct *p, int src_cpu, int dst_cpu,
		     const struct mllb_facts *f, int rule);

void mllb_debugfs_init(struct dentry *parent);

#else

static __always_inline bool mllb_asked(void) { return false; }
static __always_inline bool mllb_replaces(void) { return false; }
static inline void mllb_debugfs_init(struct dentry *parent) { }

#endif

#endif /* _KERNEL_SCHED_MLLB_CONTROL_H */
