// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"mllb/features/speed"
	"mllb/scheduler"
	"mllb/scx"
	"mllb/topology"
)

// counter is one row of the table of what mllbd counts of itself. /metrics, the
// live view, the log, the summary and --report all draw from it: what is new
// needs the line of stats.go that counts it and a row here.
type counter struct {
	key    string // its name everywhere but in /metrics; "": only there
	metric string // its name there, behind mllb_; "": not there
	kind   prometheus.ValueType
	unit   unit
	show   show
	labels []string // of a family: several values of one name
	help   string
	each   func(c *counters, emit emit) // every value, also those that are 0
}

// emit takes one value of a counter and its labels.
type emit func(v float64, labels ...string)

// unit is what a counter counts. The view and the summary show those of one
// unit beside each other.
type unit string

const (
	unitTicks      unit = "ticks"
	unitSeconds    unit = "seconds"
	unitThreads    unit = "threads"
	unitCandidates unit = "candidates"
	unitDecisions  unit = "decisions"
	unitHolds      unit = "holds"
	unitTasks      unit = "tasks"
	unitWrites     unit = "writes"
	unitLooks      unit = "looks"
	unitWakes      unit = "wakes"
	unitSpeed      unit = "speed"
)

// show says where a counter with a key is shown.
type show uint8

const (
	inView     show = 1 << iota
	inLog           // the line of each second
	inSummary       // and --report
	ifAny           // for people only where it is not 0
	everywhere = inView | inLog | inSummary
)

const (
	counted = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var (
	byLevel   = []string{"level"}
	byNode    = []string{"node"}
	byReason  = []string{"level", "reason"}
	byVerdict = []string{"level", "verdict"}
	byAnswers = []string{"kernel", "policy"}
	byRule    = []string{"rule", "policy"}
	byOutput  = []string{"output"}
	byCPU     = []string{"cpu"}
	byUse     = []string{"use"}
	byPlace   = []string{"on"}
	byKind    = []string{"kind"}
)

var counterTable = []counter{
	{"imbalance", "imbalance", gauge, unitTasks, inView | inLog, nil, "Longest minus shortest cfs queue, in tasks.", one(func(c *counters) uint32 { return c.Imbalance })},
	{"imbalance_mean", "", gauge, unitTasks, inView | inSummary, nil, "Mean of the imbalance over the ticks that knew it.", one((*counters).imbalanceMean)},
	{"imbalance_max", "imbalance_max", gauge, unitTasks, inView | inSummary, nil, "Largest imbalance of any tick, in tasks.", one(func(c *counters) uint32 { return c.ImbalanceMax })},
	{"", "imbalance_tasks_total", counted, unitTasks, 0, nil, "Sum of the imbalance; its rate over that of mllb_imbalance_ticks_total is the mean.", one(func(c *counters) uint64 { return c.ImbalanceSum })},
	{"", "imbalance_ticks_total", counted, unitTicks, 0, nil, "Ticks that were due and knew the imbalance.", one(func(c *counters) uint64 { return c.ImbalanceN })},
	{"", "node_queued_tasks", gauge, unitTasks, 0, byNode, "Tasks in the cfs queues of a node's CPUs.", nodes(func(n *nodeStat) uint32 { return n.Total })},
	{"", "node_imbalance", gauge, unitTasks, 0, byNode, "Longest minus shortest cfs queue of a node, in tasks.", nodes(func(n *nodeStat) uint32 { return n.Max - n.Min })},

	{"", "cpu_queued_tasks", gauge, unitTasks, 0, byCPU, "Tasks that run or wait on a CPU that is balanced, of cfs and, by eBPF, of sched_ext.", eachCPU(func(c *cpuStat) uint32 { return c.Queued })},
	{"", "cpu_held_threads", gauge, unitThreads, 0, byCPU, "Threads held on a CPU that is balanced.", eachCPU(func(c *cpuStat) uint32 { return c.Held })},

	{"threads", "threads", gauge, unitThreads, inView, nil, "Threads in the last snapshot; by eBPF mostly those that run, wait or are held.", one(func(c *counters) int { return c.Threads })},
	{"unread", "threads_unread_total", counted, unitThreads, everywhere | ifAny, nil, "Threads left out of snapshots because their files could not be read or make no sense, at each snapshot.", one(func(c *counters) uint64 { return c.Unread })},
	{"managed", "threads_managed", gauge, unitThreads, inView | inLog, nil, "Threads in scope, of those in the last snapshot.", one(func(c *counters) int { return c.Managed })},
	{"", "cpus_left_out", gauge, unitTasks, 0, nil, "CPUs that nobody balances: isolated, nohz_full or without a sched domain.", one(func(c *counters) int { return topology.AllLeftOut(c.LeftOut).Count() })},
	{"cgroups_gone", "cgroups_gone", gauge, unitThreads, inView | inSummary | ifAny, nil, "Cgroups of --cgroup and --exclude that are not there now.", one(func(c *counters) int { return c.CgroupsGone })},
	{"held", "threads_held", gauge, unitThreads, inView | inLog, nil, "Threads held on one CPU.", one(func(c *counters) int { return c.Held })},

	{"", "candidates_total", counted, unitCandidates, 0, byReason, "Threads that a balance pass looked at, and what became of them.", eachReason},
	{"", "decisions_total", counted, unitDecisions, 0, byVerdict, "Decisions put to the policy.", eachVerdict},
	{"asked", "", counted, unitDecisions, everywhere, byLevel, "Decisions put to the policy.", levels(func(c *counters) *perLevel { return &c.Asked })},
	{"approved", "", counted, unitDecisions, everywhere, byLevel, "Decisions to migrate.", levels(func(c *counters) *perLevel { return &c.Approved })},
	{"moved", "moves_total", counted, unitDecisions, everywhere, byLevel, "Moves that took effect.", levels(func(c *counters) *perLevel { return &c.Moves })},
	{"undone", "moves_undone_total", counted, unitDecisions, everywhere | ifAny, nil, "Moves that the kernel undid within a second after the thread was let go.", one(func(c *counters) uint64 { return c.Undone })},
	{"out_of_distribution", "decisions_out_of_distribution_total", counted, unitDecisions, everywhere | ifAny, nil, "Decisions unlike any in the model's training data, which policy cfs answered.", one(func(c *counters) uint64 { return c.OutOfDistribution })},
	{"overridden", "decisions_overridden_total", counted, unitDecisions, everywhere | ifAny, nil, "Threads that an idle CPU pulled against the policy, since they had waited for too long.", inKernel(func(c *scx.Counters) uint64 { return c.Overridden })},
	{"pulls_lost", "pulls_lost_total", counted, unitDecisions, everywhere | ifAny, nil, "Threads that were to be pulled, but another CPU was faster.", inKernel(func(c *scx.Counters) uint64 { return c.Lost })},
	{"", "pulls_exhausted_total", counted, unitDecisions, 0, nil, "Looks at a queue that ended at the bound on candidates.", inKernel(func(c *scx.Counters) uint64 { return c.Exhausted })},
	{"", "kernel_decisions_total", counted, unitDecisions, 0, byAnswers, "Decisions of the kernel that were put to the policy too.", eachAnswer},
	{"", "rule_decisions_total", counted, unitDecisions, 0, byRule, "Sampled decisions under sched_ext that were put to policy cfs too.", eachRule},
	{"", "kernel_decisions_lost_total", counted, unitDecisions, 0, nil, "Decisions of the kernel that were not seen.", eachLost},

	{"wakes", "wakes_total", counted, unitWakes, inView | inSummary | ifAny, byPlace, "Threads that woke under sched_ext, by where: on an idle CPU, or where none was idle.", eachWake},
	{"enqueued", "enqueues_total", counted, unitWakes, inView | inSummary | ifAny, nil, "Threads that were queued under sched_ext.", inKernel(func(c *scx.Counters) uint64 { return c.Enqueued })},
	{"kicked", "kicks_total", counted, unitWakes, inSummary | ifAny, nil, "Idle CPUs told under sched_ext that threads wait elsewhere.", inKernel(func(c *scx.Counters) uint64 { return c.Kicked })},
	{"", "samples_dropped_total", counted, unitDecisions, 0, nil, "Decisions under sched_ext that were to be events, but for which there was no room.", inKernel(func(c *scx.Counters) uint64 { return c.Dropped })},
	{"sched_ext_ended", "sched_ext_exits_total", counted, unitWakes, everywhere | ifAny, nil, "How often the kernel ended the sched_ext scheduler.", one(func(c *counters) uint64 { return c.SchedExtExits })},

	{"held_in_place", "holds_in_place_total", counted, unitHolds, inSummary, nil, "Threads held on the CPU where they were.", one(func(c *counters) uint64 { return c.InPlace })},
	{"holds_failed", "holds_failed_total", counted, unitHolds, inLog | inSummary, nil, "Holds that failed.", one(func(c *counters) uint64 { return c.HoldFailed })},
	{"released", "releases_total", counted, unitHolds, inSummary, nil, "Threads that the scheduler gave their mask back.", one(func(c *counters) uint64 { return c.Released })},
	{"releases_failed", "releases_failed_total", counted, unitHolds, inLog | inSummary | ifAny, nil, "Threads whose mask could not be given back when they were to be let go; it is tried again.", one(func(c *counters) uint64 { return c.ReleaseFailed })},
	{"", "journal_left", gauge, unitHolds, 0, nil, "1 if a killed mllbd left masks narrowed and nobody undid that yet (mllbd restore). Only in observe: the other modes undo it when they start.", one(func(c *counters) int { return journalLeft(c.stateDir) })},

	{"ticks", "ticks_total", counted, unitTicks, inView | inSummary, nil, "Ticks of the balance loop.", one(func(c *counters) uint64 { return c.Ticks })},
	{"", "ticks_by_kind_total", counted, unitTicks, 0, byKind, "Ticks, each by the first of these that it was: failed, throttled, skipped, standby, early, full.", eachKind},
	{"", "snapshot_age_seconds", gauge, unitSeconds, 0, nil, "Time since the last snapshot, or since the start before the first one.", eachAge},
	{"", "ticks_whole_total", counted, unitTicks, 0, nil, "Ticks for which all threads of the host were read.", one(func(c *counters) uint64 { return c.Whole })},
	{"early", "ticks_early_total", counted, unitTicks, inView | inSummary, nil, "Ticks that were not due, but a CPU was idle while threads waited for another.", one(func(c *counters) uint64 { return c.Early })},
	{"failed", "ticks_failed_total", counted, unitTicks, inView | inSummary, nil, "Ticks that failed and changed nothing.", one(func(c *counters) uint64 { return c.Failed })},
	{"dropped", "ticks_dropped_total", counted, unitTicks, inView | inSummary, nil, "Ticks dropped because the one before took too long.", one(func(c *counters) uint64 { return c.Dropped })},
	{"skipped", "ticks_skipped_total", counted, unitTicks, inView | inSummary, nil, "Ticks skipped because the host was at rest.", one(func(c *counters) uint64 { return c.Skipped })},
	{"standby", "ticks_standby_total", counted, unitTicks, everywhere | ifAny, nil, "Ticks that changed nothing because another scheduler was loaded.", one(func(c *counters) uint64 { return c.Standby })},
	{"throttled", "ticks_throttled_total", counted, unitTicks, everywhere, nil, "Ticks left out to stay below --max-cpu.", one(func(c *counters) uint64 { return c.Throttled })},
	{"", "tick_seconds_total", counted, unitSeconds, 0, nil, "Wall time spent in ticks.", one(func(c *counters) float64 { return c.Took.Seconds() })},
	{"", "cpu_seconds_total", counted, unitSeconds, 0, nil, "CPU time of mllbd itself.", one(func(*counters) float64 { return cpuTime().Seconds() })},

	{"", "cpu_speed", gauge, unitSpeed, 0, byCPU, "What a CPU is worth now, of 1024 for the fastest.", eachSpeed(func(c *speed.CPU) float64 { return float64(c.Speed) })},
	{"", "cpu_speed_alarms_total", counted, unitSpeed, 0, byCPU, "How often a CPU was found to be about half or twice as fast as before.", eachSpeed(func(c *speed.CPU) float64 { return float64(c.Alarms) })},
	{"looks", "cpu_speed_looks_total", counted, unitLooks, inSummary | ifAny, byUse, "Looks at CPUs, to see what they are worth: used, uncertain (it is not known what ran there or on siblings), lost (no turn in time).", eachLook},

	{"outputs_dropped", "outputs_dropped_total", counted, unitWrites, inView | inSummary | ifAny, byOutput, "Events, log lines and views dropped because nobody read those before.", eachOutput},
	{"", "events_write_errors_total", counted, unitWrites, 0, nil, "Writes to the --events file that failed; each loses lines.", eachWriteError},
}

// one is the value of a counter that is no family.
func one[T int | uint32 | uint64 | float64](value func(c *counters) T) func(*counters, emit) {
	return func(c *counters, emit emit) { emit(float64(value(c))) }
}

// inKernel is a value that the sched_ext scheduler counts.
func inKernel(value func(c *scx.Counters) uint64) func(*counters, emit) {
	return func(c *counters, emit emit) {
		if c.Kernel != nil {
			emit(float64(value(c.Kernel)))
		}
	}
}

func eachWake(c *counters, emit emit) {
	if c.Kernel != nil {
		emit(float64(c.Kernel.WakesIdle), "idle")
		emit(float64(c.Kernel.WakesBusy), "busy")
	}
}

func levels(of func(c *counters) *perLevel) func(*counters, emit) {
	return func(c *counters, emit emit) {
		for l, n := range of(c) {
			emit(float64(n), topology.Level(l).String())
		}
	}
}

func nodes(value func(n *nodeStat) uint32) func(*counters, emit) {
	return func(c *counters, emit emit) {
		for i := range c.Nodes {
			emit(float64(value(&c.Nodes[i])), strconv.Itoa(c.Nodes[i].ID))
		}
	}
}

func eachKind(c *counters, emit emit) {
	for kind, n := range c.Kinds {
		emit(float64(n), kinds[kind])
	}
}

func eachAge(c *counters, emit emit) {
	if !c.Read.IsZero() {
		emit(time.Since(c.Read).Seconds())
	}
}

func eachReason(c *counters, emit emit) {
	for l := range topology.NumLevels {
		for r := range scheduler.NumReasons {
			emit(float64(c.Candidates[l][r]), l.String(), r.String())
		}
	}
}

// answers name the two labels of a decision.
var answers = [2]string{"stay", "migrate"}

func eachVerdict(c *counters, emit emit) {
	for l := range topology.NumLevels {
		emit(float64(c.Approved[l]), l.String(), answers[1])
		emit(float64(c.Asked[l]-c.Approved[l]), l.String(), answers[0])
	}
}

func eachAnswer(c *counters, emit emit) { c.Compared.each(emit) }
func eachRule(c *counters, emit emit)   { c.Rule.each(emit) }

func (c *compared) each(emit emit) {
	if c == nil {
		return
	}
	for theirs := range c.By {
		for policy, n := range c.By[theirs] {
			emit(float64(n), answers[theirs], answers[policy])
		}
	}
}

func eachLost(c *counters, emit emit) {
	if c.Compared != nil {
		emit(float64(c.Compared.Drops))
	}
}

func eachOutput(c *counters, emit emit) {
	for i, n := range c.Lost {
		emit(float64(n), outputNames[i])
	}
}

func eachWriteError(c *counters, emit emit) {
	if c.WriteErrors != nil {
		emit(float64(*c.WriteErrors))
	}
}
