/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* As much of KUnit as the kernel's own suite needs, for user space: a line for each test. */
#ifndef MLLB_KUNIT_SHIM_H
#define MLLB_KUNIT_SHIM_H

#include <stdio.h>
#include <stdlib.h>

#include "../shim.h"

struct kunit {
	const void *param_value;
	int failed;
};

struct kunit_case {
	void (*run)(struct kunit *test);
	const void *(*params)(const void *prev, char *desc);
	const char *name;
};

struct kunit_suite {
	const char *name;
	struct kunit_case *test_cases;
};

#define KUNIT_PARAM_DESC_SIZE 128
#define GFP_KERNEL 0
#define cpu_to_le32(x) htole32(x)
#define strscpy(dst, src, size) snprintf(dst, size, "%s", src)
#define kunit_kmalloc(test, size, gfp) malloc(size)
#define kunit_kzalloc(test, size, gfp) calloc(1, size)
#define kunit_kcalloc(test, n, size, gfp) calloc(n, size)

#define KUNIT_EXPECT(test, ok) do { if (!(ok)) { (test)->failed++; printf("# %s:%d: %s\n", __FILE__, __LINE__, #ok); } } while (0)
#define KUNIT_EXPECT_EQ(test, a, b) KUNIT_EXPECT(test, (a) == (b))
#define KUNIT_EXPECT_STREQ(test, a, b) KUNIT_EXPECT(test, (b) && !strcmp(a, b))
#define KUNIT_ASSERT_EQ(test, a, b) KUNIT_EXPECT_EQ(test, a, b)
#define KUNIT_ASSERT_NOT_NULL(test, p) KUNIT_EXPECT(test, (p) != NULL)

#define KUNIT_ARRAY_PARAM(name, array, describe)						\
	static const void *name##_gen_params(const void *prev, char *desc)			\
	{											\
		const __typeof__((array)[0]) *next = prev ? (__typeof__(next))prev + 1 : (array);	\
		if (next >= (array) + ARRAY_SIZE(array))					\
			return NULL;								\
		describe(next, desc);								\
		return next;									\
	}
#define KUNIT_CASE(f) { f, NULL, #f }
#define KUNIT_CASE_PARAM(f, gen) { f, gen, #f }

static inline void kunit_run(struct kunit_case *c, const void *param, const char *desc)
{
	struct kunit test = { param, 0 };

	c->run(&test);
	printf("%s %s %s\n", test.failed ? "not ok" : "ok", c->name, desc);
}

#define kunit_test_suite(suite)									\
	int main(void)										\
	{											\
		for (struct kunit_case *c = (suite).test_cases; c->run; c++) {			\
			char desc[KUNIT_PARAM_DESC_SIZE] = "";					\
			const void *param = c->params ? c->params(NULL, desc) : NULL;		\
			do										\
				kunit_run(c, param, desc);					\
			while (param && (param = c->params(param, desc)));				\
		}										\
		return 0;									\
	}

#endif
