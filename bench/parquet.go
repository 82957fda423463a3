// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/parquet-go/parquet-go"

	"mllb/bench/measure"
	"mllb/internal/namedfile"
	"mllb/internal/runreport"
	"mllb/topology"
)

// rawRow is a run as a row of runs.parquet. What was not measured is null.
type rawRow struct {
	Round          int32    `parquet:"round"`
	Warmup         bool     `parquet:"warmup"`
	Workload       string   `parquet:"workload,dict"`
	Arm            string   `parquet:"arm,dict"`
	Started        int64    `parquet:"started,timestamp(millisecond)"`
	Failed         string   `parquet:"failed"`
	Disturbed      bool     `parquet:"disturbed"`           // a CPU was slow before or after it
	Kept           bool     `parquet:"kept"`                // though disturbed
	Steadiness     *float64 `parquet:"steadiness,optional"` // least share of its work that a CPU did
	Wall           float64  `parquet:"wall_seconds"`
	User           float64  `parquet:"user_seconds"`
	System         float64  `parquet:"system_seconds"`
	MaxRSS         int64    `parquet:"max_rss_bytes"`
	Score          *float64 `parquet:"score,optional"`
	By             string   `parquet:"sampled_by,dict"`
	Tasks          *int64   `parquet:"tasks,optional"`
	Wait           *float64 `parquet:"run_delay_seconds,optional"`
	Voluntary      *int64   `parquet:"voluntary_switches,optional"`
	Involuntary    *int64   `parquet:"involuntary_switches,optional"`
	SMT            *int64   `parquet:"migrations_smt,optional"`
	LLC            *int64   `parquet:"migrations_llc,optional"`
	Node           *int64   `parquet:"migrations_node,optional"`
	Machine        *int64   `parquet:"migrations_machine,optional"`
	Pulled         *int64   `parquet:"reactions_pulled,optional"`
	PulledNewidle  *int64   `parquet:"reactions_newidle,optional"`
	Otherwise      *int64   `parquet:"reactions_otherwise,optional"`
	ReactionP50    *float64 `parquet:"reaction_p50_seconds,optional"`
	ReactionP90    *float64 `parquet:"reaction_p90_seconds,optional"`
	ReactionP99    *float64 `parquet:"reaction_p99_seconds,optional"`
	ReactionMax    *float64 `parquet:"reaction_max_seconds,optional"`
	Wasted         *float64 `parquet:"wasted_seconds,optional"`
	HintFaults     *int64   `parquet:"hint_faults,optional"`
	PagesMigrated  *int64   `parquet:"numa_pages_migrated,optional"`
	Load1          *float64 `parquet:"load_1,optional"`
	Load5          *float64 `parquet:"load_5,optional"`
	Load15         *float64 `parquet:"load_15,optional"`
	Steal          *float64 `parquet:"steal_seconds,optional"`
	MaxImbalance   []int32  `parquet:"max_imbalance"` // one a sample, in order
	Lengths        []int64  `parquet:"queue_lengths"` // how often a queue had i tasks
	Asked          *int64   `parquet:"asked,optional"`
	Approved       *int64   `parquet:"approved,optional"`
	Moved          *int64   `parquet:"moved,optional"`
	Held           *int64   `parquet:"held_in_place,optional"`
	DaemonCPU      *float64 `parquet:"daemon_cpu_seconds,optional"`
	CompanionCPU   *float64 `parquet:"beside_cpu_seconds,optional"`
	KernelAsked    *int64   `parquet:"kernel_asked,optional"`
	KernelDiffered *int64   `parquet:"kernel_differed,optional"` // from the rule, where both were asked
}

func newRawRow(r *Record) rawRow {
	row := rawRow{Round: int32(r.Round), Warmup: r.Warmup(), Workload: r.Workload, Arm: r.Arm, Started: r.Started.UnixMilli(),
		Failed: r.Failed, Score: r.Score, Wall: r.Wall, User: r.User, System: r.System, MaxRSS: r.MaxRSS}
	row.Disturbed, row.Kept = len(r.Disturbed) > 0, r.Kept
	if s := r.Steady; s != nil {
		row.Steadiness = &s.Least
	}
	if s := r.Sample; s != nil {
		row.sample(s)
	}
	if d := r.Daemon; d != nil {
		row.Asked, row.Approved, row.Moved = whole(runreport.Total(d.Asked)), whole(runreport.Total(d.Approved)), whole(runreport.Total(d.Moved))
		row.Held, row.DaemonCPU = whole(d.HeldInPlace), &d.CPUSeconds
	}
	if b := r.Companion; b != nil {
		row.CompanionCPU = &b.CPUSeconds
	}
	if k := r.Kernel; k != nil {
		row.KernelAsked, row.KernelDiffered = whole(k.asked()), whole(k.Both[0][1]+k.Both[1][0])
	}
	return row
}

func (row *rawRow) sample(s *measure.Sample) {
	row.By, row.Tasks = s.By, whole(s.Tasks)
	row.Voluntary, row.Involuntary = whole(s.Voluntary), whole(s.Involuntary)
	row.Load1, row.Load5, row.Load15 = &s.Load[0], &s.Load[1], &s.Load[2]
	steal := s.Steal.Seconds()
	row.Steal = &steal
	if s.HasRunDelay {
		wait := s.RunDelay.Seconds()
		row.Wait = &wait
	}
	if s.HasMigrations {
		for l, into := range map[topology.Level]**int64{topology.SMT: &row.SMT, topology.LLC: &row.LLC, topology.Node: &row.Node, topology.Machine: &row.Machine} {
			*into = whole(s.Migrations[l])
		}
	}
	if r := s.Reactions; r != nil {
		row.reactions(r)
	}
	if s.HasNUMA {
		row.HintFaults, row.PagesMigrated = whole(s.HintFaults), whole(s.PagesMigrated)
	}
	if s.HasQueues {
		for _, n := range s.MaxImbalance {
			row.MaxImbalance = append(row.MaxImbalance, int32(n))
		}
		for _, n := range s.Lengths {
			row.Lengths = append(row.Lengths, int64(n))
		}
	}
}

func (row *rawRow) reactions(r *measure.Reactions) {
	h := &r.Pulled
	row.Pulled, row.PulledNewidle, row.Otherwise = whole(h.Count), whole(r.Newidle), whole(r.Otherwise)
	row.Wasted = seconds64(r.Wasted)
	if h.Count > 0 {
		row.ReactionP50, row.ReactionP90, row.ReactionP99 = seconds64(h.Quantile(0.5)), seconds64(h.Quantile(0.9)), seconds64(h.Quantile(0.99))
		row.ReactionMax = seconds64(h.Max)
	}
}

func seconds64(d time.Duration) *float64 {
	v := d.Seconds()
	return &v
}

func whole[T int | uint64](n T) *int64 {
	v := int64(n)
	return &v
}

// writeParquet writes every run, warm-up and failures too, with the head of the
// benchmark as JSON under mllb.bench.
func writeParquet(path string, h *Head, records []Record) (err error) {
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	rows := make([]rawRow, len(records))
	for i := range records {
		rows[i] = newRawRow(&records[i])
	}
	return namedfile.WriteWith(context.Background(), path, func(to io.Writer) error {
		w := parquet.NewGenericWriter[rawRow](to, parquet.Compression(&parquet.Zstd), parquet.KeyValueMetadata("mllb.bench", string(head)))
		_, err := w.Write(rows)
		return errors.Join(err, w.Close())
	})
}
