//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* For TestBucketC: the C side's bucket of a duration. */
#include "latency.h"
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 ns = 0;

SEC("syscall")
int bucket(void *ctx)
{
	return latency_bucket(ns);
}
