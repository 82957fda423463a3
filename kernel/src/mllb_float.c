// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The network in floating point, which the integers are measured against. This
 * file is built with the FPU allowed: nothing here may be called but between
 * kernel_fpu_begin() and kernel_fpu_end(), and nothing may be inlined from here.
 */
#include "mllb.h"

/* Four neurons side by side; the model is stored as integers, unaligned. */
typedef float mllb_v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef s32 mllb_v4i __attribute__((vector_size(16), aligned(4), may_alias));

#define LANES	4

static float mllb_number(const u32 *pattern)
{
	float x;

	__builtin_memcpy(&x, pattern, sizeof(x));
	return x;
}

static mllb_v4 mllb_lanes(const u32 *patterns)
{
	return *(const mllb_v4 *)patterns;
}

static float mllb_float(u64 x)
{
	return (float)(s64)min_t(u64, x, S64_MAX);
}

static void mllb_ratios(float *x, const struct mllb_facts *f)
{
	u64 src = f->src_faults, dst = f->dst_faults, total = f->total_faults;

	if ((src | dst | total) >> 63) {
		src >>= 1;
		dst >>= 1;
		total >>= 1;
	}
	x[MLLB_SRC_LEN] = (float)((s64)f->src_len - 2);
	x[MLLB_SRC_LOAD] = mllb_float(f->src_load) / 1000;
	x[MLLB_DST_LOAD] = mllb_float(f->dst_load) / 1000;
	x[MLLB_DST_LEN] = (float)f->dst_len;
	x[MLLB_DELTA_FAULTS] = total ? (float)(s64)(dst - src) / (float)(s64)total : 0;
}

/* The output in Q21.11, rounded and saturated, for people to read. */
static s32 mllb_fixed(float x)
{
	x *= MLLB_ONE;
	if (x >= 2147483648.0f)
		return S32_MAX;
	if (x <= -2147483648.0f)
		return S32_MIN;
	return (s32)(x + (x < 0 ? -0.5f : 0.5f));
}

/* v is of f: it has the 0/1 features, which are the same in any arithmetic. */
s32 mllb_logit_float(const struct mllb_model *m, const struct mllb_facts *f,
		     const struct mllb_vector *v, bool *migrate)
{
	const struct mllb_floats *w = &m->floats;
	float x[MLLB_RATIOS], logit;
	mllb_v4 sum = {};
	u32 j, k;

	mllb_ratios(x, f);
	for (j = 0; j < m->hidden; j += LANES) {
		mllb_v4 acc = mllb_lanes(&w->bias[j]);

		for (k = 0; k < MLLB_BITS; k++)
			if (v->bits >> k & 1)
				acc += mllb_lanes(&w->bit[k][j]);
		for (k = 0; k < MLLB_RATIOS; k++)
			acc += mllb_lanes(&w->ratio[k][j]) * x[k];
		acc = (mllb_v4)((mllb_v4i)acc & (acc > 0));
		sum += acc * mllb_lanes(&w->out[j]);
	}
	logit = sum[0] + sum[1] + sum[2] + sum[3] + mllb_number(&w->out_bias);
	*migrate = logit >= mllb_number(&w->threshold);
	return mllb_fixed(logit);
}
