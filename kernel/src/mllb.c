// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The network in integers. For each neuron, in Q21.11,
 *
 *	acc = (bias << 11) + sum of weight * input + (1 << 10)
 *	y   = acc >> 11, saturated to s32; hidden layer only: max(y, 0)
 *
 * The sum is exact, so its order is free, and the two ways to compute it below
 * give the same bits.
 */
#include <linux/limits.h>
#include <linux/log2.h>
#include <linux/math64.h>
#include <linux/string.h>

#include "mllb.h"
#include "mllb_infer.h"

/* The output of a model of any size, whatever the features are. */
s32 mllb_logit_wide(const struct mllb_model *m, const struct mllb_vector *v, s32 *hidden)
{
	s64 x0 = v->ratio[0], x1 = v->ratio[1], x2 = v->ratio[2];
	s64 x3 = v->ratio[3], x4 = v->ratio[4];
	s64 sum = m->out_bias;
	s64 acc[MLLB_MAX_HIDDEN];
	u32 j, k;

	memcpy(acc, m->bias, sizeof(acc));
	for (k = 0; k < MLLB_BITS; k++)
		if (v->bits >> k & 1)
			for (j = 0; j < m->hidden; j++)
				acc[j] += m->bit[k][j];
	for (j = 0; j < m->hidden; j++) {
		s64 y = acc[j] + m->ratio[0][j] * x0 + m->ratio[1][j] * x1 +
			m->ratio[2][j] * x2 + m->ratio[3][j] * x3 + m->ratio[4][j] * x4;

		y = clamp_t(s64, y >> MLLB_FRAC_BITS, 0, S32_MAX);
		if (hidden)
			hidden[j] = y;
		sum += m->out[j] * y;
	}
	return clamp_t(s64, sum >> MLLB_FRAC_BITS, S32_MIN, S32_MAX);
}

/*
 * num / den in Q21.11, rounded half away from zero and saturated; 0 where there
 * is no quotient. A term of 2^51 or more leaves no room for the shift: both
 * are scaled down by 2^13 then, which costs precision only far out.
 */
s32 mllb_quotient(u64 num, u64 den, bool negative)
{
	u64 q;

	if (!den)
		return 0;
	if ((num | den) >> 51) {
		num >>= 13;
		den >>= 13;
		if (!den)
			return negative ? S32_MIN : S32_MAX;
	}
	q = div64_u64((num << MLLB_FRAC_BITS) + den / 2, den);
	if (q > S32_MAX)
		return negative ? S32_MIN : S32_MAX;
	return negative ? -(s32)q : (s32)q;
}

/*
 * Features of any lengths, loads and faults; hostile ones are worth no more than
 * not to trap.
 */
s32 mllb_large_len(s64 len)
{
	return clamp_t(s64, len * MLLB_ONE, S32_MIN, S32_MAX);
}

s32 mllb_large_load(u64 load)
{
	return mllb_quotient(min_t(u64, load, S64_MAX), 1000, false);
}

s32 mllb_large_faults(u64 src, u64 dst, u64 total)
{
	if ((src | dst | total) >> 63) {
		src >>= 1;
		dst >>= 1;
		total >>= 1;
	}
	return mllb_quotient(dst > src ? dst - src : src - dst, total, dst < src);
}

/* A row of pairs of lens, for lengths that are in none. */
void mllb_sum_lens(u64 *row, const struct mllb_pairs *p, s32 src, s32 dst)
{
	u32 i;

	for (i = 0; i < MLLB_PAIRS; i++)
		row[i] = p->src_len[i] * src + p->dst_len[i] * dst;
}

/*
 * How large features may be for every sum to fit 32 bits, a power of two: the
 * change of NUMA faults gets what it may be, and what that leaves is for the
 * others. 0 if the 0/1 features alone are too much, or if the output, of hidden
 * neurons that are up to 2^20, could be more than an s32.
 */
static u32 mllb_limit(const struct mllb_model *m)
{
	u64 limit = BIT(30), out = abs(m->out_bias);
	u32 j, k;

	for (j = 0; j < m->hidden; j++) {
		u64 fixed = abs(m->bias[j]), sum = 0;

		for (k = 0; k < MLLB_BITS; k++)
			fixed += abs(m->bit[k][j]);
		fixed += abs(m->ratio[MLLB_DELTA_FAULTS][j]) * MLLB_MAX_FAULTS;
		if (fixed > S32_MAX)
			return 0;
		for (k = 0; k < MLLB_DELTA_FAULTS; k++)
			sum += abs(m->ratio[k][j]);
		if (sum)
			limit = min(limit, div64_u64(S32_MAX - fixed, sum));
		out += (u64)abs(m->out[j]) << (31 - MLLB_FRAC_BITS);
	}
	if (out >> (31 + MLLB_FRAC_BITS))
		return 0;
	return limit ? rounddown_pow_of_two(limit) : 0;
}

static s64 mllb_bit_sum(const struct mllb_model *m, u32 j, u32 row, u32 first)
{
	s64 sum = 0;
	u32 k;

	for (k = 0; k < MLLB_ROW_BITS; k++)
		if (row >> k & 1)
			sum += m->bit[first + k][j];
	return sum;
}

/* Adds a neuron to the pair that it is of, in the half that one is the lowest bit of. */
static void mllb_add_neuron(struct mllb_pairs *p, const struct mllb_model *m, u32 j, u64 one)
{
	const s64 shift = BIT(31);
	u32 i = j / 2, row;

	p->src_len[i] += one * m->ratio[MLLB_SRC_LEN][j];
	p->src_load[i] += one * m->ratio[MLLB_SRC_LOAD][j];
	p->dst_load[i] += one * m->ratio[MLLB_DST_LOAD][j];
	p->dst_len[i] += one * m->ratio[MLLB_DST_LEN][j];
	p->faults[i] += one * m->ratio[MLLB_DELTA_FAULTS][j];
	for (row = 0; row < MLLB_ROWS; row++) {
		p->low[row][i] += one * (m->bias[j] + shift + mllb_bit_sum(m, j, row, 0));
		p->high[row][i] += one * mllb_bit_sum(m, j, row, MLLB_ROW_BITS);
	}
	p->out[j] = m->out[j];
	p->out_bias -= m->out[j] * (shift >> MLLB_FRAC_BITS);
}

/*
 * Whether whatever is in the ranges of training is small. They are a bit wider
 * than what was seen there, but a load is never negative.
 */
static bool mllb_ranges_are_small(const struct mllb_model *m)
{
	struct mllb_vector low = {}, high = {};
	u32 k;

	for (k = 0; k < MLLB_RATIOS; k++) {
		low.ratio[k] = m->low[k];
		high.ratio[k] = m->low[k] + m->span[k];
	}
	low.ratio[MLLB_SRC_LOAD] = max(low.ratio[MLLB_SRC_LOAD], 0);
	low.ratio[MLLB_DST_LOAD] = max(low.ratio[MLLB_DST_LOAD], 0);
	return mllb_small(&m->pairs, &low) && mllb_small(&m->pairs, &high);
}

/* What a model that was read has beside what was read. */
void mllb_make_pairs(struct mllb_model *m)
{
	struct mllb_pairs *p = &m->pairs;
	s32 src, dst;
	u32 j;

	if (m->hidden <= 2 * MLLB_PAIRS)
		p->limit = mllb_limit(m);
	if (!p->limit)
		return;
	p->out_bias = m->out_bias;
	for (j = 0; j < m->hidden; j++)
		mllb_add_neuron(p, m, j, j % 2 ? BIT_ULL(32) : 1);
	for (dst = 0; dst < MLLB_LENS; dst++)
		for (src = 0; src < MLLB_LENS; src++)
			mllb_sum_lens(p->lens[dst][src], p, (src - 2) * MLLB_ONE, dst * MLLB_ONE);
	m->small = mllb_ranges_are_small(m);
}
