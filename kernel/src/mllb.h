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
	u8 idle;			/* enum mllb_idle; what follows is 0 or 1 */
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
 *
 * What comes of 0/1 features is looked up, six of them at a time, bias and
 * rounding included, and what comes of queue lengths where both are short. A row
 * is a cache line.
 */
#define MLLB_PAIRS		5
#define MLLB_ROW		8
#define MLLB_ROW_BITS		(MLLB_BITS / 2)
#define MLLB_ROWS		BIT(MLLB_ROW_BITS)
#define MLLB_LENS		16
#define MLLB_MAX_FAULTS		(2 * MLLB_ONE)	/* a share, and room for ranges */

struct mllb_pairs {
	u64 low[MLLB_ROWS][MLLB_ROW];
	u64 high[MLLB_ROWS][MLLB_ROW];
	u64 lens[MLLB_LENS][MLLB_LENS][MLLB_ROW];	/* by destination's and source's */
	u64 src_load[MLLB_PAIRS], dst_load[MLLB_PAIRS];
	s64 out[2 * MLLB_PAIRS];
	s64 out_bias;
	u64 faults[MLLB_PAIRS];
	u64 src_len[MLLB_PAIRS], dst_len[MLLB_PAIRS];
	u32 limit;
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
	struct mllb_pairs pairs __aligned(64);
	s32 threshold;			/* migrate if the output is at least this */

	/* What the features were in training; everything where that is not known. */
	u32 always_mask, always;	/* 0/1 features that never changed, and how they were */
	s32 low[MLLB_RATIOS];
	u32 span[MLLB_RATIOS];		/* from the lowest to the highest */
	bool small;			/* whatever is in these ranges is small enough for pairs */

	u32 hidden;
	s64 out_bias;			/* shifted, rounding included, as bias[] */
	s64 bias[MLLB_MAX_HIDDEN];
	s64 bit[MLLB_BITS][MLLB_MAX_HIDDEN];	/* shifted */
	s64 ratio[MLLB_RATIOS][MLLB_MAX_HIDDEN];
	s64 out[MLLB_MAX_HIDDEN];

	struct mllb_floats floats;
	u32 set;			/* enum mllb_set */
	u32 crc;			/* of the blob, to tell models apart */
	bool has_ranges, has_floats;
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

s32 mllb_logit_wide(const struct mllb_model *m, const struct mllb_vector *v, s32 *hidden);
s32 mllb_logit_float(const struct mllb_model *m, const struct mllb_facts *f,
		     const struct mllb_vector *v, bool *migrate);
s32 mllb_large_len(s64 len);
s32 mllb_large_load(u64 load);
s32 mllb_large_faults(u64 src, u64 dst, u64 total);
s32 mllb_quotient(u64 num, u64 den, bool negative);
void mllb_sum_lens(u64 *row, const struct mllb_pairs *p, s32 src, s32 dst);
void mllb_make_pairs(struct mllb_model *m);
int mllb_parse(struct mllb_model *m, const void *blob, size_t size, const char **why);

#endif /* _KERNEL_SCHED_MLLB_H */
