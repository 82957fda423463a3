// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"time"

	"mllb/bench/measure"
	"mllb/internal/runreport"
)

// Record is one run: a line of runs.jsonl.
type Record struct {
	Slot
	Started time.Time `json:"started"`
	Failed  string    `json:"failed,omitempty"` // why the run does not count

	Disturbed []Slow `json:"disturbed,omitempty"` // CPUs that were slow: the run does not count either, unless it is kept
	Kept      bool   `json:"kept,omitempty"`      // though disturbed: its slot had been made too often

	Usage
	Score     *float64          `json:"score,omitempty"`  // the workload's own figure, where its wall time says nothing
	Sample    *measure.Sample   `json:"sample,omitempty"` // nil where nothing could be sampled
	Daemon    *runreport.Report `json:"daemon,omitempty"` // arms with mllbd
	Kernel    *KernelCounts     `json:"kernel,omitempty"` // arms in the kernel
	Companion *Companion        `json:"beside,omitempty"` // arms with a companion
	Steady    *Steadiness       `json:"steady,omitempty"` // nil unless it was asked for
}

// fills says that the slot needs no other run.
func (r *Record) fills() bool { return len(r.Disturbed) == 0 || r.Kept }

// Usage is what a command used, by wait4(2): itself and those of its descendants
// that were waited for.
type Usage struct {
	Wall   float64 `json:"wall_seconds"` // from fork to exit of the command alone, mllbd's start and end left out
	User   float64 `json:"user_seconds"`
	System float64 `json:"system_seconds"`
	MaxRSS int64   `json:"max_rss_bytes"` // of the largest process
	Status int     `json:"status"`        // as a shell has it: 128+N for signal N
	Orphan int     `json:"orphans"`       // descendants that outlived the command, and were killed
}

// KernelCounts is what the network in the kernel was asked during a run.
type KernelCounts struct {
	Both    [2][2]uint64 `json:"both"`    // decisions by the rule's answer and the network's; 1: migrate
	Alone   [2]uint64    `json:"alone"`   // by the network's; the rule was not asked
	Outside uint64       `json:"outside"` // left to the rule: outside the ranges of training
}

// asked is how many decisions the network made.
func (k *KernelCounts) asked() uint64 {
	return k.Both[0][0] + k.Both[0][1] + k.Both[1][0] + k.Both[1][1] + k.Alone[0] + k.Alone[1]
}

// Companion is the program that ran next to the workload.
type Companion struct {
	Seconds    float64 `json:"seconds"` // from its start to its end
	CPUSeconds float64 `json:"cpu_seconds"`
	Stayed     bool    `json:"stayed"`              // until the workload had ended
	SchedExt   string  `json:"sched_ext,omitempty"` // the sched_ext scheduler that was loaded meanwhile
}

// metric is one number of a run.
type metric struct {
	Name, Unit string
	Help       string
	of         func(r *Record) (float64, bool) // false: not measured
}

// metrics are compared with stock each for itself; less is better. The first is
// the one that counts.
var metrics = []metric{
	{"time", "s", "wall time of the command, or the workload's own figure where the wall time is fixed", judged},
	{"cpu", "s", "user and system time", func(r *Record) (float64, bool) { return r.User + r.System, true }},
	{"wait", "s", "time that its threads were runnable but not running", sampled(func(s *measure.Sample) (float64, bool) { return s.RunDelay.Seconds(), s.HasRunDelay })},
	{"imbalance", "tasks", "longest minus shortest queue, mean over samples", sampled(meanImbalance)},
	{"queue", "tasks", "tasks on a CPU's queue, mean over samples and CPUs", sampled(meanLength)},
	{"switches", "", "context switches", sampled(func(s *measure.Sample) (float64, bool) { return float64(s.Voluntary + s.Involuntary), true })},
	{"migrations", "", "moves of a thread to another CPU", sampled(migrations)},
	{"react-p50", "us", "from when a CPU is idle while a thread waits elsewhere to when it runs such a thread, median", sampled(reaction(0.5))},
	{"react-p99", "us", "the same, 99th percentile", sampled(reaction(0.99))},
	{"wasted", "ms", "time that CPUs were idle, but no more of them than its threads waited", sampled(wasted)},
	{"hint-faults", "", "NUMA hint faults of the whole machine", sampled(func(s *measure.Sample) (float64, bool) { return float64(s.HintFaults), s.HasNUMA })},
	{"numa-pages", "", "pages moved to another node, in the whole machine", sampled(func(s *measure.Sample) (float64, bool) { return float64(s.PagesMigrated), s.HasNUMA })},
}

// judged is what the run is judged by; less is better.
func judged(r *Record) (float64, bool) {
	if r.Score != nil {
		return *r.Score, true
	}
	return r.Wall, true
}

func sampled(of func(*measure.Sample) (float64, bool)) func(*Record) (float64, bool) {
	return func(r *Record) (float64, bool) {
		if r.Sample == nil {
			return 0, false
		}
		return of(r.Sample)
	}
}

func migrations(s *measure.Sample) (float64, bool) {
	n := uint64(0)
	for _, by := range s.Migrations {
		n += by
	}
	return float64(n), s.HasMigrations
}

func reaction(q float64) func(*measure.Sample) (float64, bool) {
	return func(s *measure.Sample) (float64, bool) {
		if s.Reactions == nil || s.Reactions.Pulled.Count == 0 {
			return 0, false
		}
		return float64(s.Reactions.Pulled.Quantile(q)) / 1e3, true
	}
}

func wasted(s *measure.Sample) (float64, bool) {
	if s.Reactions == nil {
		return 0, false
	}
	return s.Reactions.Wasted.Seconds() * 1e3, true
}

func meanImbalance(s *measure.Sample) (float64, bool) {
	sum := 0.0
	for _, n := range s.MaxImbalance {
		sum += float64(n)
	}
	return sum / float64(max(1, len(s.MaxImbalance))), s.HasQueues && len(s.MaxImbalance) > 0
}

func meanLength(s *measure.Sample) (float64, bool) {
	sum, n := 0.0, uint64(0)
	for length, times := range s.Lengths {
		sum += float64(length) * float64(times)
		n += times
	}
	return sum / float64(max(1, n)), s.HasQueues && n > 0
}
