// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The network in floating point, which the integers are measured against. This
 * file is built with the FPU allowed: nothing here may be called but between
 * kernel_fpu_begin() and kernel_fpu_end(), and nothing may be inlined from here.
 */
#include <linux/limits.h>
#include <linux/minmax.h>

#include "mllb.h"

/* Every loop is over all neurons that a model may have: that is a few vectors. */
#define EACH_NEURON	for (u32 j = 0; j < MLLB_MAX_HIDDEN; j++)

/* A model has its numbers as integers, for those who must not touch floats. */
static const float *mllb_numbers(const u32 *patterns)
{
	return (const float *)patterns;
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
	const float *row = mllb_numbers(w->bias);
	float x[MLLB_RATIOS], acc[MLLB_MAX_HIDDEN], logit;

	mllb_ratios(x, f);
	EACH_NEURON
		acc[j] = row[j];
	for (u32 k = 0; k < MLLB_BITS; k++) {
		row = mllb_numbers(w->bit[k]);
		if (v->bits >> k & 1)
			EACH_NEURON
				acc[j] += row[j];
	}
	for (u32 k = 0; k < MLLB_RATIOS; k++) {
		row = mllb_numbers(w->ratio[k]);
		EACH_NEURON
			acc[j] += row[j] * x[k];
	}
	row = mllb_numbers(w->out);
	logit = *mllb_numbers(&w->out_bias);
	EACH_NEURON
		logit += row[j] * (acc[j] > 0 ? acc[j] : 0);
	*migrate = logit >= *mllb_numbers(&w->threshold);
	return mllb_fixed(logit);
}
