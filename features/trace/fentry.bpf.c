//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/* The tracer by fentry and fexit: typed pointers, read without a helper. */
#define GET(p, field) ((p)->field)
#define GETBIT(p, field) BPF_CORE_READ_BITFIELD(p, field)
#include "trace.h"

SEC("fentry/can_migrate_task")
int on_entry(__u64 *ctx)
{
	return enter((void *)ctx[0], (void *)ctx[1]);
}

SEC("fexit/can_migrate_task")
int on_return(__u64 *ctx)
{
	struct mllb_slot *s = slot();

	return s ? leave(s, (void *)ctx[0], (void *)ctx[1], ctx[2]) : 0;
}
