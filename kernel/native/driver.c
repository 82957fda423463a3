// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * The kernel's network as a program: reads requests, a letter and then C structs
 * or words of this machine, and answers each. F flushes the answers. The Go
 * tests of this directory are at the other end.
 */
#include <stdio.h>
#include <stdlib.h>

#include "../src/mllb_infer.h"

static struct mllb_model model;

static void get(void *p, size_t n)
{
	if (fread(p, 1, n, stdin) != n)
		exit(2);
}

static void put(const void *p, size_t n)
{
	fwrite(p, 1, n, stdout);
}

static void put32(u32 x)
{
	put(&x, sizeof(x));
}

/* M size blob: result, hidden, limit of pairs, whether ranges are small, length of why, why */
static void parse(void)
{
	const char *why = "";
	u32 size, result;
	void *blob;

	get(&size, sizeof(size));
	blob = malloc(size + 1); /* to the byte: a sanitizer sees what reads past it */
	get(blob, size);
	result = mllb_parse(&model, blob, size, &why);
	free(blob);
	why = why ? why : "";
	put32(result);
	put32(model.hidden);
	put32(model.pairs.limit);
	put32(model.small);
	put32(strlen(why));
	put(why, strlen(why));
}

/* V vector: output, output by the wide way, hidden layer, in range */
static void infer(void)
{
	s32 hidden[MLLB_MAX_HIDDEN] = {};
	struct mllb_vector v;

	get(&v, sizeof(v));
	put32(mllb_logit(&model, &v, false));
	put32(mllb_logit_wide(&model, &v, hidden));
	put(hidden, sizeof(hidden));
	put32(mllb_in_range(&model, &v));
}

/* D facts: vector, output, answer, in range, whether such are small, and if the model has floats theirs */
static void decide(void)
{
	struct mllb_facts f;
	struct mllb_vector v;
	bool migrate = false, in_range;
	s32 logit;

	get(&f, sizeof(f));
	mllb_fill(&v, &f);
	in_range = mllb_in_range(&model, &v);
	logit = mllb_logit(&model, &v, in_range && model.small);
	put(&v, sizeof(v));
	put32(logit);
	put32(logit >= model.threshold);
	put32(in_range);
	put32(model.small);
	logit = model.has_floats ? mllb_logit_float(&model, &f, &v, &migrate) : 0;
	put32(logit);
	put32(migrate);
}

/* Q numerator, denominator, negative: quotient */
static void quotient(void)
{
	u64 num, den;
	u32 negative;

	get(&num, sizeof(num));
	get(&den, sizeof(den));
	get(&negative, sizeof(negative));
	put32(mllb_quotient(num, den, negative));
}

int main(void)
{
	int c;

	while ((c = getchar()) != EOF) {
		switch (c) {
		case 'M': parse(); break;
		case 'V': infer(); break;
		case 'D': decide(); break;
		case 'Q': quotient(); break;
		case 'F': fflush(stdout); break;
		default: return 2;
		}
	}
	return 0;
}
