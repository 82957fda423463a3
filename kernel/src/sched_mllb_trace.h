/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM sched

#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE sched_mllb

#if !defined(_TRACE_SCHED_MLLB_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_SCHED_MLLB_H

#include <linux/sched.h>
#include <linux/tracepoint.h>

struct mllb_facts;

/*
 * One decision, with all that its logit can be computed again from. rule and net
 * are 1 to migrate, 0 to stay; net is -1 where the features were out of the
 * ranges of training, and then there is no logit. fixed tells the arithmetic,
 * model the checksum of the model.
 */
TRACE_EVENT(sched_mllb_decision,

	TP_PROTO(struct task_struct *p, int src_cpu, int dst_cpu,
		 const struct mllb_facts *f, int rule, int net, s32 logit,
		 bool fixed, u32 model),

	TP_ARGS(p, src_cpu, dst_cpu, f, rule, net, logit, fixed, model),

	TP_STRUCT__entry(
		__field(u64, src_load)
		__field(u64, dst_load)
		__field(s64, delta)
		__field(s64, migration_cost)
		__field(u64, src_faults)
		__field(u64, dst_faults)
		__field(u64, total_faults)
		__field(u32, src_nr_running)
		__field(u32, dst_nr_running)
		__field(u32, src_nr_preferred)
		__field(u32, src_len)
		__field(u32, dst_len)
		__field(u32, nr_balance_failed)
		__field(u32, cache_nice_tries)
		__field(s32, src_nid)
		__field(s32, dst_nid)
		__field(s32, preferred_nid)
		__field(s32, src_cpu)
		__field(s32, dst_cpu)
		__field(s32, pid)
		__field(s32, logit)
		__field(u32, model)
		__field(u8, idle)
		__field(u8, same_smt)
		__field(u8, has_faults)
		__field(u8, next_buddy)
		__field(s8, rule)
		__field(s8, net)
		__field(u8, fixed)
	),

	TP_fast_assign(
		__entry->src_load = f->src_load;
		__entry->dst_load = f->dst_load;
		__entry->delta = f->delta;
		__entry->migration_cost = f->migration_cost;
		__entry->src_faults = f->src_faults;
		__entry->dst_faults = f->dst_faults;
		__entry->total_faults = f->total_faults;
		__entry->src_nr_running = f->src_nr_running;
		__entry->dst_nr_running = f->dst_nr_running;
		__entry->src_nr_preferred = f->src_nr_preferred;
		__entry->src_len = f->src_len;
		__entry->dst_len = f->dst_len;
		__entry->nr_balance_failed = f->nr_balance_failed;
		__entry->cache_nice_tries = f->cache_nice_tries;
		__entry->src_nid = f->src_nid;
		__entry->dst_nid = f->dst_nid;
		__entry->preferred_nid = f->preferred_nid;
		__entry->src_cpu = src_cpu;
		__entry->dst_cpu = dst_cpu;
		__entry->pid = p->pid;
		__entry->logit = logit;
		__entry->model = model;
		__entry->idle = f->idle;
		__entry->same_smt = f->same_smt;
		__entry->has_faults = f->has_faults;
		__entry->next_buddy = f->next_buddy;
		__entry->rule = rule;
		__entry->net = net;
		__entry->fixed = fixed;
	),

	TP_printk("pid=%d src_cpu=%d dst_cpu=%d src_nid=%d dst_nid=%d preferred_nid=%d idle=%u same_smt=%u src_nr_running=%u src_nr_preferred=%u dst_nr_running=%u src_len=%u dst_len=%u src_load=%llu dst_load=%llu nr_balance_failed=%u cache_nice_tries=%u next_buddy=%u delta=%lld migration_cost=%lld has_faults=%u src_faults=%llu dst_faults=%llu total_faults=%llu rule=%d net=%d logit=%d fixed=%u model=%08x",
		  __entry->pid, __entry->src_cpu, __entry->dst_cpu,
		  __entry->src_nid, __entry->dst_nid, __entry->preferred_nid,
		  __entry->idle, __entry->same_smt,
		  __entry->src_nr_running, __entry->src_nr_preferred,
		  __entry->dst_nr_running, __entry->src_len, __entry->dst_len,
		  __entry->src_load, __entry->dst_load,
		  __entry->nr_balance_failed, __entry->cache_nice_tries,
		  __entry->next_buddy, __entry->delta, __entry->migration_cost,
		  __entry->has_faults, __entry->src_faults,
		  __entry->dst_faults, __entry->total_faults,
		  __entry->rule, __entry->net, __entry->logit,
		  __entry->fixed, __entry->model)
);

#endif /* _TRACE_SCHED_MLLB_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
