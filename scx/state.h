/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the scheduler knows: what the loader tells it, the policies, and of each CPU and
 * thread its load and vtime.
 */
#ifndef MLLB_SCX_STATE_H
#define MLLB_SCX_STATE_H

#include "ops.h"
#include "net.h"

/* Set by the loader before the scheduler is loaded. */
const volatile __u32 version = MLLB_SCX_VERSION;
const volatile __u32 nr_cpus = 1;
const volatile __u32 sample_every = 1; /* decisions; 0: none */
const volatile __s64 migration_cost = 500000;
const volatile __u64 slice = 5000000;	    /* ns */
const volatile __u64 patience = 20000000;   /* ns that a thread waits for the policy */
const volatile _Bool numa_balancing = 0;

/* Which of the two nets is asked: a swap is one store. */
volatile __u32 current_net = 0;

struct mllb_ended ended = {};

/* For its type: what the ring buffer holds. */
const struct mllb_sample *sample_type __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct mllb_net);
} nets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MLLB_SCX_CPUS);
	__type(key, __u32);
	__type(value, struct mllb_place);
} places SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MLLB_SCX_CPUS);
	__type(key, __u32);
	__type(value, struct mllb_near);
} nears SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_counters);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} samples SEC(".maps");

/* One CPU, as others see it. Loads are sums of weights, as in cpu_shares (100 = nice 0). */
struct cpu {
	__u64 vtime;	 /* of what ran here last */
	__s64 load;	 /* of the threads that run or wait here */
	__s64 nr;	 /* how many they are */
	__u64 average;	 /* of load, decayed by half each 32 ms, as of then; of 1024 a nice 0 */
	__u64 then;
	__u32 failed[MLLB_LEVELS]; /* nr_balance_failed */
	__u32 idle;	 /* it found nothing to run */
	__u32 looks;	 /* decisions */
	__u64 balanced;	 /* when it last looked for longer queues while it had work */
} __attribute__((aligned(128)));

struct cpu cpus[MLLB_SCX_CPUS];

/* One thread. */
struct task {
	__u64 vtime;	 /* of the clock of `clock` */
	__u64 began;	 /* to run */
	__u64 last;	 /* ran */
	__u64 queued;	 /* since when it waits */
	__s32 home;	 /* the CPU whose load it is part of, or -1 */
	__s32 clock;
	__s32 weight;	 /* that it has there */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct task);
} tasks SEC(".maps");

#define SCX(p) ((struct task_struct___scx *)(p))

static __always_inline struct cpu *cpu_of(__s32 cpu)
{
	return cpu >= 0 && cpu < MLLB_SCX_CPUS ? &cpus[cpu & (MLLB_SCX_CPUS - 1)] : 0;
}

static __always_inline struct task *task_of(struct task_struct *p)
{
	return bpf_task_storage_get(&tasks, p, 0, 0);
}

static __always_inline struct mllb_counters *count(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&counters, &zero);
}

/* y^n * 2^16, y^32 = 1/2: how much of a load is left after n ms. */
static const __u32 decay[32] = {
	65536, 64132, 62757, 61413, 60097, 58809, 57549, 56316, 55109, 53928, 52773,
	51642, 50535, 49452, 48393, 47356, 46341, 45348, 44376, 43425, 42495, 41584,
	40693, 39821, 38968, 38133, 37316, 36516, 35734, 34968, 34219, 33486,
};

/* Brings the average of a CPU up to now, at which its load changes. Races cost precision only. */
static __always_inline __u64 average(struct cpu *c, __u64 now)
{
	__u64 load = c->load > 0 ? (__u64)c->load * 1024 / 100 : 0;
	__u64 ms = (now - c->then) >> 20;
	__u64 was = c->average;

	if ((__s64)(now - c->then) <= 0 || !ms)
		return was;
	c->then = now;
	if (ms >= 512)
		was = 0;
	else
		was = (was * decay[ms & 31] >> 16) >> (ms >> 5);
	/* What is gone of the old average is there of the load. */
	was += load - (ms >= 512 ? 0 : (load * decay[ms & 31] >> 16) >> (ms >> 5));
	c->average = was;
	return was;
}

/* Makes a thread part of the load of a CPU, and of no other. */
MLLB_ONCE int settle_on(struct task *t, __s32 cpu, __s32 weight, __u64 now)
{
	struct cpu *c;

	if (!t || (t->home == cpu && t->weight == weight))
		return 0;
	c = cpu_of(t->home);
	if (c) {
		average(c, now);
		__sync_fetch_and_add(&c->load, -(__s64)t->weight);
		__sync_fetch_and_add(&c->nr, -1);
	}
	c = cpu_of(cpu);
	if (c) {
		average(c, now);
		__sync_fetch_and_add(&c->load, weight);
		__sync_fetch_and_add(&c->nr, 1);
	}
	t->home = cpu;
	t->weight = weight;
	return 0;
}

static __always_inline void settle(struct task *t, struct task_struct *p, __s32 cpu, __u64 now)
{
	settle_on(t, cpu, cpu < 0 ? 0 : SCX(p)->scx.weight, now);
}

/* The vtime of a thread by the clock of a CPU; what slept has at most a slice to spare. */
MLLB_ONCE __u64 vtime_at(struct task *t, __s32 cpu)
{
	struct cpu *to = cpu_of(cpu), *from;

	if (!t)
		return 0;
	from = cpu_of(t->clock);
	if (!to)
		return t->vtime;
	if (from && from != to)
		t->vtime += to->vtime - from->vtime;
	t->clock = cpu;
	if ((__s64)(t->vtime - (to->vtime - slice)) < 0)
		t->vtime = to->vtime - slice;
	return t->vtime;
}

#endif
