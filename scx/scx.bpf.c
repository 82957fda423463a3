//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * A sched_ext scheduler that asks the policies of net.h.
 *
 * Each CPU has a queue (a DSQ of its id) in the order of vtime. A thread that wakes
 * goes to an idle CPU, the nearest on an idle core first, else to the queue of the
 * CPU that it ran on. A CPU whose queue is empty pulls, bottom-up through the
 * domains, from the busiest queue: each thread that may move is put to the policy,
 * as can_migrate_task() puts it to the locality rule. No lock is taken but those of
 * the queues, inside of the kernel's functions.
 *
 * What stays may be refused again and again, so two things are bounded: how many
 * threads a CPU looks at, and how long a thread waits while a CPU that may run it is
 * idle; beyond that the policy is overridden. An idle CPU asks when threads are
 * queued elsewhere, and at each tick of a CPU at which threads wait.
 */
#include "pull.h"
#include "wake.h"
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

SEC("struct_ops/mllb_select_cpu")
__s32 BPF_PROG(mllb_select_cpu, struct task_struct *p, __s32 prev, __u64 flags)
{
	struct task *t = task_of(p);
	struct mllb_counters *n = count();
	__s32 cpu = pick_idle(p, prev);

	if (!t || !n)
		return prev;
	if (cpu < 0) {
		n->wakes_busy++;
		return prev;
	}
	n->wakes_idle++;
	settle(t, p, cpu, bpf_ktime_get_ns());
	vtime_at(t, cpu);
	insert(p, SCX_DSQ_LOCAL, slice, 0);
	return cpu;
}

SEC("struct_ops/mllb_enqueue")
void BPF_PROG(mllb_enqueue, struct task_struct *p, __u64 flags)
{
	__s32 cpu = scx_bpf_task_cpu(p), other;
	struct task *t = task_of(p);
	struct mllb_counters *n = count();

	if (!t || !n || (SCX(p)->nr_cpus_allowed == 1 && p->flags & PF_KTHREAD)) {
		insert(p, SCX_DSQ_LOCAL, slice, flags);
		return;
	}
	t->queued = bpf_ktime_get_ns();
	settle(t, p, cpu, t->queued);
	n->enqueued++;
	insert_vtime(p, cpu, slice, vtime_at(t, cpu), flags);
	/* A pinned thread does not come through select_cpu, and what was busy then may be idle now. */
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	other = scx_bpf_pick_idle_cpu(SCX(p)->cpus_ptr, 0);
	if (other >= 0) {
		n->kicked++;
		scx_bpf_kick_cpu(other, SCX_KICK_IDLE);
	}
}

SEC("struct_ops/mllb_runnable")
void BPF_PROG(mllb_runnable, struct task_struct *p, __u64 flags)
{
	struct task *t = task_of(p);

	if (t)
		settle(t, p, scx_bpf_task_cpu(p), bpf_ktime_get_ns());
}

SEC("struct_ops/mllb_running")
void BPF_PROG(mllb_running, struct task_struct *p)
{
	__s32 cpu = scx_bpf_task_cpu(p);
	struct task *t = task_of(p);
	struct cpu *c = cpu_of(cpu);

	if (!t || !c)
		return;
	t->began = bpf_ktime_get_ns();
	settle(t, p, cpu, t->began);
	vtime_at(t, cpu);
	if ((__s64)(t->vtime - c->vtime) > 0)
		c->vtime = t->vtime;
	c->idle = 0;
}

SEC("struct_ops/mllb_stopping")
void BPF_PROG(mllb_stopping, struct task_struct *p, _Bool runnable)
{
	struct task *t = task_of(p);
	__u32 weight = SCX(p)->scx.weight;

	if (!t)
		return;
	t->last = bpf_ktime_get_ns();
	t->vtime += (t->last - t->began) * 100 / (weight ?: 1);
}

SEC("struct_ops/mllb_quiescent")
void BPF_PROG(mllb_quiescent, struct task_struct *p, __u64 flags)
{
	struct task *t = task_of(p);

	if (t)
		settle(t, p, -1, bpf_ktime_get_ns());
}

/* Threads wait at this CPU: one that is idle may look again, which it does not by itself. */
SEC("struct_ops/mllb_tick")
void BPF_PROG(mllb_tick, struct task_struct *p)
{
	struct mllb_counters *n = count();
	__s32 cpu;

	if (!n || scx_bpf_dsq_nr_queued(scx_bpf_task_cpu(p)) <= 0)
		return;
	cpu = scx_bpf_pick_idle_cpu(SCX(p)->cpus_ptr, 0);
	if (cpu >= 0) {
		n->kicked++;
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

/* How often a CPU that has work looks for queues that are longer. */
#define BUSY_INTERVAL 8000000 /* ns */

SEC("struct_ops/mllb_dispatch")
void BPF_PROG(mllb_dispatch, __s32 cpu, struct task_struct *prev)
{
	_Bool goes_on = prev && SCX(prev)->scx.flags & SCX_TASK_QUEUED;
	struct cpu *c = cpu_of(cpu);
	__u64 now = bpf_ktime_get_ns();

	if (!c)
		return;
	if ((goes_on || scx_bpf_dsq_nr_queued(cpu) > 0) && now - c->balanced > BUSY_INTERVAL) {
		c->balanced = now;
		balance(cpu, 0);
	}
	if (to_local(cpu) || goes_on)
		return;
	if (!balance(cpu, 1))
		c->idle = 1;
}

SEC("struct_ops.s/mllb_init_task")
__s32 BPF_PROG(mllb_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct task *t = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12; /* ENOMEM */
	t->home = t->clock = -1;
	return 0;
}

SEC("struct_ops/mllb_enable")
void BPF_PROG(mllb_enable, struct task_struct *p)
{
	struct task *t = task_of(p);
	__s32 cpu = scx_bpf_task_cpu(p);
	struct cpu *c = cpu_of(cpu);

	if (!t || !c)
		return;
	t->vtime = c->vtime;
	t->clock = cpu;
	t->last = t->queued = bpf_ktime_get_ns();
}

SEC("struct_ops/mllb_disable")
void BPF_PROG(mllb_disable, struct task_struct *p)
{
	struct task *t = task_of(p);

	if (t)
		settle(t, p, -1, bpf_ktime_get_ns());
}

SEC("struct_ops.s/mllb_init")
__s32 BPF_PROG(mllb_init)
{
	struct bpf_iter_num it;
	__s32 err = 0;
	int *i;

	bpf_iter_num_new(&it, 0, nr_cpus);
	while ((i = bpf_iter_num_next(&it))) {
		err = scx_bpf_create_dsq(*i, -1);
		if (err)
			break;
	}
	bpf_iter_num_destroy(&it);
	return err;
}

SEC("struct_ops/mllb_exit")
void BPF_PROG(mllb_exit, struct scx_exit_info *why)
{
	bpf_probe_read_kernel_str(ended.reason, sizeof(ended.reason), why->reason);
	bpf_probe_read_kernel_str(ended.msg, sizeof(ended.msg), why->msg);
	ended.code = why->exit_code;
	__sync_fetch_and_add(&ended.kind, why->kind);
}

struct sched_ext_ops {
	void *select_cpu;
	void *enqueue;
	void *dispatch;
	void *tick;
	void *runnable;
	void *running;
	void *stopping;
	void *quiescent;
	void *init_task;
	void *enable;
	void *disable;
	void *init;
	void *exit;
	__u64 flags;
	__u32 timeout_ms;
	char name[128];
};

#define OPS(mode)                                    \
	.select_cpu = (void *)mllb_select_cpu,       \
	.enqueue = (void *)mllb_enqueue,             \
	.dispatch = (void *)mllb_dispatch,           \
	.tick = (void *)mllb_tick,                   \
	.runnable = (void *)mllb_runnable,           \
	.running = (void *)mllb_running,             \
	.stopping = (void *)mllb_stopping,           \
	.quiescent = (void *)mllb_quiescent,         \
	.init_task = (void *)mllb_init_task,         \
	.enable = (void *)mllb_enable,               \
	.disable = (void *)mllb_disable,             \
	.init = (void *)mllb_init,                   \
	.exit = (void *)mllb_exit,                   \
	.flags = (mode), .timeout_ms = 5000, .name = "mllb"

/* Of the whole host, and of the threads alone that ask for SCHED_EXT. */
SEC(".struct_ops.link")
struct sched_ext_ops whole = { OPS(0) };

SEC(".struct_ops.link")
struct sched_ext_ops partial = { OPS(SCX_OPS_SWITCH_PARTIAL) };
