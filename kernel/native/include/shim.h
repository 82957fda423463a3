/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the shared sources use of the kernel's headers, for user space. */
#ifndef MLLB_SHIM_H
#define MLLB_SHIM_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
typedef u32 __le32;

/* <errno.h> would come back here by way of <linux/errno.h>. */
#define EINVAL 22
#define static_assert(expr) _Static_assert(expr, #expr)

#define S32_MIN INT32_MIN
#define S32_MAX INT32_MAX
#define U32_MAX UINT32_MAX
#define S64_MAX INT64_MAX

#define BIT(n) (1UL << (n))
#define BIT_ULL(n) (1ULL << (n))
#define rounddown_pow_of_two(x) (1ULL << (63 - __builtin_clzll(x)))

#undef __always_inline
#define __always_inline inline __attribute__((__always_inline__))
#define __aligned(n) __attribute__((__aligned__(n)))
#define __uninitialized
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define le32_to_cpu(x) le32toh(x)

#define min(a, b) ({ __typeof__(a) min_a = (a); __typeof__(b) min_b = (b); min_a < min_b ? min_a : min_b; })
#define max(a, b) ({ __typeof__(a) max_a = (a); __typeof__(b) max_b = (b); max_a > max_b ? max_a : max_b; })
#define min_t(t, a, b) ({ t min_a = (a), min_b = (b); min_a < min_b ? min_a : min_b; })
#define max_t(t, a, b) ({ t max_a = (a), max_b = (b); max_a > max_b ? max_a : max_b; })
#define clamp_t(t, x, lo, hi) min_t(t, max_t(t, x, lo), hi)
#define abs(x) ({ s64 abs_x = (x); abs_x < 0 ? -abs_x : abs_x; })

static inline u64 div64_u64(u64 a, u64 b) { return a / b; }

/* lib/crc32.c: without the inversions at both ends. */
static inline u32 crc32_le(u32 crc, const u8 *p, size_t n)
{
	while (n--) {
		crc ^= *p++;
		for (int i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	return crc;
}

#endif
