/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * One decision: its features, whether the network knows such, and what the policy
 * says. To the bit features.Set.Fill, mlp.Bounds, mlp.Fixed and scheduler.CFS.
 *
 * What is a function of its own, and global, the verifier looks at once, and knows
 * nothing afterwards of what it wrote: else each of a dozen conditions would double
 * what it has to look at.
 */
#ifndef MLLB_SCX_NET_H
#define MLLB_SCX_NET_H

#include "scx.h"

#define S32_MAX 0x7fffffffLL
#define S64_MAX 0x7fffffffffffffffULL

#define MLLB_ONCE __attribute__((noinline))

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

static __always_inline __s32 mllb_saturate(__u64 q, _Bool negative)
{
	if (negative)
		return q > S32_MAX ? -S32_MAX - 1 : -(__s64)q;
	return q > S32_MAX ? S32_MAX : q;
}

/* num / den of magnitudes: features.FromRatio. */
static __always_inline __s32 mllb_quotient(__u64 num, __u64 den, _Bool negative)
{
	__u64 q, r;

	if (!den)
		return 0;
	if ((num | den) >> 51) {
		num >>= 13;
		den >>= 13;
		if (!den)
			return mllb_saturate(~0ULL, negative);
	}
	num <<= MLLB_FRAC_BITS;
	q = num / den;
	r = num - q * den;
	return mllb_saturate(q + (r >= den - r), negative);
}

static __always_inline __s32 mllb_length(__s64 len)
{
	_Bool negative = len < 0;

	if (len >> 20 == 0 || len >> 20 == -1)
		return len * MLLB_ONE;
	return mllb_saturate((negative ? -len : len) << MLLB_FRAC_BITS, negative);
}

static __always_inline __s32 mllb_load(__u64 load)
{
	if (load >> 40 == 0) { /* as kernels have them, with a divisor that is known */
		__u64 q = (load * MLLB_ONE + 500) / 1000;

		return q > S32_MAX ? S32_MAX : q;
	}
	return mllb_quotient(load > S64_MAX ? S64_MAX : load, 1000, 0);
}

static __always_inline __s32 mllb_faults(const struct mllb_facts *f)
{
	__u64 dst = f->dst_faults, src = f->src_faults, total = f->total_faults;

	if (!total || dst == src)
		return 0;
	if ((dst | src | total) > S64_MAX) {
		dst >>= 1;
		src >>= 1;
		total >>= 1;
	}
	return dst < src ? mllb_quotient(src - dst, total, 1) : mllb_quotient(dst - src, total, 0);
}

static __always_inline _Bool mllb_delta_hot(const struct mllb_facts *f)
{
	if (f->migration_cost == -1)
		return 1;
	return f->migration_cost && f->delta < f->migration_cost;
}

/* The features of a decision, of locality17; a model of paper15 has no weights for the last. */
MLLB_ONCE int mllb_fill(struct mllb_vector *v, const struct mllb_facts *f)
{
	__u32 bits;

	if (!v || !f)
		return 0;
	bits = f->has_faults;
	bits = bits << 1 | f->same_smt;
	bits = bits << 1 | (f->next_buddy && f->dst_nr_running);
	bits = bits << 1 | (f->nr_balance_failed > f->cache_nice_tries);
	bits <<= 2;
	if (f->preferred_nid != -1)
		bits |= (f->preferred_nid == f->dst_nid) << 1 | (f->preferred_nid == f->src_nid);
	bits = bits << 1 | (f->src_nid == f->dst_nid);
	bits = bits << 1 | (f->idle == MLLB_NEWLY_IDLE);
	bits = bits << 1 | (f->idle == MLLB_NOT_IDLE);
	bits = bits << 1 | (f->idle == MLLB_IDLE);
	bits = bits << 1 | mllb_delta_hot(f);
	bits = bits << 1 | (f->src_nr_running > f->src_nr_preferred);
	v->bits = bits;
	v->ratio[0] = mllb_length((__s64)f->src_len - 2);
	v->ratio[1] = mllb_load(f->src_load);
	v->ratio[2] = mllb_load(f->dst_load);
	v->ratio[3] = mllb_length(f->dst_len);
	v->ratio[4] = mllb_faults(f);
	return 0;
}

static __always_inline _Bool mllb_in_range(const struct mllb_net *n, const struct mllb_vector *v)
{
	_Bool in = !(v->bits & n->zero) && (v->bits & n->one) == n->one;

	for (int k = 0; k < MLLB_RATIOS; k++)
		in = in && v->ratio[k] >= n->min[k] && v->ratio[k] <= n->max[k];
	return in;
}

/* One term of a neuron's sum, at once: else the compiler has more terms at a time than registers. */
#define MLLB_TERM(y, w, x) do { (y) += (w) * (x); asm volatile("" : "+r"(y)); } while (0)

/* Two neurons: those that a network lacks add 0. */
#define MLLB_NEURON(j) do {                                      \
		__s64 y = low[j] + high[j];                      \
								 \
		MLLB_TERM(y, n->neuron[j].in[0], x0);            \
		MLLB_TERM(y, n->neuron[j].in[1], x1);            \
		MLLB_TERM(y, n->neuron[j].in[2], x2);            \
		MLLB_TERM(y, n->neuron[j].in[3], x3);            \
		MLLB_TERM(y, n->neuron[j].in[4], x4);            \
		y >>= MLLB_FRAC_BITS;                            \
		if (y > 0)                                       \
			sum += n->neuron[j].out * (y > S32_MAX ? S32_MAX : y); \
	} while (0)
#define MLLB_PAIR(j) do {               \
		if (n->hidden <= (j))   \
			goto out;       \
		MLLB_NEURON(j);         \
		MLLB_NEURON((j) + 1);   \
	} while (0)

/* The output of the network. */
MLLB_ONCE int mllb_logit(const struct mllb_net *n, const struct mllb_vector *v)
{
	const __s64 *low, *high;
	__s64 x0, x1, x2, x3, x4, sum;

	if (!n || !v)
		return 0;
	low = n->low[v->bits % MLLB_ROWS];
	high = n->high[(v->bits >> MLLB_TABLE_BITS) % MLLB_ROWS];
	x0 = v->ratio[0];
	x1 = v->ratio[1];
	x2 = v->ratio[2];
	x3 = v->ratio[3];
	x4 = v->ratio[4];
	sum = n->out_bias;
	MLLB_PAIR(0);
	MLLB_PAIR(2);
	MLLB_PAIR(4);
	MLLB_PAIR(6);
	MLLB_PAIR(8);
	MLLB_PAIR(10);
	MLLB_PAIR(12);
	MLLB_PAIR(14);
out:
	sum >>= MLLB_FRAC_BITS;
	return sum > S32_MAX ? S32_MAX : sum < -S32_MAX - 1 ? -S32_MAX - 1 : sum;
}

/* task_hot() (kernel/sched/fair.c, 6.12). */
static __always_inline _Bool mllb_task_hot(const struct mllb_facts *f)
{
	if (!f->fair || f->idle_policy || f->same_smt)
		return 0;
	if (f->dst_nr_running && f->next_buddy)
		return 1;
	if (f->migration_cost == -1 || f->cookie_mismatch)
		return 1;
	return f->migration_cost && f->delta < f->migration_cost;
}

/* task_weight() and group_weight(), of nodes that are all directly connected. */
static __always_inline __u64 mllb_node_weight(__u64 faults, __u64 total)
{
	return total ? 1000 * faults / total : 0;
}

/* The locality part of can_migrate_task(): migrate_degrades_locality(), else task_hot(). */
MLLB_ONCE int mllb_cfs(const struct mllb_facts *f)
{
	if (!f)
		return 0;
	if (f->nr_balance_failed > f->cache_nice_tries)
		return 1;
	if (!f->numa || !f->has_faults || f->src_nid == f->dst_nid)
		return !mllb_task_hot(f);
	if (f->preferred_nid != -1) {
		if (f->preferred_nid == f->src_nid)
			return f->src_nr_running <= f->src_nr_preferred && !mllb_task_hot(f);
		if (f->preferred_nid == f->dst_nid)
			return 1;
	}
	if (f->idle == MLLB_IDLE)
		return !mllb_task_hot(f);
	return mllb_node_weight(f->dst_faults, f->total_faults) >=
	       mllb_node_weight(f->src_faults, f->total_faults);
}

static __always_inline void mllb_decide(struct mllb_verdict *d, struct mllb_vector *v,
					const struct mllb_net *n, const struct mllb_facts *f)
{
	d->logit = 0;
	d->unknown = 0;
	if (n->policy == MLLB_POLICY_CFS) {
		d->migrate = mllb_cfs(f);
		return;
	}
	if (n->policy != MLLB_POLICY_MLP) {
		d->migrate = n->policy == MLLB_POLICY_ALWAYS;
		return;
	}
	mllb_fill(v, f);
	if (!mllb_in_range(n, v)) {
		d->unknown = 1;
		d->migrate = mllb_cfs(f);
		return;
	}
	d->logit = mllb_logit(n, v);
	d->migrate = d->logit >= n->threshold;
}

#endif
