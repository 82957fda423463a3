/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * A small network that judges whether a task should migrate: the arithmetic,
 * which knows nothing of the scheduler. The same file is built in user space,
 * where it is held bit for bit against the program that trains the network.
 *
 * Everything is Q21.11: a real number as an s32 of 1/2048ths.
 */
#ifndef _KERNEL_SCHED_MLLB_H
#define _KERNEL_SCHED_MLLB_H

#include <linux/bits.h>
#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/types.h>

#define MLLB_FRAC_BITS		11
#define MLLB_ONE		2048

#define MLLB_MAX_HIDDEN		16
#define MLLB_MAX_INPUTS		17
#define MLLB_RATIOS		5
#define MLLB_BITS		12

/* The idleness of the destination; enum cpu_idle_type was renumbered in 6.10. */
enum mllb_idle {
	MLLB_IDLE,
	MLLB_NOT_IDLE,
	MLLB_NEWLY_IDLE,
};

/* What the locality rule of can_migrate_task() knows, unscaled. */
struct mllb_facts {
	u64 src_load, dst_load;		/* cfs_rq::avg.load_avg */
	s64 delta;			/* ns since the task last ran */
	s64 migration_cost;		/* ns; -1: always hot, 0: never */
	u64 src_faults, dst_faults;	/* of the numa_group if there is one */
	u64 total_faults;
	u32 src_nr_running, dst_nr_running;
	u32 src_nr_preferred;		/* rq::nr_preferred_running */
	u32 src_len, dst_len;		/* cfs_rq::h_nr_queued */
	u32 nr_balance_failed, cache_nice_tries;
	s32 src_nid, dst_nid, preferred_nid;
	u8 idle;			/* enum mllb_idle */
	u8 same_smt;			/* SD_SHARE_CPUCAPACITY */
	u8 has_faults;
	u8 next_buddy;
	u8 pad[4];
};

/* The 0/1 features, in the order in which every feature set has them. */
enum mllb_bit {
	MLLB_SRC_NON_PREF_NR,
	MLLB_DELTA_HOT,
	MLLB_CPU_IDLE,
	MLLB_CPU_NOT_IDLE,
	MLLB_CPU_NEWLY_IDLE,
	MLLB_SAME_NODE,
	MLLB_PREFER_SRC,
	MLLB_PREFER_DST,
	MLLB_EXTRA_FAILS,
	MLLB_BUDDY_HOT,
	MLLB_SAME_SMT,			/* not in paper15, as the next one */
	MLLB_HAS_FAULTS,
};

/* The others, likewise. */
enum mllb_ratio {
	MLLB_SRC_LEN,
	MLLB_SRC_LOAD,
	MLLB_DST_LOAD,
	MLLB_DST_LEN,
	MLLB_DELTA_FAULTS,
};

/* A decision as the network sees it. */
struct mllb_vector {
	u32 bits;			/* by enum mllb_bit */
	s32 ratio[MLLB_RATIOS];		/* Q21.11, by enum mllb_ratio */
};

/*
 * Neurons in pairs, for small sums: two of 32 bits in one u64, added to each
 * other and multiplied by one feature as if they were one number. limit says
 * how large features may be for no sum to leave its half; 0: there are no pairs.
 * The part of a sum that comes of 0/1 features is looked up, six of them at a
 * time, bias and rounding included.
 */
#define MLLB_PAIRS		5
#define MLLB_ROW_BITS		(MLLB_BITS / 2)
#define MLLB_ROWS		BIT(MLLB_ROW_BITS)

struct mllb_pairs {
	u32 limit;
	s64 out_bias;
	s64 out[2 * MLLB_PAIRS];
	u64 ratio[MLLB_PAIRS][MLLB_RATIOS];
	u64 low[MLLB_ROWS][MLLB_PAIRS];
	u64 high[MLLB_ROWS][MLLB_PAIRS];
};

/* The same network in floating point; bit patterns of float, see mllb_float.c. */
struct mllb_floats {
	u32 bit[MLLB_BITS][MLLB_MAX_HIDDEN];
	u32 ratio[MLLB_RATIOS][MLLB_MAX_HIDDEN];
	u32 bias[MLLB_MAX_HIDDEN];
	u32 out[MLLB_MAX_HIDDEN];
	u32 out_bias;
	u32 threshold;
};

struct mllb_model {
	struct mllb_pairs pairs;
	s64 out_bias;			/* shifted, rounding included, as bias[] */
	s32 threshold;			/* migrate if the output is at least this */
	u32 hidden;
	s64 bias[MLLB_MAX_HIDDEN];
	s64 bit[MLLB_BITS][MLLB_MAX_HIDDEN];	/* shifted */
	s64 ratio[MLLB_RATIOS][MLLB_MAX_HIDDEN];
	s64 out[MLLB_MAX_HIDDEN];

	/* What the features were in training. */
	u32 always_mask, always;	/* 0/1 features that never changed, and how they were */
	s32 low[MLLB_RATIOS];
	u32 span[MLLB_RATIOS];		/* from the lowest to the highest */

	struct mllb_floats floats;
	u32 set;			/* enum mllb_set */
	u32 crc;			/* of the blob, to tell models apart */
	u8 has_ranges, has_floats;
};

/*
 * A model in a file: these 32-bit words, little endian, then the weights.
 *
 *	s32 hidden layer [hidden][inputs], its biases [hidden],
 *	    output [hidden], its bias
 *	s32 lowest [inputs], highest [inputs]		with MLLB_BLOB_RANGES
 *	float of the first line again, threshold	with MLLB_BLOB_FLOATS
 */
struct mllb_blob {
	__le32 magic;
	__le32 version;
	__le32 size;			/* of header and weights, in bytes */
	__le32 crc;			/* crc32 of what follows */
	__le32 set;
	__le32 inputs;
	__le32 hidden;
	__le32 frac_bits;
	__le32 threshold;
	__le32 flags;
};

#define MLLB_BLOB_MAGIC		0x424c4c4d	/* "MLLB" */
#define MLLB_BLOB_VERSION	1
#define MLLB_BLOB_RANGES	1
#define MLLB_BLOB_FLOATS	2
#define MLLB_BLOB_MAX		4096

enum mllb_set {
	MLLB_PAPER15 = 1,		/* of Chen et al., APSys '20 */
	MLLB_LOCALITY17 = 2,		/* and what their features lack since */
};

static_assert(sizeof(struct mllb_facts) == 104);
static_assert(sizeof(struct mllb_blob) == 40);

/* x in Q21.11, saturated. */
static __always_inline s32 mllb_whole(s64 x)
{
	const s64 edge = BIT(31 - MLLB_FRAC_BITS);

	if (unlikely(x < -edge || x >= edge))
		return x < 0 ? S32_MIN : S32_MAX;
	return (s32)x * MLLB_ONE;
}

/*
 * num / den in Q21.11, rounded half away from zero and saturated; 0 where there
 * is no quotient. A term of 2^51 or more leaves no room for the shift: both
 * are scaled down by 2^13 then, which costs precision only far out.
 */
static __always_inline s32 mllb_quotient(u64 num, u64 den, bool negative)
{
	u64 q;

	if (!den)
		return 0;
	if (unlikely((num | den) >> 51)) {
		num >>= 13;
		den >>= 13;
		if (!den)
			return negative ? S32_MIN : S32_MAX;
	}
	q = div64_u64((num << MLLB_FRAC_BITS) + den / 2, den);
	if (unlikely(q > S32_MAX))
		return negative ? S32_MIN : S32_MAX;
	return negative ? -(s32)q : (s32)q;
}

static __always_inline bool mllb_delta_hot(const struct mllb_facts *f)
{
	/* -1 is hot whatever delta is, and 0 never. */
	return f->migration_cost == -1 ||
	       (f->migration_cost && f->delta < f->migration_cost);
}

/* Any loads and faults; hostile ones are worth no more than not to trap. */
static inline void mllb_fill_large(struct mllb_vector *v, const struct mllb_facts *f)
{
	u64 src = f->src_faults, dst = f->dst_faults, total = f->total_faults;

	if ((src | dst | total) >> 63) {
		src >>= 1;
		dst >>= 1;
		total >>= 1;
	}
	v->ratio[MLLB_SRC_LOAD] = mllb_quotient(min_t(u64, f->src_load, S64_MAX), 1000, false);
	v->ratio[MLLB_DST_LOAD] = mllb_quotient(min_t(u64, f->dst_load, S64_MAX), 1000, false);
	v->ratio[MLLB_DELTA_FAULTS] = mllb_quotient(dst > src ? dst - src : src - dst,
						    total, dst < src);
}

/* The same for such as kernels have: below 2^20, so 32 bits are enough. */
static __always_inline void mllb_fill_small(struct mllb_vector *v, const struct mllb_facts *f)
{
	u32 total = f->total_faults;
	s32 diff = (s32)f->dst_faults - (s32)f->src_faults;

	v->ratio[MLLB_SRC_LOAD] = ((u32)f->src_load * MLLB_ONE + 500) / 1000;
	v->ratio[MLLB_DST_LOAD] = ((u32)f->dst_load * MLLB_ONE + 500) / 1000;
	v->ratio[MLLB_DELTA_FAULTS] = 0;
	if (total && diff) {
		u32 q = ((u32)abs(diff) * MLLB_ONE + total / 2) / total;

		v->ratio[MLLB_DELTA_FAULTS] = diff < 0 ? -(s32)q : (s32)q;
	}
}

/*
 * The features of a decision. Those that a model's set lacks are derived as
 * well; it has no weights for them.
 */
static __always_inline void mllb_fill(struct mllb_vector *v, const struct mllb_facts *f)
{
	u32 bits = 0;

	bits |= (f->src_nr_running > f->src_nr_preferred) << MLLB_SRC_NON_PREF_NR;
	bits |= mllb_delta_hot(f) << MLLB_DELTA_HOT;
	bits |= (f->idle <= MLLB_NEWLY_IDLE) << (MLLB_CPU_IDLE + (f->idle & 3));
	bits |= (f->src_nid == f->dst_nid) << MLLB_SAME_NODE;
	if (f->preferred_nid != -1) { /* NUMA_NO_NODE */
		bits |= (f->preferred_nid == f->src_nid) << MLLB_PREFER_SRC;
		bits |= (f->preferred_nid == f->dst_nid) << MLLB_PREFER_DST;
	}
	bits |= (f->nr_balance_failed > f->cache_nice_tries) << MLLB_EXTRA_FAILS;
	bits |= (f->next_buddy && f->dst_nr_running) << MLLB_BUDDY_HOT;
	bits |= !!f->same_smt << MLLB_SAME_SMT;
	bits |= !!f->has_faults << MLLB_HAS_FAULTS;

	v->bits = bits;
	v->ratio[MLLB_SRC_LEN] = mllb_whole((s64)f->src_len - 2);
	v->ratio[MLLB_DST_LEN] = mllb_whole(f->dst_len);
	if (likely(!((f->src_load | f->dst_load | f->src_faults | f->dst_faults |
		      f->total_faults) >> 20)))
		mllb_fill_small(v, f);
	else
		mllb_fill_large(v, f);
}

/* Whether every feature is what it was in training; if not, do not ask. */
static __always_inline bool mllb_in_range(const struct mllb_model *m, const struct mllb_vector *v)
{
	const s32 *x = v->ratio, *low = m->low;
	const u32 *span = m->span;

	static_assert(MLLB_RATIOS == 5);
	return !m->has_ranges ||
	       ((v->bits & m->always_mask) == m->always &&
		(u32)x[0] - low[0] <= span[0] && (u32)x[1] - low[1] <= span[1] &&
		(u32)x[2] - low[2] <= span[2] && (u32)x[3] - low[3] <= span[3] &&
		(u32)x[4] - low[4] <= span[4]);
}

s32 mllb_logit(const struct mllb_model *m, const struct mllb_vector *v);
s32 mllb_logit_wide(const struct mllb_model *m, const struct mllb_vector *v, s32 *hidden);
s32 mllb_logit_float(const struct mllb_model *m, const struct mllb_facts *f,
		     const struct mllb_vector *v, bool *migrate);
int mllb_parse(struct mllb_model *m, const void *blob, size_t size, const char **why);

#endif /* _KERNEL_SCHED_MLLB_H */
