// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * KUnit tests of the network that judges migrations. What is expected comes of
 * the program that trains it, and was checked there in arbitrary precision.
 */
#include <kunit/test.h>
#include <linux/crc32.h>

#include "mllb_infer.h"

struct mllb_test_case {
	struct mllb_vector v;
	s32 output;
	s32 hidden[MLLB_MAX_HIDDEN];
};

struct mllb_test_network {
	const char *name;
	const u32 *blob;
	size_t words;
	const struct mllb_test_case *cases;
	size_t n;
};

struct mllb_test_facts {
	struct mllb_facts f;
	struct mllb_vector v;
};

#include "mllb_test_data.h"

static void mllb_test_name(const struct mllb_test_network *n, char *desc)
{
	strscpy(desc, n->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(mllb_network, networks, mllb_test_name);

static __le32 *mllb_test_blob(struct kunit *test, const struct mllb_test_network *n)
{
	__le32 *blob = kunit_kcalloc(test, n->words, sizeof(*blob), GFP_KERNEL);
	size_t i;

	KUNIT_ASSERT_NOT_NULL(test, blob);
	for (i = 0; i < n->words; i++)
		blob[i] = cpu_to_le32(n->blob[i]);
	return blob;
}

static struct mllb_model *mllb_test_model(struct kunit *test, const struct mllb_test_network *n)
{
	struct mllb_model *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);
	const char *why;

	KUNIT_ASSERT_NOT_NULL(test, m);
	KUNIT_ASSERT_EQ(test, 0, mllb_parse(m, mllb_test_blob(test, n), n->words * 4, &why));
	return m;
}

/* Every layer, by both ways to sum; saturation is among the cases. */
static void mllb_test_golden(struct kunit *test)
{
	const struct mllb_test_network *n = test->param_value;
	struct mllb_model *m = mllb_test_model(test, n);
	size_t i;
	u32 j;

	for (i = 0; i < n->n; i++) {
		const struct mllb_test_case *c = &n->cases[i];
		s32 hidden[MLLB_MAX_HIDDEN] = {};

		KUNIT_EXPECT_EQ(test, c->output, mllb_logit(m, &c->v, false));
		KUNIT_EXPECT_EQ(test, c->output, mllb_logit_wide(m, &c->v, hidden));
		for (j = 0; j < m->hidden; j++)
			KUNIT_EXPECT_EQ(test, c->hidden[j], hidden[j]);
	}
}

static void mllb_test_features(struct kunit *test)
{
	size_t i, k;

	for (i = 0; i < ARRAY_SIZE(facts); i++) {
		struct mllb_vector v;

		mllb_fill(&v, &facts[i].f);
		KUNIT_EXPECT_EQ(test, facts[i].v.bits, v.bits);
		for (k = 0; k < MLLB_RATIOS; k++)
			KUNIT_EXPECT_EQ(test, facts[i].v.ratio[k], v.ratio[k]);
	}
}

static void mllb_test_quotients(struct kunit *test)
{
	KUNIT_EXPECT_EQ(test, 0, mllb_quotient(7, 0, false));
	KUNIT_EXPECT_EQ(test, 683, mllb_quotient(1, 3, false));
	KUNIT_EXPECT_EQ(test, -683, mllb_quotient(1, 3, true));
	KUNIT_EXPECT_EQ(test, 1, mllb_quotient(1, 4096, false));
	KUNIT_EXPECT_EQ(test, 2048, mllb_quotient(1 << 21, 1 << 21, false));
	KUNIT_EXPECT_EQ(test, S32_MAX, mllb_quotient(1 << 20, 1, false));
	KUNIT_EXPECT_EQ(test, S32_MIN, mllb_quotient(1 << 20, 1, true));
	KUNIT_EXPECT_EQ(test, S32_MAX, mllb_quotient(1ULL << 63, 1, false));
	KUNIT_EXPECT_EQ(test, 0, mllb_quotient(1, 1ULL << 63, false));
	KUNIT_EXPECT_EQ(test, S32_MAX, mllb_large_len(U32_MAX));
	KUNIT_EXPECT_EQ(test, -4096, mllb_large_len(-2));
}

/* One word changed, and the checksum put right where it is not what changed. */
static const struct mllb_test_bad {
	const char *name;
	u32 word, value;
	const char *why;
} mllb_bad[] = {
	{ "magic", 0, 0x464c457f, "not a model" },
	{ "version", 1, 2, "another version" },
	{ "size", 2, 40, "not as long as it says" },
	{ "checksum", 3, 0, "checksum is wrong" },
	{ "set", 4, 3, "unknown feature set" },
	{ "inputs", 5, 16, "not the inputs of its feature set" },
	{ "no neuron", 6, 0, "hidden layer has no size that is supported" },
	{ "wide", 6, 17, "hidden layer has no size that is supported" },
	{ "other size", 6, 9, "size does not match the layers" },
	{ "fraction", 7, 16, "numbers are not Q21.11" },
	{ "flags", 9, 4, "unknown flags" },
};

static void mllb_test_bad_name(const struct mllb_test_bad *b, char *desc)
{
	strscpy(desc, b->name, KUNIT_PARAM_DESC_SIZE);
}

KUNIT_ARRAY_PARAM(mllb_bad, mllb_bad, mllb_test_bad_name);

static void mllb_test_seal(__le32 *blob, size_t size)
{
	blob[3] = cpu_to_le32(~crc32_le(~0, (u8 *)&blob[4], size - 16));
}

static void mllb_test_refuses(struct kunit *test)
{
	const struct mllb_test_bad *bad = test->param_value;
	__le32 *blob = mllb_test_blob(test, &networks[0]);
	struct mllb_model *m = mllb_test_model(test, &networks[0]);
	size_t size = networks[0].words * 4;
	const char *why;

	blob[bad->word] = cpu_to_le32(bad->value);
	if (bad->word > 3)
		mllb_test_seal(blob, size);
	KUNIT_EXPECT_EQ(test, -EINVAL, mllb_parse(m, blob, size, &why));
	KUNIT_EXPECT_STREQ(test, bad->why, why);
}

static void mllb_test_overflow(struct kunit *test)
{
	__le32 *blob = mllb_test_blob(test, &networks[0]);
	struct mllb_model *m = mllb_test_model(test, &networks[0]);
	size_t size = networks[0].words * 4;
	const char *why;
	int i;

	for (i = 10; i < 13; i++)
		blob[i] = cpu_to_le32(S32_MAX);
	mllb_test_seal(blob, size);
	KUNIT_EXPECT_EQ(test, -EINVAL, mllb_parse(m, blob, size, &why));
	KUNIT_EXPECT_STREQ(test, "weights could overflow the accumulator", why);
}

/* Cut anywhere: nothing past the end is read, which KASAN would show. */
static void mllb_test_truncated(struct kunit *test)
{
	struct mllb_model *m = mllb_test_model(test, &networks[0]);
	__le32 *blob = mllb_test_blob(test, &networks[0]);
	size_t size, whole = networks[0].words * 4;
	const char *why;
	void *part;

	for (size = 1; size < whole; size += 37) {
		part = kunit_kmalloc(test, size, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, part);
		memcpy(part, blob, size);
		KUNIT_EXPECT_EQ(test, -EINVAL, mllb_parse(m, part, size, &why));
	}
	KUNIT_EXPECT_EQ(test, -EINVAL, mllb_parse(m, blob, 0, &why));
}

static struct kunit_case mllb_test_cases[] = {
	KUNIT_CASE_PARAM(mllb_test_golden, mllb_network_gen_params),
	KUNIT_CASE(mllb_test_features),
	KUNIT_CASE(mllb_test_quotients),
	KUNIT_CASE_PARAM(mllb_test_refuses, mllb_bad_gen_params),
	KUNIT_CASE(mllb_test_overflow),
	KUNIT_CASE(mllb_test_truncated),
	{}
};

static struct kunit_suite mllb_test_suite = {
	.name = "sched_mllb",
	.test_cases = mllb_test_cases,
};

kunit_test_suite(mllb_test_suite);
