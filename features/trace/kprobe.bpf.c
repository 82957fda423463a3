//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The tracer by kprobe and kretprobe, where fentry is missing: the same facts,
 * each read by a helper. amd64 only, for arguments are registers.
 */
#define GET(p, field) BPF_CORE_READ(p, field)
#define GETBIT(p, field) BPF_CORE_READ_BITFIELD_PROBED(p, field)
#include "trace.h"

/* arch/x86/include/asm/ptrace.h */
struct pt_regs {
	unsigned long ax;
	unsigned long si;
	unsigned long di;
} __attribute__((preserve_access_index));

SEC("kprobe/can_migrate_task")
int on_entry(struct pt_regs *ctx)
{
	return enter((void *)ctx->di, (void *)ctx->si);
}

SEC("kretprobe/can_migrate_task")
int on_return(struct pt_regs *ctx)
{
	struct mllb_slot *s = slot();

	return s ? leave(s, (void *)s->task, (void *)s->env, ctx->ax) : 0;
}
