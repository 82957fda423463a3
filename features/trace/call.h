/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * What the tracer's programs and the Go loader say to each other: the source of
 * truth, as ../bpf/mllb.h is for snapshots. Little endian, naturally aligned,
 * every size a multiple of 8.
 */
#ifndef MLLB_CALL_H
#define MLLB_CALL_H

#include "../bpf/mllb.h"

/* Raised with every change below; the loader refuses an object that differs. */
#define CALL_VERSION 1

/* A call's NUMA faults live in a slot for each CPU: more nodes are refused. */
#define CALL_MAX_NODES 64

/* Bits of mllb_call.facts. */
#define CALL_RETURNED 0x00001	    /* the answer: 1 */
#define CALL_TASK_HOT 0x00002	    /* task.sched_task_hot on return */
#define CALL_SRC_THROTTLED 0x00004  /* the task's cfs_rq is in a throttled hierarchy */
#define CALL_DST_THROTTLED 0x00008  /* its group's cfs_rq of the destination is */
#define CALL_PERCPU_KTHREAD 0x00010 /* kthread_is_per_cpu */
#define CALL_DELAYED 0x00020	    /* se.sched_delayed */
#define CALL_DST_QUEUED 0x00040	    /* its group's cfs_rq of the destination has tasks */
#define CALL_BLOCKED 0x00080	    /* blocked_on, where there is proxy execution */
#define CALL_NOT_ALLOWED 0x00100    /* dst_cpu is not in cpus_ptr */
#define CALL_ON_CPU 0x00200	    /* on_cpu, or the source's donor */
#define CALL_MIGRATION_DISABLED 0x00400
#define CALL_HAS_FAULTS 0x00800
#define CALL_HAS_GROUP 0x01000
#define CALL_FAIR 0x02000
#define CALL_NEXT_BUDDY 0x04000
#define CALL_OTHER_COOKIE 0x08000 /* core scheduling is on, and the cookies differ */
#define CALL_HAS_LAG 0x10000	  /* EEVDF: lag_* are set */

/*
 * One call. With CALL_HAS_FAULTS it is followed by
 *	__u64 task_faults[nr_nodes][2]
 * and, if it has CALL_HAS_GROUP too, by
 *	__u64 group_faults[nr_nodes][2]
 * where the 2 are shared and private faults (task_faults_idx, NUMA_MEM).
 */
struct mllb_call {
	__u64 time; /* bpf_ktime_get_ns on entry */
	__u64 src_load; /* rq.cfs.avg.load_avg */
	__u64 dst_load;
	__s64 delta; /* src rq.clock_task - se.exec_start, ns */
	__s64 imbalance;
	__u64 task_load; /* se.avg.load_avg */
	__u64 task_util; /* se.avg.util_avg */
	__u64 task_total; /* total_numa_faults */
	__u64 group_total;
	__s64 lag_avg; /* vruntime_eligible: eligible if lag_avg >= lag_key * lag_weight */
	__s64 lag_key;
	__s64 lag_weight;
	__u8 comm[16];
	__u8 domain[8]; /* sd.name, cut off */
	__s32 tid;
	__s32 tgid;
	__s32 src_cpu;
	__s32 dst_cpu;
	__s32 preferred_node; /* -1 none */
	__u32 src_nr_running;
	__u32 src_nr_preferred;
	__u32 src_nr_numa;
	__u32 dst_nr_running;
	__u32 src_len; /* rq.cfs.h_nr_queued */
	__u32 dst_len;
	__u32 balance_failed;
	__u32 nice_tries; /* sd.cache_nice_tries */
	__u32 sd_flags;
	__u32 sd_level;
	__u32 sd_weight; /* sd.span_weight */
	__u32 imbalance_pct;
	__u32 flags; /* env.flags on entry */
	__u32 flags_out; /* on return */
	__u32 loop;
	__u32 loop_max;
	__u32 facts; /* CALL_* */
	__u32 hot; /* by how much nr_failed_migrations_hot rose */
	__u8 idle; /* 0 not, 1 idle, 2 newly: not the kernel's numbers */
	__u8 migration_type;
	__u8 policy;
	__s8 nice;
	__u8 src_busy; /* hardware threads of the core with tasks */
	__u8 dst_busy;
	__u8 pad[6];
};

/* Where a CPU keeps the call under way, and its counts. */
struct mllb_slot {
	__u64 calls; /* entries seen */
	__u64 records; /* in the ring */
	__u64 filtered; /* left out on purpose */
	__u64 drops; /* the ring was full */
	__u64 lost; /* entries whose return was not seen */
	__u64 orphans; /* returns whose entry was not: before the probes were complete */
	__u64 state; /* SLOT_* */
	__u64 task;
	__u64 env;
	__u64 hot; /* nr_failed_migrations_hot on entry */
	struct mllb_call call;
	__u64 faults[4 * CALL_MAX_NODES];
};

#define SLOT_IDLE 0
#define SLOT_RECORD 1
#define SLOT_FILTER 2

_Static_assert(sizeof(struct mllb_call) == 224, "mllb_call");
_Static_assert(sizeof(struct mllb_slot) == 80 + 224 + 32 * CALL_MAX_NODES, "mllb_slot");

#endif
