/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the latency programs and the Go loader say to each other, and the
 * histogram of both.
 */
#ifndef LATENCY_H
#define LATENCY_H

#include <linux/types.h>

/* Raised with every change below; the loader refuses an object that differs. */
#define LATENCY_VERSION 1

/*
 * Log-linear: below 16 ns a bucket is one ns wide, above there are 16 buckets
 * for each power of two, so a bucket is at most 1/16 of its lower bound wide.
 * From 2^36 ns (69 s) on everything is in the last.
 */
#define LATENCY_SUB_BITS 4
#define LATENCY_SUB (1 << LATENCY_SUB_BITS)
#define LATENCY_MAX_BITS 36
#define LATENCY_BUCKETS ((LATENCY_MAX_BITS - LATENCY_SUB_BITS + 1) * LATENCY_SUB)

/* One function on one CPU. */
struct mllb_latency {
	__u64 start;   /* of the call under way; 0: none */
	__u64 count;   /* calls with a duration */
	__u64 sum;     /* ns */
	__u64 max;     /* ns */
	__u64 lost;    /* entries whose return was not seen */
	__u64 orphans; /* returns without an entry: some while the pair is attached and taken off */
	__u64 buckets[LATENCY_BUCKETS];
};

_Static_assert(sizeof(struct mllb_latency) == 48 + 8 * 528, "mllb_latency");

static __always_inline __u32 latency_bucket(__u64 ns)
{
	__u64 v = ns;
	__u32 bits = 0; /* log2 of ns, rounded down */

	if (ns < LATENCY_SUB)
		return ns;
	if (ns >> LATENCY_MAX_BITS)
		return LATENCY_BUCKETS - 1;
	if (v >> 32) { bits += 32; v >>= 32; }
	if (v >> 16) { bits += 16; v >>= 16; }
	if (v >> 8) { bits += 8; v >>= 8; }
	if (v >> 4) { bits += 4; v >>= 4; }
	if (v >> 2) { bits += 2; v >>= 2; }
	if (v >> 1) bits += 1;
	return (bits - LATENCY_SUB_BITS) * LATENCY_SUB + (ns >> (bits - LATENCY_SUB_BITS));
}

#endif
