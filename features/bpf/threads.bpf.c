//go:build ignore
/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * The host, in two ways that write the same records.
 *
 * iter/task goes over all threads: a record for each, and each CPU's runqueue the
 * first time that a thread of it is met. Typed ksyms for the per-CPU runqueues need
 * KALLSYMS_ALL, but se.cfs_rq->rq is always there, and every online CPU has threads
 * of its own (ksoftirqd/N). Its time grows with the threads that there are.
 *
 * awake() goes over the list of tasks that each runqueue keeps for the load balancer
 * (cfs_tasks), and over the threads that user space names. Its time grows with those.
 *
 * Nothing is locked. A thread that moves, wakes or exits while it is read may
 * show a state, a CPU and a runqueue of slightly different moments; its CPU and
 * delta are of one runqueue. Runqueues are read during the pass, not after it.
 * The iterator holds a reference to the task, which keeps signal, cgroups and
 * numa_faults alive; real_parent, pids, numa_group and css_set links are under
 * the program's rcu_read_lock. Every load of a dead pointer faults to 0.
 */
#include "mllb.h"
#include "kernel.h"
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set by the loader before the program is loaded. */
const volatile __u32 version = MLLB_VERSION;
const volatile __u32 mask_words = 1;
const volatile __u32 nr_nodes = 1;
const volatile __u32 nr_cpus = 1;
const volatile __u32 hierarchy = 0; /* of the cgroup ids; 0 is cgroup v2 */
const volatile __u32 audit_step = 256; /* threads between two MLLB_PAUSE */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1); /* the loader sets the number of possible CPUs */
	__type(key, __u32);
	__type(value, struct mllb_rq);
} runqueues SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mllb_awake);
} passes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, MLLB_MAX_KEPT);
	__type(key, __u32);
	__type(value, __u64); /* mllb_thread.task */
} kept SEC(".maps");

/*
 * The record under construction. It is too large for the stack; one pass at a
 * time runs (bpf_seq_read holds the file's mutex, and the reader has one thread).
 */
static struct {
	struct mllb_thread t;
	__u64 tail[2 * MLLB_MAX_WORDS + 2 + 4 * MLLB_MAX_NODES];
} rec;

/* Neighbours in the pass are mostly threads of one process: one css_set. */
static struct {
	__u64 pass;
	__u64 cset;
	__u64 id;
} last;

static __u32 unseen; /* threads that an audit passed over since it last paused */

#define MAX_HIERARCHIES 32
#define MAX_ANCESTORS 32
#define MAX_ASTRAY 3  /* tries of a queue that changes */
#define SLACK 64      /* threads that may come to a queue while it is walked */
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000

/*
 * A field behind pointers. iter/task has typed pointers, which may be followed as they
 * are; the addresses of awake() are only numbers. `typed` is a constant once inlined.
 */
#define GET(src, ...) (typed ? ___arrow(src, ##__VA_ARGS__) : BPF_CORE_READ(src, ##__VA_ARGS__))
#define ___arrow1(a) a

static __always_inline struct mllb_awake *current_pass(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&passes, &zero);
}

static __always_inline __u64 cgroup_in(struct css_set *cset, const int typed)
{
	struct list_head *head = &cset->cgrp_links, *pos;

	if (hierarchy == 0)
		return GET(cset, dfl_cgrp, kn, id);
	pos = GET(cset, cgrp_links.next);
	for (int i = 0; i < MAX_HIERARCHIES && pos != head; i++) {
		struct cgrp_cset_link *link =
			(void *)pos - bpf_core_field_offset(struct cgrp_cset_link, cgrp_link);

		if (BPF_CORE_READ(link, cgrp, root, hierarchy_id) == hierarchy)
			return BPF_CORE_READ(link, cgrp, kn, id);
		pos = BPF_CORE_READ(pos, next);
	}
	return 0;
}

static __always_inline __u64 cgroup_id(struct task_struct *t, __u64 pass, const int typed)
{
	struct css_set *cset = GET(t, cgroups);

	/* An address may be used again, but not by the same pass: RCU aside, too soon. */
	if (last.cset != (__u64)cset || last.pass != pass) {
		last.id = cgroup_in(cset, typed);
		last.cset = (__u64)cset;
		last.pass = pass;
	}
	return last.id;
}

static __always_inline __u32 nr_queued(struct rq *rq, const int typed)
{
	struct cfs_rq___until_6_13 *old = (void *)&rq->cfs;
	__u32 n = 0;

	if (bpf_core_field_exists(rq->cfs.h_nr_queued))
		return GET(rq, cfs.h_nr_queued);
	if (typed)
		return old->h_nr_running;
	bpf_probe_read_kernel(&n, sizeof(n), (void *)&rq->cfs + bpf_core_field_offset(old->h_nr_running));
	return n;
}

static __always_inline __u32 nr_ext(struct rq *rq, const int typed)
{
	return bpf_core_field_exists(rq->scx.nr_running) ? GET(rq, scx.nr_running) : 0;
}

static __always_inline void sample_rq(struct mllb_rq *slot, struct rq *rq, __u32 cpu, __u64 pass, const int typed)
{
	slot->pass = pass;
	slot->rq = (__u64)rq; /* per-CPU and static: it outlives the pass, and a hotplug */
	slot->self = cpu == bpf_get_smp_processor_id();
	slot->clock = GET(rq, clock_task);
	slot->load_avg = GET(rq, cfs.avg.load_avg);
	slot->nr_running = GET(rq, nr_running);
	slot->online = GET(rq, online);
	slot->nr_queued = nr_queued(rq, typed);
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable))
		slot->delayed = slot->nr_queued - GET(rq, cfs.h_nr_runnable);
	slot->nr_queued += nr_ext(rq, typed);
	if (bpf_core_field_exists(rq->nr_preferred_running)) {
		slot->nr_preferred = GET(rq, nr_preferred_running);
		slot->nr_numa = GET(rq, nr_numa_running);
	}
}

/* Appends the NUMA faults at tail[at]; returns the words written. */
static __always_inline __u32 numa(struct task_struct *t, __u32 at, const int typed)
{
	__u64 *tail = rec.tail + at;
	__u32 bytes = nr_nodes * 16, words = nr_nodes * 2;
	struct numa_group *group;
	unsigned long *faults;

	rec.t.numa = 0;
	rec.t.preferred_node = -1;
	if (!bpf_core_field_exists(t->numa_faults))
		return 0;
	rec.t.preferred_node = GET(t, numa_preferred_nid);
	faults = GET(t, numa_faults);
	group = GET(t, numa_group);
	if (group)
		rec.t.numa |= MLLB_HAS_GROUP;
	if (!faults)
		return 0;
	rec.t.numa |= MLLB_HAS_FAULTS;
	tail[0] = GET(t, total_numa_faults);
	tail[1] = group ? GET(group, total_faults) : 0;
	/* Both helpers clear the destination where they fail, also for a NULL group. */
	bpf_probe_read_kernel(tail + 2, bytes, faults);
	bpf_probe_read_kernel(tail + 2 + words, bytes,
			      group ? (void *)group + bpf_core_field_offset(group->faults) : 0);
	return 2 + 2 * words;
}

/* Appends the mask that was asked for at tail[words], after the one there is; returns the words written. */
static __always_inline __u32 asked(struct task_struct *t, __u32 words, const int typed)
{
	struct cpumask *user;

	rec.t.asked = 0;
	if (!bpf_core_field_exists(t->user_cpus_ptr))
		return 0;
	user = GET(t, user_cpus_ptr);
	if (!user)
		return 0;
	rec.t.asked = 1;
	if (words == 1 && typed)
		rec.tail[1] = user->bits[0];
	else
		bpf_probe_read_kernel(rec.tail + words, words * 8, user);
	return words;
}

/* Whether a process is an ancestor of t. */
static __always_inline int descends(struct task_struct *t, __u32 from)
{
	if (!from)
		return 0;
	for (int i = 0; i < MAX_ANCESTORS; i++) {
		__u32 tgid;

		t = BPF_CORE_READ(t, real_parent);
		tgid = BPF_CORE_READ(t, tgid);
		if (tgid == from)
			return 1;
		if (tgid <= 1)
			return 0;
	}
	return 0;
}

/* A load of 8 bytes from inside an array that is aligned to at least 4. */
#define LOAD64(p) (*(const volatile __u64 *)(p))

/* Makes the record of a thread of rq, which is of CPU cpu. */
static __always_inline void describe(struct task_struct *t, struct rq *rq, __u32 cpu, __u64 pass, const int typed)
{
	__u32 words = mask_words;

	rec.t.task = (__u64)t;
	rec.t.cpu = cpu;
	rec.t.delta = GET(rq, clock_task) - GET(t, se.exec_start);
	rec.t.start = GET(t, start_boottime);
	rec.t.cgroup = cgroup_id(t, pass, typed);
	rec.t.load = GET(t, se.avg.load_avg);
	rec.t.runtime = GET(t, se.sum_exec_runtime);
	rec.t.runnable = GET(t, se.avg.runnable_avg);
	if (typed) {
		*(__u64 *)rec.t.comm = LOAD64(&t->comm[0]);
		*(__u64 *)(rec.t.comm + 8) = LOAD64(&t->comm[8]);
	} else {
		bpf_probe_read_kernel(rec.t.comm, sizeof(rec.t.comm), &t->comm);
	}
	rec.t.tid = GET(t, pid);
	rec.t.tgid = GET(t, tgid);
	rec.t.ppid = GET(t, real_parent, tgid);
	rec.t.session = GET(t, signal, pids[PIDTYPE_SID], numbers[0].nr);
	rec.t.state = GET(t, __state) | GET(t, exit_state);
	rec.t.flags = GET(t, flags);
	rec.t.policy = GET(t, policy);
	rec.t.nice = GET(t, static_prio) - 120; /* PRIO_TO_NICE */
	rec.t.on_cpu = GET(t, on_cpu);
	rec.t.migration_disabled = GET(t, migration_disabled) != 0;
	rec.t.descends = 0;

	if (words < 1 || words > MLLB_MAX_WORDS)
		return; /* the bounds are the loader's, said to the verifier */
	/* A helper call costs more than the rest of the record; most hosts need none. */
	if (words == 1 && typed)
		rec.tail[0] = t->cpus_mask.bits[0];
	else
		bpf_probe_read_kernel(rec.tail, words * 8, &t->cpus_mask);
	words += asked(t, words, typed);
	words += numa(t, words, typed);
	rec.t.size = sizeof(rec.t) + words * 8;
}

SEC("iter/task")
int threads(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct mllb_awake *pass = current_pass();
	struct mllb_rq *slot;
	struct rq *rq;
	__u32 cpu;

	/* The last call has no task. */
	if (!t || !pass || mask_words < 1 || mask_words > MLLB_MAX_WORDS || nr_nodes > MLLB_MAX_NODES)
		return 0;
	rq = t->se.cfs_rq->rq;
	cpu = rq->cpu;
	slot = bpf_map_lookup_elem(&runqueues, &cpu);
	if (slot && slot->pass != pass->pass)
		sample_rq(slot, rq, cpu, pass->pass, 1);
	describe(t, rq, cpu, pass->pass, 1);
	bpf_seq_write(ctx->meta->seq, &rec, rec.t.size);
	return 0;
}

/* Whether a mask has one CPU at the most. */
static __always_inline int narrow(struct cpumask *mask)
{
	__u32 words = mask_words, found = 0;

	for (__u32 i = 0; i < MLLB_MAX_WORDS && i < words; i++) {
		__u64 word = 0;

		bpf_probe_read_kernel(&word, sizeof(word), &mask->bits[i]);
		if ((word & (word - 1)) || (word && found))
			return 0;
		found |= word != 0;
	}
	return 1;
}

/* Whether a mask was asked for that may have a mark of mllbd's: the last bit of its last word. */
static __always_inline int marked(struct task_struct *t)
{
	struct cpumask *user;
	__u64 word = 0;

	if (!bpf_core_field_exists(t->user_cpus_ptr))
		return 0;
	user = t->user_cpus_ptr;
	if (user)
		bpf_probe_read_kernel(&word, sizeof(word), (void *)user + (mask_words - 1) * 8);
	return word >> 63;
}

/*
 * As threads(), but of user threads only those whose mask mllbd may have set, however
 * long they have been asleep. It goes over the host in steps, over many ticks.
 */
SEC("iter/task")
int audit(struct bpf_iter__task *ctx)
{
	struct task_struct *t = ctx->task;
	struct mllb_awake *pass = current_pass();
	__u64 word, pause = MLLB_PAUSE;
	struct rq *rq;

	if (!t || !pass || mask_words < 1 || mask_words > MLLB_MAX_WORDS || nr_nodes > MLLB_MAX_NODES)
		return 0;
	if (++unseen >= audit_step) {
		unseen = 0;
		bpf_seq_write(ctx->meta->seq, &pause, sizeof(pause));
	}
	if (t->flags & (PF_KTHREAD | PF_EXITING))
		return 0;
	word = t->cpus_mask.bits[0];
	if (word & (word - 1)) { /* nearly all */
		if (!marked(t))
			return 0;
	} else if (!narrow(&t->cpus_mask) && !marked(t)) {
		return 0;
	}
	rq = t->se.cfs_rq->rq;
	describe(t, rq, rq->cpu, pass->pass, 1);
	bpf_seq_write(ctx->meta->seq, &rec, rec.t.size);
	return 0;
}

/* Appends the record to what the run has written; returns whether there is no room. */
static __always_inline int append(struct mllb_awake *pass)
{
	__u32 at = pass->size, size = rec.t.size;

	if (at > MLLB_RECORDS - sizeof(rec) || size > sizeof(rec))
		return 1;
	bpf_probe_read_kernel(pass->records + at, size, &rec);
	pass->size = at + size;
	return 0;
}

/* Writes a thread that user space names, if it is one still. */
static long read_kept(__u32 n, void *unused)
{
	struct mllb_awake *pass = current_pass();
	struct mllb_rq *slot;
	struct task_struct *t;
	struct rq *rq;
	__u64 *address;
	__u32 at, cpu;

	if (!pass)
		return 1;
	at = pass->kept;
	address = bpf_map_lookup_elem(&kept, &at);
	if (!address || pass->size >= MLLB_ENOUGH)
		return 1;
	pass->kept = at + 1;
	t = (void *)*address;
	rq = BPF_CORE_READ(t, se.cfs_rq, rq);
	cpu = BPF_CORE_READ(rq, cpu);
	slot = bpf_map_lookup_elem(&runqueues, &cpu);
	/* Only the living lead to a runqueue; the memory of others may be anything by now. */
	if (!slot || !rq || slot->rq != (__u64)rq || BPF_CORE_READ(t, flags) & PF_EXITING)
		return 0;
	describe(t, rq, cpu, pass->pass, 0);
	rec.t.descends = descends(t, pass->self);
	return append(pass);
}

/* A walk over the tasks of one runqueue. */
struct walk {
	struct rq *rq;
	void *head, *prev, *pos;
	__u32 cpu;
	__u32 done;
};

/* Writes the next task, if the list still is what it was when its neighbour was read. */
static long step(__u32 n, struct walk *w)
{
	struct mllb_awake *pass = current_pass();
	struct list_head *pos = w->pos, *next;
	struct task_struct *t = w->pos - bpf_core_field_offset(struct task_struct, se.group_node);

	if (!pass)
		return 1;
	if (w->pos == w->head) {
		w->done = 1;
		return 1;
	}
	if (BPF_CORE_READ(pos, prev) != w->prev || BPF_CORE_READ(t, se.cfs_rq, rq) != w->rq || !BPF_CORE_READ(t, on_rq))
		return 1;
	next = BPF_CORE_READ(pos, next);
	if (!BPF_CORE_READ(t, exit_state)) { /* else it runs for the last time, and its id may be another's */
		describe(t, w->rq, w->cpu, pass->pass, 0);
		rec.t.descends = descends(t, pass->self);
		if (append(pass))
			return 1;
	}
	w->prev = pos;
	w->pos = next;
	return 0;
}

/*
 * What runs is of another class than the fair one, and not the idle task. Such threads
 * are on other lists; those that wait there are not read.
 */
static __always_inline int read_current(struct mllb_awake *pass, struct rq *rq, __u32 cpu)
{
	struct task_struct *t = BPF_CORE_READ(rq, curr);

	if (!BPF_CORE_READ(t, pid) || BPF_CORE_READ(t, se.cfs_rq, rq) != rq || BPF_CORE_READ(t, se.on_rq))
		return 0;
	describe(t, rq, cpu, pass->pass, 0);
	rec.t.descends = descends(t, pass->self);
	return append(pass);
}

/* Not inlined: what a kernel does not have must not be looked for before a loop, where
 * the compiler would put it. */
static __noinline int sample(struct mllb_rq *slot, struct rq *rq, __u32 cpu, __u64 pass)
{
	if (slot)
		sample_rq(slot, rq, cpu, pass, 0);
	return 0;
}

static __always_inline int walk_queue(struct mllb_awake *pass, struct mllb_rq *slot, __u32 cpu)
{
	struct rq *rq = (void *)slot->rq;
	__u32 before = pass->size;

	for (int i = 0; i < MAX_ASTRAY; i++) {
		struct walk w = {.rq = rq, .cpu = cpu};

		sample(slot, rq, cpu, pass->pass);
		w.head = (void *)rq + bpf_core_field_offset(rq->cfs_tasks);
		w.prev = w.head;
		w.pos = BPF_CORE_READ(rq, cfs_tasks.next);
		bpf_loop(slot->nr_queued + SLACK, step, &w, 0);
		if (w.done)
			return read_current(pass, rq, cpu);
		pass->astray++;
		pass->size = before;
	}
	return 1;
}

static long read_queue(__u32 n, void *unused)
{
	struct mllb_awake *pass = current_pass();
	struct mllb_rq *slot;
	__u32 cpu;

	if (!pass || pass->size >= MLLB_ENOUGH)
		return 1;
	cpu = pass->cpu;
	slot = bpf_map_lookup_elem(&runqueues, &cpu);
	if (!slot)
		return 1;
	if (slot->rq && walk_queue(pass, slot, cpu)) {
		pass->gave_up = 1;
		return 1;
	}
	pass->cpu = cpu + 1;
	return 0;
}

/*
 * The threads that are on a queue, those that run whatever their class, and those in
 * `kept`, which are written first. It is never attached, only run by BPF_PROG_RUN, which
 * disables preemption meanwhile (bpf_prog_test_run_raw_tp, net/bpf/test_run.c, 6.1).
 * A runqueue counts once an iterator has met it.
 */
SEC("raw_tp")
int awake(void *ctx)
{
	struct mllb_awake *pass = current_pass();

	if (!pass || nr_nodes > MLLB_MAX_NODES)
		return 0;
	if (pass->kept < pass->nr_kept)
		bpf_loop(pass->nr_kept - pass->kept, read_kept, 0, 0);
	if (pass->kept >= pass->nr_kept)
		bpf_loop(nr_cpus - pass->cpu, read_queue, 0, 0);
	return 0;
}

static long look(void *map, const __u32 *cpu, struct mllb_rq *slot, void *ctx)
{
	struct rq *rq = (void *)slot->rq;

	if (!rq)
		return 0;
	slot->now_self = *cpu == bpf_get_smp_processor_id();
	slot->now_online = BPF_CORE_READ(rq, online);
	slot->now_running = BPF_CORE_READ(rq, nr_running);
	slot->now_queued = nr_queued(rq, 0);
	if (bpf_core_field_exists(rq->cfs.h_nr_runnable))
		slot->now_delayed = slot->now_queued - BPF_CORE_READ(rq, cfs.h_nr_runnable);
	slot->now_queued += nr_ext(rq, 0);
	return 0;
}

/*
 * How many threads each CPU has now, without a look at any thread. As awake() it is
 * only run, and like the programs above it needs CAP_BPF and CAP_PERFMON.
 */
SEC("raw_tp")
int recount(void *ctx)
{
	bpf_for_each_map_elem(&runqueues, look, 0, 0);
	return 0;
}
