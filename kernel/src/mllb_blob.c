// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * A model from a blob, in which nothing is taken for granted.
 */
#include <asm/byteorder.h>
#include <linux/crc32.h>
#include <linux/errno.h>
#include <linux/limits.h>
#include <linux/string.h>

#include "mllb.h"

#define HALF	(MLLB_ONE / 2)

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
	u32 flags, k;

	*why = mllb_check_blob(b, size);
	if (*why)
		return -EINVAL;
	memset(m, 0, sizeof(*m));
	for (k = 0; k < MLLB_RATIOS; k++) {
		m->low[k] = S32_MIN;
		m->span[k] = U32_MAX;
	}
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
	mllb_make_pairs(m);
	return 0;
}
