/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The network of an exported header in plain C: reads decisions, a line of
 * inputs each, and writes hidden layer, output, answer, and whether all inputs are
 * in the ranges of training.
 */
#include <stdio.h>

#include "model.h"

static __s32 shifted(__s64 acc)
{
	acc >>= MLLB_MODEL_FRAC_BITS;
	if (acc > 2147483647)
		return 2147483647;
	if (acc < -2147483647 - 1)
		return -2147483647 - 1;
	return acc;
}

static __s64 start(__s32 bias)
{
	return (__s64)bias * (1 << MLLB_MODEL_FRAC_BITS) + (1 << (MLLB_MODEL_FRAC_BITS - 1));
}

int main(void)
{
	__s32 x[MLLB_MODEL_INPUTS], hidden[MLLB_MODEL_HIDDEN], out;
	int i, j, in;

	for (;;) {
		for (i = 0; i < MLLB_MODEL_INPUTS; i++)
			if (scanf("%d", &x[i]) != 1)
				return i != 0;
		__s64 sum = start(mllb_model_biases2[0]);
		for (j = 0; j < MLLB_MODEL_HIDDEN; j++) {
			__s64 acc = start(mllb_model_biases1[j]);
			for (i = 0; i < MLLB_MODEL_INPUTS; i++)
				acc += (__s64)mllb_model_weights1[j][i] * x[i];
			hidden[j] = shifted(acc);
			if (hidden[j] < 0)
				hidden[j] = 0;
			sum += (__s64)mllb_model_weights2[j] * hidden[j];
			printf("%d ", hidden[j]);
		}
		out = shifted(sum);
		in = 1;
#ifdef MLLB_MODEL_RANGES
		for (i = 0; i < MLLB_MODEL_INPUTS; i++)
			in &= x[i] >= mllb_model_low[i] && x[i] <= mllb_model_high[i];
#endif
		printf("%d %d %d\n", out, out >= MLLB_MODEL_THRESHOLD, in);
	}
}
