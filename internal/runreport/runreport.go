// SPDX-License-Identifier: Apache-2.0

// Package runreport is what mllbd says of itself when it ends: the file that
// `mllbd run --report FILE` writes and `mllb bench` reads.
package runreport

import (
	"context"
	"encoding/json"
	"fmt"

	"mllb/internal/namedfile"
	"mllb/topology"
)

// Schema is the version of Report. It rises when a field changes its meaning
// or goes; new fields do not raise it. In version 1 the counters were fields of
// their own, some under other names; what mllb bench reads is the same in both.
const Schema = 2

// Report is one `mllbd run`, from the counters that its summary is of.
type Report struct {
	Schema    int    `json:"schema"`
	Version   string `json:"version,omitempty"` // of mllbd
	Mode      string `json:"mode"`
	Policy    string `json:"policy"`
	Model     string `json:"model,omitempty"` // what policy mlp asked
	Snapshots string `json:"snapshots"`       // bpf or proc
	Enforcer  string `json:"enforcer"`

	Seconds    float64 `json:"seconds"`     // from the first tick to the end
	CPUSeconds float64 `json:"cpu_seconds"` // of mllbd's own in that time, CMD's left out
	// Of getting ready, before CMD was balanced: programs loaded, files read.
	StartCPUSeconds float64 `json:"start_cpu_seconds"`

	// Counters are those of the summary, by name: ticks, skipped, throttled, asked, ...
	Counters map[string]float64 `json:"counters"`

	// What mllb bench reads. Decisions are by the level of the domain: smt, llc, node, machine.
	Asked       map[string]uint64 `json:"asked"`
	Approved    map[string]uint64 `json:"approved"`
	Moved       map[string]uint64 `json:"moved"`   // took effect; active balance too, which no policy is asked about
	Refused     map[string]uint64 `json:"refused"` // candidates by the reason that kept them
	HeldInPlace uint64            `json:"held_in_place"`

	LeftOut []topology.LeftOut `json:"left_out,omitempty"` // CPUs that nobody balances, when it ended

	Speeds []Speed `json:"speeds,omitempty"` // of the CPUs that were measured

	Restored int `json:"restored"` // masks given back at the end
	Left     int `json:"left"`     // that could not be

	Warnings []string `json:"warnings,omitempty"` // why little or nothing happened

	Error string `json:"error,omitempty"` // why mllbd gave up before it was asked to end
}

// Speed is what a CPU was worth, of 1024 for the fastest.
type Speed struct {
	CPU    int    `json:"cpu"`
	Min    uint32 `json:"min"`
	Median uint32 `json:"median"`
	Last   uint32 `json:"last"`
	Alarms uint64 `json:"alarms"` // how often it was found to be about half or twice as fast as before
}

// Total sums a count over the levels.
func Total(by map[string]uint64) (n uint64) {
	for _, v := range by {
		n += v
	}
	return n
}

// Changed says whether any thread was moved or held.
func (r *Report) Changed() bool { return Total(r.Moved) > 0 || r.HeldInPlace > 0 }

// Create opens the file of a report that is to come, and removes an old one, so that
// it is not taken for the one of a run that was killed.
func Create(ctx context.Context, path string) (*namedfile.Output, error) {
	o, err := namedfile.Create(ctx, path)
	if err != nil {
		return nil, err
	}
	if err := o.RemoveOld(); err != nil {
		o.Abort()
		return nil, err
	}
	return o, nil
}

// Write ends the file, which then is whole or not there.
func (r *Report) Write(o *namedfile.Output) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		_, err = o.Write(append(b, '\n'))
	}
	if err == nil {
		err = o.Sync()
	}
	if err == nil {
		err = o.Commit()
	}
	if err != nil {
		o.Abort()
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// Parse reads one.
func Parse(b []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("mllbd's report: %w", err)
	}
	if r.Schema < 1 || r.Schema > Schema {
		return nil, fmt.Errorf("mllbd's report is of schema %d, not 1 to %d: mllb and mllbd are of different versions", r.Schema, Schema)
	}
	return &r, nil
}
