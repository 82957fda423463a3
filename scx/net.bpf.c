//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* The policies alone, for tests that hold them against Go's to the bit. */

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "net.h"

#define BATCH 256

struct mllb_case {
	struct mllb_facts facts;
	struct mllb_vector vector;
	struct mllb_verdict verdict;
	__u8 given;	/* the vector is given, and the network asked whatever is in range */
	__u8 in_range;
	__u8 pad[6];
};

struct mllb_cases {
	__u32 n, pad;
	struct mllb_case c[BATCH];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_cases);
} cases SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_net);
} net SEC(".maps");

MLLB_ONCE int judge(struct mllb_case *c, const struct mllb_net *n)
{
	if (!c || !n)
		return 0;
	if (c->given) {
		c->verdict.logit = mllb_logit(n, &c->vector);
		c->verdict.migrate = c->verdict.logit >= n->threshold;
	} else {
		mllb_decide(&c->verdict, &c->vector, n, &c->facts);
		if (n->policy != MLLB_POLICY_MLP)
			mllb_fill(&c->vector, &c->facts);
	}
	c->in_range = mllb_in_range(n, &c->vector);
	return 0;
}

SEC("syscall")
int judge_all(void *ctx)
{
	__u32 zero = 0;
	struct mllb_cases *in = bpf_map_lookup_elem(&cases, &zero);
	struct mllb_net *n = bpf_map_lookup_elem(&net, &zero);

	if (!in || !n)
		return 1;
	for (__u32 i = 0; i < BATCH && i < in->n; i++)
		judge(&in->c[i], n);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
