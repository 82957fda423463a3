// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Cycles of one decision on this machine, by the C that the kernel has: in fixed
 * point, by the plain sums that models of other sizes get, in floating point, and
 * in floating point with the registers saved and restored around it, as
 * kernel_fpu_begin() and the return to user space do. The four take turns with a
 * call of nothing, which is subtracted; the least of many is printed. Built with
 * the built-in model.
 */
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "../src/mllb_infer.h"
#include "../src/mllb_default.h"

static struct mllb_model model;
static u8 registers[1 << 14] __aligned(64);

static __attribute__((noinline)) int nothing(const struct mllb_facts *f)
{
	return f->idle;
}

static __attribute__((noinline)) int fixed(const struct mllb_facts *f)
{
	struct mllb_vector v;

	mllb_fill(&v, f);
	if (!mllb_in_range(&model, &v))
		exit(3);
	return mllb_logit(&model, &v, model.small) >= model.threshold;
}

static __attribute__((noinline)) int plain(const struct mllb_facts *f)
{
	struct mllb_vector v;

	mllb_fill(&v, f);
	if (!mllb_in_range(&model, &v))
		exit(3);
	return mllb_logit_wide(&model, &v, NULL) >= model.threshold;
}

static __attribute__((noinline)) int floating(const struct mllb_facts *f)
{
	struct mllb_vector v;
	bool migrate;

	mllb_fill(&v, f);
	if (!mllb_in_range(&model, &v))
		exit(3);
	mllb_logit_float(&model, f, &v, &migrate);
	return migrate;
}

static __attribute__((noinline, target("xsave"))) int saved(const struct mllb_facts *f)
{
	int migrate;

	_xsave64(registers, ~0ULL);
	migrate = floating(f);
	_xrstor64(registers, ~0ULL);
	return migrate;
}

static int (*const ways[])(const struct mllb_facts *f) = { nothing, fixed, plain, floating, saved };

/* In a row, for a hypervisor may let the counter go on by 24 at a time. */
#define ROW 256

int main(void)
{
	struct mllb_facts f = {
		.src_load = 3000, .dst_load = 10, .delta = 700000, .migration_cost = 500000,
		.src_nr_running = 3, .src_len = 3, .cache_nice_tries = 1, .dst_nid = 1,
		.preferred_nid = 1, .has_faults = 1, .src_faults = 700, .dst_faults = 100,
		.total_faults = 800, .idle = MLLB_NEWLY_IDLE,
	};
	u64 least[ARRAY_SIZE(ways)] = { ~0ULL, ~0ULL, ~0ULL, ~0ULL, ~0ULL };
	const char *why;
	u32 aux, i, k, n, sum = 0;

	if (mllb_parse(&model, mllb_default, sizeof(mllb_default), &why))
		return 2;
	for (n = 0; n < 2000; n++) {
		for (i = 0; i < ARRAY_SIZE(ways); i++) {
			u64 from, cycles;

			f.src_load = 3000 + n % 64;
			from = __rdtsc();
			for (k = 0; k < ROW; k++) {
				_mm_lfence();
				sum += ways[i](&f);
				_mm_lfence();
			}
			cycles = __rdtscp(&aux) - from;
			least[i] = min(least[i], cycles);
		}
	}
	for (i = 1; i < ARRAY_SIZE(ways); i++)
		printf("%d ", (int)((least[i] - least[0]) / ROW));
	printf("(%u)\n", sum); /* or nothing would have to be computed */
	return 0;
}
