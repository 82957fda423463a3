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
#include <asm/byteorder.h>
#include <linux/crc32.h>
#include <linux/log2.h>
#include <linux/string.h>

#include "mllb.h"

#define HALF	(MLLB_ONE / 2)

/* The limit is a power of two, so one test does for all that it is for. */
static __always_inline bool mllb_small(const struct mllb_pairs *p, const struct mllb_vector *v)
{
	u32 limit = p->limit;
	u32 any = (v->ratio[0] + limit) | (v->ratio[1] + limit) |
		  (v->ratio[2] + limit) | (v->ratio[3] + limit);

	return any < 2 * limit && v->ratio[MLLB_DELTA_FAULTS] + (u32)MLLB_ONE <= 2 * MLLB_ONE;
}

/*
 * What two neurons, the halves of a word, add to the output. They are 2^31 more
 * than their sums, so that neither has a sign to spoil the other; out_bias makes
 * up for it.
 */
static __always_inline s64 mllb_pair(u64 word, const s64 *out)
{
	const u32 zero = BIT(31 - MLLB_FRAC_BITS);
	u32 a = (u32)word >> MLLB_FRAC_BITS, b = word >> (32 + MLLB_FRAC_BITS);

	return out[0] * max(a, zero) + out[1] * max(b, zero);
}

static __always_inline u64 mllb_products(const u64 *w, const struct mllb_vector *v)
{
	return w[0] * v->ratio[0] + w[1] * v->ratio[1] + w[2] * v->ratio[2] +
	       w[3] * v->ratio[3] + w[4] * v->ratio[4];
}

/* The output, from sums that all fit; struct mllb_pairs says how. */
static __always_inline s64 mllb_sum_pairs(const struct mllb_pairs *p, const struct mllb_vector *v)
{
	const u64 *low = p->low[v->bits % MLLB_ROWS];
	const u64 *high = p->high[v->bits / MLLB_ROWS % MLLB_ROWS];

	static_assert(MLLB_PAIRS == 5);
	return p->out_bias +
	       mllb_pair(low[0] + high[0] + mllb_products(p->ratio[0], v), &p->out[0]) +
	       mllb_pair(low[1] + high[1] + mllb_products(p->ratio[1], v), &p->out[2]) +
	       mllb_pair(low[2] + high[2] + mllb_products(p->ratio[2], v), &p->out[4]) +
	       mllb_pair(low[3] + high[3] + mllb_products(p->ratio[3], v), &p->out[6]) +
	       mllb_pair(low[4] + high[4] + mllb_products(p->ratio[4], v), &p->out[8]);
}

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

/* The output of the network, a logit. */
s32 mllb_logit(const struct mllb_model *m, const struct mllb_vector *v)
{
	s64 sum;

	if (unlikely(!mllb_small(&m->pairs, v)))
		return mllb_logit_wide(m, v, NULL);
	sum = mllb_sum_pairs(&m->pairs, v) >> MLLB_FRAC_BITS;
	return clamp_t(s64, sum, S32_MIN, S32_MAX);
}

/* What a blob must be, by enum mllb_set. */
static const struct {
	u32 inputs;
	u32 bits;		/* bit k: input k is a 0/1 feature */
} mllb_sets[] = {
	[MLLB_PAPER15]		= { 15, 0x60ff },
	[MLLB_LOCALITY17]	= { 17, 0x1e0ff },
};

/* The words of a blob that the header promised. */
struct mllb_words {
	const __le32 *next;
	u32 inputs, bits, hidden;
};

static s32 mllb_word(struct mllb_words *w)
{
	return le32_to_cpu(*w->next++);
}

/* Adds |weight| * 2^31, the most that one input may do to an accumulator. */
static u64 mllb_most(s32 weight)
{
	return weight < 0 ? -(u64)weight : weight;
}

/* Whether a sum stays in s64 for all inputs there are. */
static bool mllb_fits(u64 weights, s32 bias)
{
	return weights <= ((u64)S64_MAX - (mllb_most(bias) << MLLB_FRAC_BITS) - HALF) >> 31;
}

static s64 mllb_bias(s32 bias)
{
	return (s64)bias * MLLB_ONE + HALF;
}

static bool mllb_read_weights(struct mllb_model *m, struct mllb_words *w)
{
	u64 most[MLLB_MAX_HIDDEN] = {}, out = 0;
	u32 i, j, bit, ratio;
	s32 x;

	for (j = 0; j < w->hidden; j++) {
		for (i = bit = ratio = 0; i < w->inputs; i++) {
			x = mllb_word(w);
			most[j] += mllb_most(x);
			if (w->bits >> i & 1)
				m->bit[bit++][j] = (s64)x * MLLB_ONE;
			else
				m->ratio[ratio++][j] = x;
		}
	}
	for (j = 0; j < w->hidden; j++) {
		x = mllb_word(w);
		if (!mllb_fits(most[j], x))
			return false;
		m->bias[j] = mllb_bias(x);
	}
	for (j = 0; j < w->hidden; j++) {
		m->out[j] = mllb_word(w);
		out += mllb_most(m->out[j]);
	}
	x = mllb_word(w);
	m->out_bias = mllb_bias(x);
	return mllb_fits(out, x);
}

static bool mllb_read_ranges(struct mllb_model *m, struct mllb_words *w)
{
	const __le32 *high = w->next + w->inputs;
	u32 i, bit, ratio;

	for (i = bit = ratio = 0; i < w->inputs; i++, high++) {
		s32 from = mllb_word(w), to = le32_to_cpu(*high);

		if (from > to)
			return false;
		if (!(w->bits >> i & 1)) {
			m->low[ratio] = from;
			m->span[ratio++] = (u32)to - from;
			continue;
		}
		if ((from && from != MLLB_ONE) || (to && to != MLLB_ONE))
			return false;
		m->always_mask |= (from == to) << bit;
		m->always |= (from && to) << bit++;
	}
	w->next = high;
	m->has_ranges = 1;
	return true;
}

static bool mllb_read_floats(struct mllb_floats *f, struct mllb_words *w)
{
	const __le32 *first = w->next;
	u32 i, j, bit, ratio;

	for (j = 0; j < w->hidden; j++) {
		for (i = bit = ratio = 0; i < w->inputs; i++) {
			if (w->bits >> i & 1)
				f->bit[bit++][j] = mllb_word(w);
			else
				f->ratio[ratio++][j] = mllb_word(w);
		}
	}
	for (j = 0; j < w->hidden; j++)
		f->bias[j] = mllb_word(w);
	for (j = 0; j < w->hidden; j++)
		f->out[j] = mllb_word(w);
	f->out_bias = mllb_word(w);
	f->threshold = mllb_word(w);
	for (; first < w->next; first++)
		if ((le32_to_cpu(*first) & 0x7f800000) == 0x7f800000)
			return false; /* infinite, or none */
	return true;
}

/*
 * How large features may be for every sum to fit 32 bits, a power of two: the
 * change of NUMA faults is a share, so it gets 1; what it leaves is for the
 * others. 0 if the 0/1 features alone are too much.
 */
static u32 mllb_limit(const struct mllb_model *m)
{
	u64 limit = BIT(30);
	u32 j, k;

	for (j = 0; j < m->hidden; j++) {
		u64 fixed = abs(m->bias[j]), sum = 0;

		for (k = 0; k < MLLB_BITS; k++)
			fixed += abs(m->bit[k][j]);
		fixed += abs(m->ratio[MLLB_DELTA_FAULTS][j]) * MLLB_ONE;
		if (fixed > S32_MAX)
			return 0;
		for (k = 0; k < MLLB_DELTA_FAULTS; k++)
			sum += abs(m->ratio[k][j]);
		if (sum)
			limit = min(limit, div64_u64(S32_MAX - fixed, sum));
	}
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

static void mllb_make_pairs(struct mllb_pairs *p, const struct mllb_model *m)
{
	const s64 shift = BIT(31);
	u32 i, j, k, row;

	if (m->hidden > 2 * MLLB_PAIRS)
		return;
	p->limit = mllb_limit(m);
	p->out_bias = m->out_bias;
	for (j = 0; j < m->hidden; j++) {
		u64 one = j % 2 ? BIT_ULL(32) : 1;	/* the half that it is */

		i = j / 2;
		for (k = 0; k < MLLB_RATIOS; k++)
			p->ratio[i][k] += one * m->ratio[k][j];
		for (row = 0; row < MLLB_ROWS; row++) {
			p->low[row][i] += one * (m->bias[j] + shift + mllb_bit_sum(m, j, row, 0));
			p->high[row][i] += one * mllb_bit_sum(m, j, row, MLLB_ROW_BITS);
		}
		p->out[j] = m->out[j];
		p->out_bias -= m->out[j] * (shift >> MLLB_FRAC_BITS);
	}
}

/* The size that the header's other fields give, or 0 and why there is none. */
static u32 mllb_blob_size(const struct mllb_blob *b, const char **why)
{
	u32 set = le32_to_cpu(b->set), inputs = le32_to_cpu(b->inputs);
	u32 hidden = le32_to_cpu(b->hidden), flags = le32_to_cpu(b->flags);
	u32 network = hidden * (inputs + 2) + 1, words;

	if (set >= ARRAY_SIZE(mllb_sets) || !mllb_sets[set].inputs)
		*why = "unknown feature set";
	else if (inputs != mllb_sets[set].inputs)
		*why = "not the inputs of its feature set";
	else if (!hidden || hidden > MLLB_MAX_HIDDEN)
		*why = "hidden layer has no size that is supported";
	else if (le32_to_cpu(b->frac_bits) != MLLB_FRAC_BITS)
		*why = "numbers are not Q21.11";
	else if (flags & ~(MLLB_BLOB_RANGES | MLLB_BLOB_FLOATS))
		*why = "unknown flags";
	if (*why)
		return 0;
	words = network;
	if (flags & MLLB_BLOB_RANGES)
		words += 2 * inputs;
	if (flags & MLLB_BLOB_FLOATS)
		words += network + 1;
	return sizeof(*b) + words * sizeof(__le32);
}

static const char *mllb_check_blob(const struct mllb_blob *b, size_t size)
{
	const size_t covered = offsetof(struct mllb_blob, set);
	const char *why = NULL;
	u32 want;

	if (size < sizeof(*b))
		return "too short for a header";
	if (size > MLLB_BLOB_MAX)
		return "too large";
	if (le32_to_cpu(b->magic) != MLLB_BLOB_MAGIC)
		return "not a model";
	if (le32_to_cpu(b->version) != MLLB_BLOB_VERSION)
		return "another version";
	if (le32_to_cpu(b->size) != size)
		return "not as long as it says";
	if ((crc32_le(~0, (const u8 *)b + covered, size - covered) ^ ~0U) != le32_to_cpu(b->crc))
		return "checksum is wrong";
	want = mllb_blob_size(b, &why);
	if (!why && want != size)
		why = "size does not match the layers";
	return why;
}

/*
 * Makes a model of a blob, which must be aligned to its words. Returns 0, or
 * -EINVAL and why; the model is of no use then.
 */
int mllb_parse(struct mllb_model *m, const void *blob, size_t size, const char **why)
{
	const struct mllb_blob *b = blob;
	struct mllb_words w;
	u32 flags;

	*why = mllb_check_blob(b, size);
	if (*why)
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	flags = le32_to_cpu(b->flags);
	m->set = le32_to_cpu(b->set);
	m->hidden = le32_to_cpu(b->hidden);
	m->threshold = le32_to_cpu(b->threshold);
	m->crc = le32_to_cpu(b->crc);
	w.next = (const __le32 *)(b + 1);
	w.inputs = mllb_sets[m->set].inputs;
	w.bits = mllb_sets[m->set].bits;
	w.hidden = m->hidden;
	if (!mllb_read_weights(m, &w))
		*why = "weights could overflow the accumulator";
	else if ((flags & MLLB_BLOB_RANGES) && !mllb_read_ranges(m, &w))
		*why = "a range of a feature is none";
	else if ((flags & MLLB_BLOB_FLOATS) && !mllb_read_floats(&m->floats, &w))
		*why = "a weight is not a number";
	if (*why)
		return -EINVAL;
	m->has_floats = !!(flags & MLLB_BLOB_FLOATS);
	mllb_make_pairs(&m->pairs, m);
	return 0;
}
