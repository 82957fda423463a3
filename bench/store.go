// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"mllb/internal/namedfile"
)

// Schema is the version of what a result directory holds.
const Schema = 1

// The files of a result directory.
const (
	headFile    = "bench.json"   // Head
	runsFile    = "runs.jsonl"   // a Record a line
	runningFile = "running.json" // leftover, while a run is under way
	failedDir   = "failed"       // what runs that failed wrote to stderr
)

// Head is what a result directory is of.
type Head struct {
	Schema  int       `json:"schema"`
	Digest  string    `json:"digest"` // of Config, but for its number of runs
	Version string    `json:"version"`
	Started time.Time `json:"started"`
	Config  Config    `json:"config"`
	Skipped []Skipped `json:"skipped,omitempty"`
	Machine Machine   `json:"machine"`
	Notes   []string  `json:"notes,omitempty"` // warnings about the machine
}

// Skipped is an arm or a workload that this machine does not have.
type Skipped struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// store is a result directory that is written to.
type store struct {
	dir     string
	lock    *os.File
	runs    *os.File
	Head    Head
	Records []Record
	Torn    bool // the last line was cut off, and is gone: its run is done again
}

// openStore makes the directory, or goes on with one of the same configuration and
// machine; if anew, what results are there are removed. Nobody else can open it
// meanwhile.
func openStore(dir string, head Head, anew bool) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s := &store{dir: dir}
	if err := s.open(head, anew); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *store) open(head Head, anew bool) (err error) {
	if s.lock, err = os.Open(s.dir); err != nil {
		return err
	}
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%s: another mllb bench is running there: %w", s.dir, err)
	}
	if anew {
		if err := s.discard(); err != nil {
			return err
		}
	}
	old, err := readHead(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.Head = head
	case err != nil:
		return err
	default:
		if err := old.same(&head); err != nil {
			return fmt.Errorf("%s: %w; choose another --out, or --force to start anew", s.dir, err)
		}
		s.Head = *old
		s.Head.Config.Runs = head.Config.Runs
		for _, n := range head.Notes {
			if later := "when it was resumed: " + n; !slices.Contains(old.Notes, n) && !slices.Contains(old.Notes, later) {
				s.Head.Notes = append(s.Head.Notes, later)
			}
		}
	}
	if err := writeJSON(filepath.Join(s.dir, headFile), s.Head); err != nil {
		return err
	}
	return s.openRuns()
}

// discard removes results, and nothing that is not a benchmark's.
func (s *store) discard() error {
	var errs []error
	for _, name := range []string{headFile, runsFile, "report.html", "report.json", "runs.parquet", failedDir} {
		errs = append(errs, os.RemoveAll(filepath.Join(s.dir, name)))
	}
	return errors.Join(errs...)
}

// same says why results of both must not be mixed.
func (h *Head) same(now *Head) error {
	switch {
	case h.Machine.Host != now.Machine.Host || h.Machine.Kernel != now.Machine.Kernel || h.Machine.Topology != now.Machine.Topology:
		return fmt.Errorf("was started on %s, Linux %s, %s; this is %s, Linux %s, %s", h.Machine.Host, h.Machine.Kernel, h.Machine.Topology,
			now.Machine.Host, now.Machine.Kernel, now.Machine.Topology)
	case h.Digest != now.Digest:
		return fmt.Errorf("was started with %s", h.Config.difference(&now.Config))
	}
	return nil
}

// difference names the first part of c in which other differs.
func (c *Config) difference(other *Config) string {
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	for _, p := range []struct {
		name      string
		was, want any
	}{
		{"set of arms", c.Arms, other.Arms}, {"set of workloads", c.Workloads, other.Workloads}, {"warm-up", c.Warmup, other.Warmup},
		{"seed", c.Seed, other.Seed}, {"interval", c.Interval, other.Interval}, {"--prepare", c.Prepare, other.Prepare}, {"--steady", c.Steady, other.Steady}, {"set of programs", c.Programs, other.Programs},
	} {
		if was, want := text(p.was), text(p.want); was != want {
			return fmt.Sprintf("a different %s: %s, now %s", p.name, was, want)
		}
	}
	return "a different configuration"
}

// openRuns reads what is there, and cuts off a line that a crash left half
// written. Any other line that makes no sense is an error.
func (s *store) openRuns() (err error) {
	path := filepath.Join(s.dir, runsFile)
	if s.runs, err = namedfile.OpenRegular(path, os.O_RDWR|os.O_CREATE|os.O_APPEND); err != nil {
		return err
	}
	var whole int64
	if s.Records, whole, err = readRecords(path); err != nil {
		return err
	}
	if st, err := s.runs.Stat(); err != nil {
		return err
	} else if st.Size() > whole {
		s.Torn = true
		return s.runs.Truncate(whole)
	}
	return nil
}

// append adds a run at once, and for good.
func (s *store) append(r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of %s: %w", r.Slot, err)
	}
	if _, err := s.runs.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("record of %s: %w", r.Slot, err)
	}
	s.Records = append(s.Records, r)
	return s.runs.Sync()
}

func (s *store) close() {
	if s.runs != nil {
		s.runs.Close()
	}
	if s.lock != nil {
		s.lock.Close()
	}
}

func readHead(dir string) (*Head, error) {
	path := filepath.Join(dir, headFile)
	var h Head
	if err := readJSON(path, &h); err != nil {
		return nil, err
	}
	if h.Schema != Schema {
		return nil, fmt.Errorf("%s: schema %d, want %d", path, h.Schema, Schema)
	}
	return &h, nil
}

// readRecords returns the runs in path and how many bytes are whole lines.
func readRecords(path string) ([]Record, int64, error) {
	b, err := namedfile.ReadFile(path)
	if err != nil {
		return nil, 0, err
	}
	records, whole, err := parseRecords(b)
	if err != nil {
		return nil, 0, fmt.Errorf("%s: %w", path, err)
	}
	return records, whole, nil
}

func parseRecords(b []byte) (records []Record, whole int64, err error) {
	seen := make(map[Slot]bool)
	for line := 1; ; line++ {
		text, rest, ended := bytes.Cut(b[whole:], []byte{'\n'})
		if !ended {
			return records, whole, nil
		}
		var r Record
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", line, err)
		}
		if r.fills() {
			if seen[r.Slot] {
				return nil, 0, fmt.Errorf("line %d: %s is recorded twice", line, r.Slot)
			}
			seen[r.Slot] = true
		}
		records = append(records, r)
		whole = int64(len(b) - len(rest))
	}
}

func readJSON(path string, into any) error {
	b, err := namedfile.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return namedfile.Write(context.Background(), path, append(b, '\n'))
}
