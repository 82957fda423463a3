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
#include "ops.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#include "net.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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
	__u32 looks;	 /* decisions since a sample */
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

/* Whether no sibling of a CPU, as the loader knows them, has anything to run. */
static __always_inline _Bool idle_core(const struct mllb_place *at, const struct cpumask *idle)
{
	for (int i = 0; i < MLLB_SIBLINGS; i++) {
		if (i >= at->siblings)
			break;
		if (!bpf_cpumask_test_cpu(at->sibling[i], idle))
			return 0;
	}
	return 1;
}

/* What an idle CPU is worth: beside a busy sibling, half. */
static __always_inline __u32 worth(const struct mllb_place *at, const struct cpumask *idle)
{
	return idle_core(at, idle) ? at->speed : at->speed / 2;
}

#define FULL_SPEED 1024

/*
 * The idle CPU that is worth most to a thread, of equals the one that it ran on,
 * else the nearest; worth an eighth more than that one, since caches are. -1: there
 * is none.
 */
static __attribute__((noinline)) __s32 pick_idle(struct task_struct *p, __s32 prev)
{
	__u32 key = prev;
	struct mllb_place *at = bpf_map_lookup_elem(&places, &key);
	struct mllb_near *near = bpf_map_lookup_elem(&nears, &key);
	const struct cpumask *idle, *allowed = SCX(p)->cpus_ptr;
	__s32 best = -1;
	__u32 most = 0;
	struct bpf_iter_num it;
	int *i;

	if (!at || !near || !allowed)
		return -1;
	idle = scx_bpf_get_idle_cpumask();
	if (at->speed && bpf_cpumask_test_cpu(prev, idle) && bpf_cpumask_test_cpu(prev, allowed)) {
		best = prev;
		most = worth(at, idle);
		most += most / 8;
	}
	if (most < FULL_SPEED) {
		bpf_iter_num_new(&it, 0, nr_cpus);
		while ((i = bpf_iter_num_next(&it))) {
			__u32 cpu = near->cpu[*i & (MLLB_SCX_CPUS - 1)], w;
			struct mllb_place *there;

			if (!bpf_cpumask_test_cpu(cpu, idle) || !bpf_cpumask_test_cpu(cpu, allowed))
				continue;
			there = bpf_map_lookup_elem(&places, &cpu);
			w = there ? worth(there, idle) : 0;
			if (w <= most)
				continue;
			most = w;
			best = cpu;
			if (most == FULL_SPEED)
				break;
		}
		bpf_iter_num_destroy(&it);
	}
	scx_bpf_put_idle_cpumask(idle);
	if (best >= 0 && !scx_bpf_test_and_clear_cpu_idle(best))
		best = scx_bpf_pick_idle_cpu(allowed, 0);
	return best;
}

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
	/* select_cpu is not asked for a thread that is pinned, and finds CPUs that are busy again by now. */
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

#define LOOKS 32

/* One CPU's attempt to pull. */
struct pull {
	struct mllb_facts facts;
	struct mllb_verdict verdict;
	struct mllb_vector vector;
	__u64 now;
	__s32 src, dst;
	__u32 level;
	__u32 net;	/* that decided */
	_Bool idle;	/* nothing is left to run on dst */
	_Bool overridden, moved;
	__u64 waited;
};

/* The busiest CPU of a domain of dst from which a thread may be worth pulling, or -1. */
MLLB_ONCE int busiest(const struct pull *pl, const struct mllb_near *near, __u32 from, __u32 to)
{
	struct bpf_iter_num it;
	struct cpu *dst;
	__s64 most = 0;
	__s32 best = -1;
	int *i;

	if (!pl || !near)
		return -1;
	dst = cpu_of(pl->dst);
	if (!dst)
		return -1;
	bpf_iter_num_new(&it, from, to);
	while ((i = bpf_iter_num_next(&it))) {
		__s32 cpu = near->cpu[*i & (MLLB_SCX_CPUS - 1)];
		struct cpu *c = cpu_of(cpu);

		if (!c || cpu == pl->dst || c->load <= most || c->nr < dst->nr + (pl->idle ? 1 : 2))
			continue;
		if (scx_bpf_dsq_nr_queued(cpu) <= 0)
			continue;
		most = c->load;
		best = cpu;
	}
	bpf_iter_num_destroy(&it);
	return best;
}

/* Everything of a decision but what is the thread's. */
MLLB_ONCE int fill(struct pull *pl, const struct mllb_place *from, const struct mllb_place *to)
{
	static const __u8 tries[MLLB_LEVELS] = { 0, 1, 1, 2 }; /* sd_init() (kernel/sched/topology.c, 6.12) */
	struct cpu *src, *dst;
	struct mllb_facts *f;

	if (!pl || !from || !to)
		return 0;
	src = cpu_of(pl->src);
	dst = cpu_of(pl->dst);
	if (!src || !dst)
		return 0;
	f = &pl->facts;
	f->src_load = average(src, pl->now);
	f->dst_load = average(dst, pl->now);
	f->migration_cost = migration_cost;
	f->src_nr_running = f->src_len = src->nr;
	f->dst_nr_running = f->dst_len = dst->nr;
	f->nr_balance_failed = dst->failed[pl->level & 3];
	f->cache_nice_tries = tries[pl->level & 3];
	f->src_nid = from->nid;
	f->dst_nid = to->nid;
	f->idle = !pl->idle ? MLLB_NOT_IDLE : dst->idle ? MLLB_IDLE : MLLB_NEWLY_IDLE;
	f->same_smt = pl->level == MLLB_SMT;
	f->numa = numa_balancing && pl->level == MLLB_MACHINE && from->nid != to->nid;
	f->fair = 1;
	return 0;
}

MLLB_ONCE int decide(struct pull *pl)
{
	__u32 key = current_net & 1;
	struct mllb_net *net = bpf_map_lookup_elem(&nets, &key);

	if (!pl || !net)
		return 0;
	pl->net = key;
	mllb_decide(&pl->verdict, &pl->vector, net, &pl->facts);
	return 0;
}

/* Tells of a decision, of every so many. */
MLLB_ONCE int sample(struct pull *pl, struct task_struct *p __trusted)
{
	struct mllb_counters *n = count();
	struct mllb_sample *s;
	struct mllb_net *net;
	struct cpu *c;
	__u32 key;

	if (!sample_every || !pl || !n)
		return 0;
	key = pl->net;
	net = bpf_map_lookup_elem(&nets, &key);
	c = cpu_of(pl->dst);
	if (!c || !net || ++c->looks < sample_every)
		return 0;
	c->looks = 0;
	s = bpf_ringbuf_reserve(&samples, sizeof(*s), 0);
	if (!s) {
		n->dropped++;
		return 0;
	}
	s->time = pl->now;
	s->waited = pl->waited;
	s->checksum = net->checksum;
	s->facts = pl->facts;
	s->verdict = pl->verdict;
	s->tid = p->pid;
	s->tgid = p->tgid;
	s->src = pl->src;
	s->dst = pl->dst;
	s->level = pl->level;
	s->overridden = pl->overridden;
	s->moved = pl->moved;
	__builtin_memset(s->pad, 0, sizeof(s->pad));
	bpf_core_read(s->comm, sizeof(s->comm), &p->comm);
	bpf_ringbuf_submit(s, 0);
	return 0;
}

/* Pulls one thread from the queue of pl->src: 1 if it did, 0 if none was approved, -1 if none may move. */
static __always_inline int take(struct pull *pl)
{
	struct cpu *src = cpu_of(pl->src), *dst = cpu_of(pl->dst);
	struct mllb_counters *n = count();
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	int looks = 0, result = -1;

	if (!src || !dst || !n)
		return -1;
	if (bpf_iter_scx_dsq_new(&it, pl->src, 0))
		goto out;
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		struct task *t = task_of(p);
		__u32 weight = SCX(p)->scx.weight;

		if (++looks > LOOKS) {
			n->exhausted++;
			break;
		}
		if (!t || !bpf_cpumask_test_cpu(pl->dst, SCX(p)->cpus_ptr))
			continue;
		/* The guard: the source stays at least as loaded as the destination. */
		if (src->load - weight < dst->load + weight && !(pl->idle && dst->load <= 0))
			continue;
		pl->waited = pl->now - t->queued;
		pl->facts.delta = pl->now - t->last;
		pl->facts.preferred_nid = p->numa_preferred_nid;
		pl->facts.idle_policy = p->policy == SCHED_IDLE;
		pl->overridden = pl->moved = 0;
		if (result < 0)
			result = 0;
		n->asked++;
		decide(pl);
		n->unknown += pl->verdict.unknown;
		if (pl->verdict.migrate) {
			n->approved++;
		} else if (pl->idle && pl->waited > patience) {
			pl->overridden = 1;
			n->overridden++;
		} else {
			sample(pl, p);
			continue;
		}
		settle(t, p, pl->dst, pl->now);
		if (pl->idle)
			pl->moved = move(&it, p, SCX_DSQ_LOCAL);
		else
			pl->moved = move_vtime(&it, p, pl->dst, vtime_at(t, pl->dst));
		sample(pl, p);
		if (!pl->moved) {
			n->lost++;
			continue;
		}
		n->pulled[pl->level & 3]++;
		result = 1;
		break;
	}
out:
	bpf_iter_scx_dsq_destroy(&it);
	return result;
}

/*
 * Lets a CPU pull one thread in one of its domains: 1 if it did. Global, so that the
 * verifier looks at it once for all levels.
 */
MLLB_ONCE int pull_in(__s32 cpu, __u32 level, _Bool idle)
{
	__u32 key = cpu;
	struct mllb_place *to = bpf_map_lookup_elem(&places, &key), *from;
	struct mllb_near *near = bpf_map_lookup_elem(&nears, &key);
	struct cpu *dst = cpu_of(cpu);
	struct pull pl = { .dst = cpu, .now = bpf_ktime_get_ns(), .idle = idle, .level = level };
	__u32 begin, end;
	int took;

	if (!to || !near || !dst || !to->speed || level >= MLLB_LEVELS)
		return 0;
	begin = level ? to->end[(level - 1) & 3] : 0;
	end = to->end[level & 3];
	pl.src = begin < end ? busiest(&pl, near, begin, end) : -1;
	if (pl.src < 0) {
		dst->failed[level & 3] = 0;
		return 0;
	}
	key = pl.src;
	from = bpf_map_lookup_elem(&places, &key);
	if (!from)
		return 0;
	fill(&pl, from, to);
	took = take(&pl);
	if (took > 0) {
		dst->failed[level & 3] = 0;
		return 1;
	}
	/* Like the kernel's, an attempt of a CPU that has only just become idle does not count. */
	if (!took && pl.facts.idle != MLLB_NEWLY_IDLE && dst->failed[level & 3] < 16)
		dst->failed[level & 3]++;
	return 0;
}

/* Bottom-up through the domains of a CPU. */
static __always_inline _Bool balance(__s32 cpu, _Bool idle)
{
	return pull_in(cpu, MLLB_SMT, idle) || pull_in(cpu, MLLB_LLC, idle) ||
	       pull_in(cpu, MLLB_NODE, idle) || pull_in(cpu, MLLB_MACHINE, idle);
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
