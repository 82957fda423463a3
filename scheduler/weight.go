// SPDX-License-Identifier: Apache-2.0

package scheduler

import "mllb/features"

// idleWeight is WEIGHT_IDLEPRIO (kernel/sched/sched.h, 6.12), and niceWeight
// the weight of nice 0, also given to a thread whose class has none: a
// realtime thread keeps its CPU at least as busy.
const (
	idleWeight = 3
	niceWeight = 1024
)

// prioToWeight is sched_prio_to_weight (kernel/sched/core.c, 6.12), from nice
// -20: each step is 10 % more or less of the CPU.
var prioToWeight = [40]int32{
	88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
	9548, 7620, 6100, 4904, 3906, 3121, 2501, 1991, 1586, 1277,
	1024, 820, 655, 526, 423, 335, 272, 215, 172, 137,
	110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
}

// fair reports whether a policy is of the kernel's fair class.
func fair(policy uint8) bool {
	return policy == features.SchedOther || policy == features.SchedBatch || policy == features.SchedIdle
}

// weight returns a thread's static load weight.
func weight(t *features.Thread) int32 {
	switch {
	case t.Policy == features.SchedIdle:
		return idleWeight
	case !fair(t.Policy) || t.Nice < -20 || t.Nice > 19:
		return niceWeight
	}
	return prioToWeight[t.Nice+20]
}
