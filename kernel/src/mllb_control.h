/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* How the fair class asks the network, and how the network is controlled. */
#ifndef _KERNEL_SCHED_MLLB_CONTROL_H
#define _KERNEL_SCHED_MLLB_CONTROL_H

#include <linux/jump_label.h>
#include <linux/types.h>

struct dentry;
struct mllb_facts;
struct task_struct;

/* In place of a verdict: the locality rule was not asked, or has to be. */
#define MLLB_UNASKED	(-1)

#ifdef CONFIG_SCHED_MLLB

DECLARE_STATIC_KEY_FALSE(sched_mllb_asked);
DECLARE_STATIC_KEY_FALSE(sched_mllb_replaces);

/* The network is asked: in place of the locality rule, or beside it. */
static __always_inline bool mllb_asked(void)
{
	return static_branch_unlikely(&sched_mllb_asked);
}

static __always_inline bool mllb_replaces(void)
{
	return static_branch_unlikely(&sched_mllb_replaces);
}

int mllb_ask(struct task_struct *p, int src_cpu, int dst_cpu,
	     const struct mllb_facts *f, int rule);
void mllb_debugfs_init(struct dentry *parent);

#else

static __always_inline bool mllb_asked(void) { return false; }
static __always_inline bool mllb_replaces(void) { return false; }
static inline void mllb_debugfs_init(struct dentry *parent) { }

#endif

#endif /* _KERNEL_SCHED_MLLB_CONTROL_H */
