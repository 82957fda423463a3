// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"mllb/features"
)

// Row is one decision of a file and the run that it is from.
type Row struct {
	features.Record
	Run *Run
}

// column is one column of a file. Everything that handles columns (schema,
// rows both ways, limits, statistics, CSV) goes by the table of them.
type column struct {
	name  string
	since int // schema version that brought it; 0: the first

	// field returns a pointer into r. Its type is the column's: an integer, bool,
	// an enum, []uint64 (LIST by nid), [16]byte (text up to the first NUL) or
	// *string (a tag of the run).
	field func(r *Row) any

	encoding string               // "delta", or "" for a dictionary, which parquet gives up where it does not pay
	flag     features.DomainFlags // of a features.DomainFlags field, the bit that this column is
	low      int64                // limits of a signed integer; both 0: its type's
	high     int64
}

// The kernel's own limits, to refuse what no kernel can have recorded.
const (
	maxCPU  = 8191    // CONFIG_NR_CPUS of the largest configurations, less one
	maxNode = 1023    // CONFIG_NODES_SHIFT is 10 at most
	maxTID  = 4194304 // PID_MAX_LIMIT
)

// columns is ordered by since, so that the columns of an older schema are its first.
var columns = []column{
	{name: "run_id", field: func(r *Row) any { return &r.Run.ID }},
	{name: "load", field: func(r *Row) any { return &r.Run.Load }},
	{name: "tag", field: func(r *Row) any { return &r.Run.Tag }},
	{name: "time_ns", field: func(r *Row) any { return &r.Time }, encoding: "delta", high: math.MaxInt64},
	{name: "migrate", field: func(r *Row) any { return &r.Migrate }},
	{name: "condition", field: func(r *Row) any { return &r.Condition }},

	{name: "tid", field: func(r *Row) any { return &r.TID }, high: maxTID},
	{name: "tgid", field: func(r *Row) any { return &r.TGID }, high: maxTID},
	{name: "comm", field: func(r *Row) any { return &r.Comm }},
	{name: "nice", field: func(r *Row) any { return &r.Nice }, low: -20, high: 19},
	{name: "policy", field: func(r *Row) any { return &r.Policy }},
	{name: "fair", field: func(r *Row) any { return &r.Fair }},
	{name: "idle_policy", field: func(r *Row) any { return &r.IdlePolicy }},
	{name: "next_buddy", field: func(r *Row) any { return &r.NextBuddy }},
	{name: "cookie_mismatch", field: func(r *Row) any { return &r.CookieMismatch }},
	{name: "eligible", field: func(r *Row) any { return &r.Eligible }},
	{name: "migration_off", field: func(r *Row) any { return &r.MigrationDisabled }},
	{name: "delta_ns", field: func(r *Row) any { return &r.Delta }},
	{name: "migration_cost_ns", field: func(r *Row) any { return &r.MigrationCost }, low: -1, high: math.MaxInt64},
	{name: "task_load", field: func(r *Row) any { return &r.TaskLoad }},
	{name: "task_util", field: func(r *Row) any { return &r.TaskUtil }},

	{name: "src_cpu", field: func(r *Row) any { return &r.SrcCPU }, high: maxCPU},
	{name: "dst_cpu", field: func(r *Row) any { return &r.DstCPU }, high: maxCPU},
	{name: "src_node", field: func(r *Row) any { return &r.SrcNode }, low: -1, high: maxNode},
	{name: "dst_node", field: func(r *Row) any { return &r.DstNode }, low: -1, high: maxNode},
	{name: "same_core", field: func(r *Row) any { return &r.SameCore }},
	{name: "same_llc", field: func(r *Row) any { return &r.SameLLC }},
	{name: "idle", field: func(r *Row) any { return &r.Idle }},
	{name: "src_nr_running", field: func(r *Row) any { return &r.SrcNrRunning }},
	{name: "src_nr_preferred_running", field: func(r *Row) any { return &r.SrcNrPreferredRunning }},
	{name: "src_nr_numa_running", field: func(r *Row) any { return &r.SrcNrNUMA }},
	{name: "dst_nr_running", field: func(r *Row) any { return &r.DstNrRunning }},
	{name: "src_len", field: func(r *Row) any { return &r.SrcLen }},
	{name: "dst_len", field: func(r *Row) any { return &r.DstLen }},
	{name: "src_load", field: func(r *Row) any { return &r.SrcLoad }},
	{name: "dst_load", field: func(r *Row) any { return &r.DstLoad }},
	{name: "src_core_busy", field: func(r *Row) any { return &r.SrcCoreBusy }},
	{name: "dst_core_busy", field: func(r *Row) any { return &r.DstCoreBusy }},

	{name: "domain_name", field: func(r *Row) any { return &r.DomainName }},
	{name: "domain_level", field: func(r *Row) any { return &r.DomainLevel }},
	{name: "domain_flags", field: func(r *Row) any { return &r.DomainRaw }},
	{name: "domain_weight", field: func(r *Row) any { return &r.DomainWeight }},
	{name: "sd_share_cpucapacity", field: func(r *Row) any { return &r.Domain }, flag: features.ShareCPUCapacity},
	{name: "sd_share_llc", field: func(r *Row) any { return &r.Domain }, flag: features.ShareLLC},
	{name: "sd_numa", field: func(r *Row) any { return &r.Domain }, flag: features.SDNUMA},
	{name: "imbalance_pct", field: func(r *Row) any { return &r.ImbalancePct }},
	{name: "migration_type", field: func(r *Row) any { return &r.MigrationType }},
	{name: "imbalance", field: func(r *Row) any { return &r.Imbalance }},
	{name: "env_flags", field: func(r *Row) any { return &r.Flags }},
	{name: "loop", field: func(r *Row) any { return &r.Loop }},
	{name: "loop_max", field: func(r *Row) any { return &r.LoopMax }},
	{name: "nr_balance_failed", field: func(r *Row) any { return &r.NrBalanceFailed }},
	{name: "cache_nice_tries", field: func(r *Row) any { return &r.CacheNiceTries }},
	{name: "passed_hot", field: func(r *Row) any { return &r.NumPassedHot }},
	{name: "sched_task_hot", field: func(r *Row) any { return &r.SchedTaskHot }},

	{name: "numa_balancing", field: func(r *Row) any { return &r.NUMABalancing }},
	{name: "has_faults", field: func(r *Row) any { return &r.HasFaults }},
	{name: "has_group", field: func(r *Row) any { return &r.HasGroup }},
	{name: "preferred_node", field: func(r *Row) any { return &r.PreferredNode }, low: features.NoNode, high: maxNode},
	{name: "task_faults", field: func(r *Row) any { return &r.TaskFaults }},
	{name: "task_total_faults", field: func(r *Row) any { return &r.TaskTotalFaults }},
	{name: "group_faults", field: func(r *Row) any { return &r.GroupFaults }},
	{name: "group_total_faults", field: func(r *Row) any { return &r.GroupTotalFaults }},

	{name: "src_speed", since: 2, field: func(r *Row) any { return &r.SrcSpeed }},
	{name: "dst_speed", since: 2, field: func(r *Row) any { return &r.DstSpeed }},
	{name: "src_busy_siblings", since: 2, field: func(r *Row) any { return &r.SrcBusySiblings }},
	{name: "dst_busy_siblings", since: 2, field: func(r *Row) any { return &r.DstBusySiblings }},
}

// columnsOf returns the columns of a schema version.
func columnsOf(version int) []column {
	n := slices.IndexFunc(columns, func(c column) bool { return c.since > version })
	if n < 0 {
		return columns
	}
	return columns[:n]
}

// definedDomainFlags are those that have a column.
const definedDomainFlags = features.ShareCPUCapacity | features.ShareLLC | features.SDNUMA

// schema is the table as Parquet has it, in the table's order. A struct type
// made of it is the one way to tell parquet-go an order of columns.
var schema = parquet.NewSchema("decision", parquet.SchemaOf(reflect.New(structOf(columns)).Interface()))

func structOf(columns []column) reflect.Type {
	fields := make([]reflect.StructField, len(columns))
	for i := range columns {
		c := &columns[i]
		tag := c.name
		typ := c.storage()
		switch {
		case typ.Kind() == reflect.Slice:
			tag += ",list"
		case c.encoding != "":
			tag += "," + c.encoding
		case typ.Kind() != reflect.Bool:
			tag += ",dict"
		}
		fields[i] = reflect.StructField{
			Name: fmt.Sprintf("C%02d", i),
			Type: typ,
			Tag:  reflect.StructTag("parquet:" + strconv.Quote(tag)),
		}
	}
	return reflect.StructOf(fields)
}

// storage is the Go type that parquet-go stores as the column should be.
func (c *column) storage() reflect.Type {
	field := c.field(&Row{Run: &Run{}})
	switch field.(type) {
	case *string, *[16]byte, *features.IdleType, *features.Condition, *features.MigrationType:
		return reflect.TypeFor[string]()
	case *features.DomainFlags:
		return reflect.TypeFor[bool]()
	}
	return reflect.TypeOf(field).Elem()
}
