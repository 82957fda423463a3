// SPDX-License-Identifier: Apache-2.0

// Package daemon is what mllbd says of itself when it ends: the file that
// `mllbd run --report FILE` writes and `mllb bench` reads.
package daemon

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Schema is the version of Report. It rises when a field changes its meaning
// or goes; new fields do not raise it.
const Schema = 1

// Report is one `mllbd run`, from the counters that its summary is of.
type Report struct {
	Schema    int    `json:"schema"`
	Mode      string `json:"mode"`
	Policy    string `json:"policy"`
	Model     string `json:"model,omitempty"` // what policy mlp asked
	Snapshots string `json:"snapshots"`       // bpf or proc
	Enforcer  string `json:"enforcer"`

	Seconds    float64 `json:"seconds"`     // from the first tick to the end
	CPUSeconds float64 `json:"cpu_seconds"` // of mllbd's own in that time, CMD's left out
	// Of getting ready, before CMD was balanced: programs loaded, files read.
	StartCPUSeconds float64 `json:"start_cpu_seconds"`

	Ticks  uint64 `json:"ticks"`
	Quiet  uint64 `json:"quiet"`  // of them skipped: the host was as the last one left it
	Spared uint64 `json:"spared"` // of them left out to stay below --max-cpu
	Early  uint64 `json:"early"`  // of them not due: a CPU was idle while threads waited for another
	Failed uint64 `json:"failed"`
	Missed uint64 `json:"missed"`

	// Decisions by the level of the domain: smt, llc, node, machine.
	Asked    map[string]uint64 `json:"asked"`
	Approved map[string]uint64 `json:"approved"`
	Moved    map[string]uint64 `json:"moved"` // took effect; active balance too, which no policy is asked about
	Outside  uint64            `json:"outside"`
	Refused  map[string]uint64 `json:"refused"` // candidates by the reason that kept them

	HeldInPlace uint64 `json:"held_in_place"`
	HoldFailed  uint64 `json:"hold_failed"`
	Released    uint64 `json:"released"`

	ImbalanceMean float64 `json:"imbalance_mean"` // longest less shortest queue, over ticks
	ImbalanceMax  uint32  `json:"imbalance_max"`

	Restored int `json:"restored"` // masks given back at the end
	Left     int `json:"left"`     // that could not be

	Error string `json:"error,omitempty"` // why mllbd gave up before it was asked to end
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

// Prepare sees that a report can be made at path, and removes an old one, so that
// it is not taken for the one of a run that was killed.
func Prepare(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("place of the report: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("old report: %w", err)
	}
	return nil
}

// Write makes the file, whole or not at all.
func (r *Report) Write(path string) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("write report: %w", errors.Join(err, os.Remove(path+".tmp")))
	}
	return nil
}

// Parse reads one.
func Parse(b []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("mllbd's report: %w", err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("mllbd's report is of schema %d, not %d: mllb and mllbd are of different versions", r.Schema, Schema)
	}
	return &r, nil
}
