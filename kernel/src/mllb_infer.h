/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * One decision: its features, whether the network knows such, and its answer.
 * All of it is to be inlined where facts are gathered, so that they need not
 * pass through memory; what is rare is in mllb.c, and gets copies.
 */
#ifndef _KERNEL_SCHED_MLLB_INFER_H
#define _KERNEL_SCHED_MLLB_INFER_H

#include <linux/bits.h>
#include <linux/compiler.h>
#include <linux/math.h>
#include <linux/minmax.h>

#include "mllb.h"

static __always_inline bool mllb_delta_hot(const struct mllb_facts *f)
{
	if (likely(f->migration_cost > 0))
		return f->delta < f->migration_cost;
	return f->migration_cost; /* -1 is hot whatever delta is, and 0 never */
}

/* By enum mllb_bit, the last one first. */
static __always_inline u32 mllb_bits(const struct mllb_facts *f)
{
	u32 bits = f->has_faults;

	bits = 2 * bits + f->same_smt;
	bits = 2 * bits + (f->next_buddy && f->dst_nr_running);
	bits = 2 * bits + (f->nr_balance_failed > f->cache_nice_tries);
	bits <<= 2;
	if (f->preferred_nid != -1) /* NUMA_NO_NODE */
		bits += 2 * (f->preferred_nid == f->dst_nid) + (f->preferred_nid == f->src_nid);
	bits = 2 * bits + (f->src_nid == f->dst_nid);
	bits <<= 5;
	bits += (1 << MLLB_CPU_IDLE) << f->idle;
	bits += mllb_delta_hot(f) << MLLB_DELTA_HOT;
	bits += (f->src_nr_running > f->src_nr_preferred) << MLLB_SRC_NON_PREF_NR;
	return bits;
}

/* Of faults below 2^20, in 32 bits. */
static __always_inline s32 mllb_small_faults(const struct mllb_facts *f)
{
	s32 diff = (s32)f->dst_faults - (s32)f->src_faults;
	u32 total = f->total_faults, q;

	if (!total || !diff)
		return 0;
	q = ((u32)abs(diff) * MLLB_ONE + total / 2) / total;
	return diff < 0 ? -(s32)q : (s32)q;
}

/*
 * The features of a decision. Those that a model's set lacks are derived as
 * well; it has no weights for them.
 */
static __always_inline void mllb_fill(struct mllb_vector *v, const struct mllb_facts *f)
{
	u64 any;

	v->bits = mllb_bits(f);
	any = f->src_load | f->dst_load | f->src_len | f->dst_len;
	if (f->total_faults)
		any |= f->total_faults | f->src_faults | f->dst_faults;
	if (unlikely(any >> 20)) {
		v->ratio[MLLB_SRC_LEN] = mllb_large_len((s64)f->src_len - 2);
		v->ratio[MLLB_SRC_LOAD] = mllb_large_load(f->src_load);
		v->ratio[MLLB_DST_LOAD] = mllb_large_load(f->dst_load);
		v->ratio[MLLB_DST_LEN] = mllb_large_len(f->dst_len);
		v->ratio[MLLB_DELTA_FAULTS] = mllb_large_faults(f->src_faults, f->dst_faults,
								f->total_faults);
	} else { /* as kernels have them */
		v->ratio[MLLB_SRC_LEN] = (s32)f->src_len * MLLB_ONE - 2 * MLLB_ONE;
		v->ratio[MLLB_SRC_LOAD] = ((u32)f->src_load * MLLB_ONE + 500) / 1000;
		v->ratio[MLLB_DST_LOAD] = ((u32)f->dst_load * MLLB_ONE + 500) / 1000;
		v->ratio[MLLB_DST_LEN] = (s32)f->dst_len * MLLB_ONE;
		v->ratio[MLLB_DELTA_FAULTS] = mllb_small_faults(f);
	}
}

/* Whether every feature is what it was in training; if not, do not ask. */
static __always_inline bool mllb_in_range(const struct mllb_model *m, const struct mllb_vector *v)
{
	const s32 *x = v->ratio, *low = m->low;
	const u32 *span = m->span;

	static_assert(MLLB_RATIOS == 5);
	return (v->bits & m->always_mask) == m->always &&
	       (u32)x[0] - low[0] <= span[0] && (u32)x[1] - low[1] <= span[1] &&
	       (u32)x[2] - low[2] <= span[2] && (u32)x[3] - low[3] <= span[3] &&
	       (u32)x[4] - low[4] <= span[4];
}

/* The limit is a power of two, so one test does for all that it is for. */
static __always_inline bool mllb_small(const struct mllb_pairs *p, const struct mllb_vector *v)
{
	const s32 *x = v->ratio;
	u32 len = (x[MLLB_SRC_LEN] + p->limit) | (x[MLLB_DST_LEN] + p->limit);
	u32 load = x[MLLB_SRC_LOAD] | x[MLLB_DST_LOAD];	/* never negative */

	return len < 2 * p->limit && load < p->limit &&
	       x[MLLB_DELTA_FAULTS] + (u32)MLLB_MAX_FAULTS <= 2 * MLLB_MAX_FAULTS;
}

/* A row of a table, at so many bytes. */
static __always_inline const u64 *mllb_row(const void *table, u32 offset)
{
	static_assert(sizeof(u64[MLLB_ROW]) == MLLB_ROWS);
	return table + offset;
}

/*
 * What two neurons, the halves of a word, add to the output. They are 2^31 more
 * than their sums, so that neither has a sign to spoil the other; out_bias makes
 * up for it.
 */
static __always_inline s64 mllb_pair(u64 word, const s64 *out)
{
	const u64 zero = BIT(31 - MLLB_FRAC_BITS);
	u64 a = (u32)word >> MLLB_FRAC_BITS, b = word >> (32 + MLLB_FRAC_BITS);

	return out[0] * max(a, zero) + out[1] * max(b, zero);
}

/* The output, from sums that all fit; struct mllb_pairs says how. */
static __always_inline s64 mllb_sum_pairs(const struct mllb_pairs *p, const struct mllb_vector *v)
{
	u32 src = v->ratio[MLLB_SRC_LEN] + 2 * MLLB_ONE, dst = v->ratio[MLLB_DST_LEN];
	u64 x = (u32)v->ratio[MLLB_SRC_LOAD], y = (u32)v->ratio[MLLB_DST_LOAD];
	u64 z = v->ratio[MLLB_DELTA_FAULTS];
	const u64 *low = mllb_row(p->low, v->bits % MLLB_ROWS * MLLB_ROWS);
	const u64 *high = mllb_row(p->high, v->bits & ((MLLB_ROWS - 1) * MLLB_ROWS));
	u64 word[MLLB_PAIRS], row[MLLB_PAIRS] __uninitialized;
	const u64 *len = row;

	if (likely(!((src | dst) & ~((MLLB_LENS - 1) * MLLB_ONE))))
		len = mllb_row(p->lens, (dst * MLLB_LENS + src) / (MLLB_ONE / MLLB_ROWS));
	else
		mllb_sum_lens(row, p, src - 2 * MLLB_ONE, dst);
	static_assert(MLLB_PAIRS == 5);
	word[0] = low[0] + high[0] + len[0] + p->src_load[0] * x + p->dst_load[0] * y;
	word[1] = low[1] + high[1] + len[1] + p->src_load[1] * x + p->dst_load[1] * y;
	word[2] = low[2] + high[2] + len[2] + p->src_load[2] * x + p->dst_load[2] * y;
	word[3] = low[3] + high[3] + len[3] + p->src_load[3] * x + p->dst_load[3] * y;
	word[4] = low[4] + high[4] + len[4] + p->src_load[4] * x + p->dst_load[4] * y;
	if (z) { /* never within a node */
		word[0] += p->faults[0] * z;
		word[1] += p->faults[1] * z;
		word[2] += p->faults[2] * z;
		word[3] += p->faults[3] * z;
		word[4] += p->faults[4] * z;
	}
	return p->out_bias + mllb_pair(word[0], &p->out[0]) + mllb_pair(word[1], &p->out[2]) +
	       mllb_pair(word[2], &p->out[4]) + mllb_pair(word[3], &p->out[6]) +
	       mllb_pair(word[4], &p->out[8]);
}

/*
 * The output of the network, a logit. The caller says whether the features are
 * known to be small, as m->small does for those in range.
 */
static __always_inline s32 mllb_logit(const struct mllb_model *m, const struct mllb_vector *v,
				      bool small)
{
	if (unlikely(!small && !mllb_small(&m->pairs, v))) {
		struct mllb_vector copy = *v;

		return mllb_logit_wide(m, &copy, NULL);
	}
	return mllb_sum_pairs(&m->pairs, v) >> MLLB_FRAC_BITS;
}

#endif /* _KERNEL_SCHED_MLLB_INFER_H */
