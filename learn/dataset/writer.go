// SPDX-License-Identifier: Apache-2.0

// Package dataset keeps recorded decisions in Parquet files: one row a
// decision, raw fields and label, with what is needed to judge them in the
// file's metadata.
//
// Parquet has its index at the end, so a file that was not finished cannot be
// read at all. A Writer therefore puts rows into segments, small complete
// files in the directory FILE.parts, and Close packs them into FILE:
//
//	FILE.parts/000000.parquet  no rows; who records what
//	FILE.parts/000001.parquet  10,000 rows, or those of 5 s
//
// The next has no name while it is written. A crash at any moment loses what no segment has yet. Repair does what Close
// could not.
package dataset

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mllb/features"
)

// A segment is closed after so many rows, or when its first row is so old.
const (
	segmentRows = 10_000
	segmentAge  = 5 * time.Second
)

// Writer writes one run into a file. It is not for concurrent use.
type Writer struct {
	path  string
	meta  Meta
	lock  *os.File // the directory of segments, locked for as long as it grows
	seg   *file    // being written, or nil
	since time.Time
	next  int // number of the next segment
	rows  int64
}

// Create starts a file of the one run that m names. It refuses to overwrite
// (fs.ErrExist) and to go on with an unfinished file (ErrUnfinished). Nothing
// stands at path before Close: rows go to segments in the directory path +
// ".parts", so that a crash loses one at the most.
func Create(path string, m Meta) (*Writer, error) {
	if len(m.Runs) != 1 {
		return nil, fmt.Errorf("create %s: %d runs, want the one that is recorded", path, len(m.Runs))
	}
	if m.FeatureSets == nil {
		m.FeatureSets = setNames()
	}
	run := m.Runs[0]
	if run.ID == "" {
		run.ID = newRunID(run.Host)
	}
	m.Runs = []Run{run}
	if _, err := os.Lstat(path); err == nil {
		return nil, &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if err := os.Mkdir(partsOf(path), 0o777); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("create %s: %w", path, unfinished(path))
	} else if err != nil {
		return nil, err
	}
	lock, err := lockParts(path)
	if err != nil {
		return nil, err
	}
	w := &Writer{path: path, meta: m, lock: lock}
	// The empty segment proves that the place can be written to, and lets
	// Repair make a file of a run that had recorded nothing yet.
	if err = w.open(); err == nil {
		err = w.Flush()
	}
	if err != nil {
		lock.Close()
		return nil, errors.Join(err, os.RemoveAll(partsOf(path)))
	}
	return w, nil
}

// newRunID makes up an id that no other run has.
func newRunID(host string) string {
	var b [6]byte
	rand.Read(b[:]) // never fails (Go 1.24)
	return host + "-" + hex.EncodeToString(b[:])
}

func (w *Writer) open() (err error) {
	name := filepath.Join(partsOf(w.path), fmt.Sprintf("%06d%s", w.next, segmentSuffix))
	w.seg, err = create(context.Background(), name, false, w.meta, fast)
	w.since = time.Now()
	return err
}

// Write appends records of the run. It keeps nothing that recs points to, and
// flushes a segment every 10,000 rows or 5 s: call it now and then with none,
// so that a quiet host's records do not wait. A record that no kernel can have
// made is an error, and is left out; those before it are kept.
func (w *Writer) Write(recs []features.Record) error {
	for i := range recs {
		if w.seg == nil {
			if err := w.open(); err != nil {
				return err
			}
		}
		if err := w.seg.add(&Row{Record: recs[i], Run: &w.meta.Runs[0]}); err != nil {
			return err
		}
		w.rows++
		if w.seg.n >= segmentRows {
			if err := w.Flush(); err != nil {
				return err
			}
		}
	}
	if w.seg != nil && time.Since(w.since) >= segmentAge {
		return w.Flush()
	}
	return nil
}

// SetCounters says how the run's calls add up so far. The next segment and
// Close write it down.
func (w *Writer) SetCounters(c Counters) { w.meta.Runs[0].Counters = c }

// RunID returns the id of the run.
func (w *Writer) RunID() string { return w.meta.Runs[0].ID }

// Flush writes what Write still holds as a segment.
func (w *Writer) Flush() error {
	if w.seg == nil {
		return nil
	}
	seg := w.seg
	w.seg = nil
	if err := seg.setMeta(&w.meta); err != nil {
		seg.abort()
		return err
	}
	if err := seg.commit(false); err != nil {
		return err
	}
	w.next++
	return nil
}

// Rows returns how many rows were written.
func (w *Writer) Rows() int64 { return w.rows }

// Close packs the segments into the file and removes them. On an error they
// are left, for Repair.
func (w *Writer) Close() error {
	defer w.lock.Close()
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := pack(w.path, func(r *Run) { r.Counters = w.meta.Runs[0].Counters }, false)
	return err
}
