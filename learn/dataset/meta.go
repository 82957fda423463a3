// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mllb/features"
	"mllb/topology"
)

// SchemaVersion is the version of the columns and of the metadata. It rises
// when one changes its meaning, comes or goes. Files of all versions are read:
// what a column that they lack would say is 0, which stands for not known.
//
//	1
//	2  src_speed, dst_speed, src_busy_siblings, dst_busy_siblings
const SchemaVersion = 2

// Meta is what a file says of itself.
type Meta struct {
	CreatedBy   string   // program and version that wrote the file
	FeatureSets []string // sets that can be derived from it; Create fills it if nil
	Runs        []Run    // the collections that its rows are from
}

// Run is one collection: one kernel, one host, one workload. Its ID stands in
// each of its rows, as do Load and Tag, so that merged files keep them.
type Run struct {
	ID   string `json:"id"`   // unique among all files that may ever be merged; Create makes one up if empty
	Load string `json:"load"` // how busy the host was meant to be: "50", "100", "200"; "" if not known
	Tag  string `json:"tag"`  // free: the workload's profile, say

	Host                string         `json:"host"`
	Kernel              string         `json:"kernel"`   // uname -r, and what else names the exact kernel
	Topology            string         `json:"topology"` // one line: a description such as 2x14x2, or what topology.String says
	NUMA                *topology.NUMA `json:"-"`        // what the rule needs of the nodes; nil: all equally far apart
	Command             []string       `json:"command"`  // the command line that made it
	Seed                uint64         `json:"seed"`
	Started             time.Time      `json:"started"`               // wall clock
	MigrationCostSource string         `json:"migration_cost_source"` // where Decision.MigrationCost was read
	Counters            Counters       `json:"counters"`              // set by Writer.SetCounters while it grows
	CutShort            bool           `json:"cut_short,omitempty"`   // it was killed, and Repair kept what there was
}

// Counters account for every call of can_migrate_task() of a run: Calls is the
// sum of the other three.
type Counters struct {
	Calls    uint64 `json:"calls"`
	Records  uint64 `json:"records"`  // written
	Filtered uint64 `json:"filtered"` // left out on purpose
	Drops    uint64 `json:"drops"`    // lost
}

// Keys of the file's metadata. What a run says of itself is JSON, for it is
// nested; the rest is text.
const (
	keySchema      = "mllb.schema"
	keyCreatedBy   = "mllb.created_by"
	keyFeatureSets = "mllb.feature_sets" // separated by commas
	keyRuns        = "mllb.runs"         // array of Run, with "numa"
)

// runDocument is a Run in JSON.
type runDocument struct {
	Run
	NUMA *numaDocument `json:"numa,omitempty"`
}

type numaDocument struct {
	Type        string  `json:"type"` // direct, glueless_mesh or backplane
	MaxDistance int     `json:"max_distance"`
	Distance    [][]int `json:"distance"` // by nid
}

// pairs returns the metadata as keys and values.
func (m *Meta) pairs() (map[string]string, error) {
	docs := make([]runDocument, len(m.Runs))
	for i, r := range m.Runs {
		docs[i].Run = r
		if n := r.NUMA; n != nil {
			docs[i].NUMA = &numaDocument{Type: n.Type.String(), MaxDistance: n.MaxDistance, Distance: n.Distance}
		}
		if err := docs[i].check(); err != nil {
			return nil, fmt.Errorf("run %q: %w", r.ID, err)
		}
	}
	runs, err := json.Marshal(docs)
	if err != nil {
		return nil, fmt.Errorf("runs: %w", err)
	}
	return map[string]string{
		keySchema:      strconv.Itoa(SchemaVersion),
		keyCreatedBy:   m.CreatedBy,
		keyFeatureSets: strings.Join(m.FeatureSets, ","),
		keyRuns:        string(runs),
	}, nil
}

// parseVersion returns the schema version of a file.
func parseVersion(lookup func(key string) (string, bool)) (int, error) {
	text, ok := lookup(keySchema)
	if !ok {
		return 0, ErrNotDataset
	}
	for v := 1; v <= SchemaVersion; v++ {
		if text == strconv.Itoa(v) {
			return v, nil
		}
	}
	return 0, fmt.Errorf("schema version %q, this program reads 1 to %d", clip([]byte(text)), SchemaVersion)
}

// parseMeta is the inverse of pairs. Errors name the key.
func parseMeta(lookup func(key string) (string, bool)) (Meta, error) {
	var m Meta
	m.CreatedBy, _ = lookup(keyCreatedBy)
	if sets, _ := lookup(keyFeatureSets); sets != "" {
		m.FeatureSets = strings.Split(sets, ",")
	}
	text, _ := lookup(keyRuns)
	var docs []runDocument
	if err := json.Unmarshal([]byte(text), &docs); err != nil {
		return m, fmt.Errorf("metadata %s: %w", keyRuns, err)
	}
	seen := make(map[string]bool)
	for _, d := range docs {
		if err := d.check(); err != nil {
			return m, fmt.Errorf("metadata %s: run %q: %w", keyRuns, clip([]byte(d.ID)), err)
		}
		if seen[d.ID] {
			return m, fmt.Errorf("metadata %s: run %q occurs twice", keyRuns, clip([]byte(d.ID)))
		}
		seen[d.ID] = true
		m.Runs = append(m.Runs, d.run())
	}
	return m, nil
}

func (d *runDocument) run() Run {
	r := d.Run
	if n := d.NUMA; n != nil {
		r.NUMA = &topology.NUMA{Type: numaTypes[n.Type], MaxDistance: n.MaxDistance, Distance: n.Distance}
	}
	return r
}

var numaTypes = map[string]topology.NUMAType{
	topology.NUMADirect.String():       topology.NUMADirect,
	topology.NUMAGluelessMesh.String(): topology.NUMAGluelessMesh,
	topology.NUMABackplane.String():    topology.NUMABackplane,
}

// maxTagLen bounds what stands in every row.
const maxTagLen = 256

// check refuses a run whose rows could not be judged: above all distances that
// no kernel has (kernel/sched/topology.c, 6.12: DISTANCE_BITS is 8).
func (d *runDocument) check() error {
	switch {
	case d.ID == "":
		return errors.New("no id")
	case len(d.ID) > maxTagLen || len(d.Load) > maxTagLen || len(d.Tag) > maxTagLen:
		return fmt.Errorf("an id, load or tag of more than %d bytes", maxTagLen)
	case d.NUMA == nil:
		return nil
	}
	n := d.NUMA
	if _, ok := numaTypes[n.Type]; !ok {
		return fmt.Errorf("numa type %q is not known", clip([]byte(n.Type)))
	}
	if len(n.Distance) > maxNode+1 {
		return fmt.Errorf("%d nodes, more than %d", len(n.Distance), maxNode+1)
	}
	if n.MaxDistance != 0 && (n.MaxDistance < 10 || n.MaxDistance > 255) {
		return fmt.Errorf("max_distance %d is not in 10..255", n.MaxDistance)
	}
	for i, row := range n.Distance {
		if len(row) != len(n.Distance) {
			return fmt.Errorf("distances of node %d: %d, not %d", i, len(row), len(n.Distance))
		}
		for j, x := range row {
			if x < 0 || x > 255 {
				return fmt.Errorf("distance %d from node %d to %d is not in 0..255", x, i, j)
			}
		}
	}
	return nil
}

// setNames are the feature sets that this program can derive.
func setNames() []string {
	var names []string
	for _, s := range features.Sets() {
		names = append(names, s.Name)
	}
	return names
}
