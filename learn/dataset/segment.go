// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const segmentSuffix = ".parquet"

// ErrUnfinished says that a file is still being recorded, or was left behind
// by a crash.
var ErrUnfinished = errors.New("the collection did not finish")

func partsOf(path string) string { return path + ".parts" }

func unfinished(path string) error {
	return fmt.Errorf("%w: %s exists; mllb dataset info --repair %s repairs it", ErrUnfinished, partsOf(path), path)
}

// lockParts takes the directory of segments, so that nobody repairs a file
// that still grows. The lock goes with the process.
func lockParts(path string) (*os.File, error) {
	d, err := os.Open(partsOf(path))
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.Close()
		return nil, fmt.Errorf("%s is still being recorded: lock %s: %w", path, partsOf(path), err)
	}
	return d, nil
}

// Repaired is what Repair did.
type Repaired struct {
	Segments int   // that could be read
	Torn     int   // that could not, and were dropped
	Rows     int64 // that the file has now
}

// Repair makes the file that a killed Writer could not make, of its segments.
// A file that has none is left alone; fs.ErrNotExist says that it is not there
// either.
func Repair(path string) (Repaired, error) {
	lock, err := lockParts(path)
	if errors.Is(err, fs.ErrNotExist) {
		_, err = os.Lstat(path)
		return Repaired{}, err
	}
	if err != nil {
		return Repaired{}, err
	}
	defer lock.Close()
	if _, err := os.Lstat(path); err == nil {
		// Killed between the two last steps of Close: the file has its name, so
		// it is whole.
		r, err := openFile(path)
		if err != nil {
			return Repaired{}, fmt.Errorf("both %s and %s exist: %w", path, partsOf(path), err)
		}
		defer r.Close()
		return Repaired{Rows: r.NumRows()}, os.RemoveAll(partsOf(path))
	}
	return pack(path, func(r *Run) { r.CutShort = true }, true)
}

// pack makes path of its segments and removes them. If tolerant, a segment that
// cannot be read is left out. finish has the last word on the run, as its last
// segment knew it.
func pack(path string, finish func(*Run), tolerant bool) (h Repaired, err error) {
	entries, err := os.ReadDir(partsOf(path)) // in the order of their names
	if err != nil {
		return h, err
	}
	var meta *Meta
	var sound []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) != segmentSuffix {
			continue // one that was being written
		}
		name := filepath.Join(partsOf(path), e.Name())
		m, err := verify(name, tolerant)
		switch {
		case err == nil:
			meta = &m
			sound = append(sound, name)
		case tolerant:
			h.Torn++
		default:
			return h, err
		}
	}
	h.Segments = len(sound)
	if meta == nil || len(meta.Runs) != 1 {
		return h, fmt.Errorf("%s has no segment that can be read", partsOf(path))
	}
	finish(&meta.Runs[0])
	if h.Rows, err = packSegments(path, sound, meta); err != nil {
		return h, err
	}
	return h, os.RemoveAll(partsOf(path))
}

func packSegments(path string, names []string, meta *Meta) (int64, error) {
	out, err := create(context.Background(), path, false, *meta, small)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		if err := copyRows(out, name, &meta.Runs[0]); err != nil {
			out.abort()
			return 0, err
		}
	}
	return out.n, out.commit(true)
}

func copyRows(out *file, name string, run *Run) error {
	in, err := openFile(name)
	if err != nil {
		return err
	}
	defer in.Close()
	for row, err := range in.Rows() {
		if err != nil {
			return err
		}
		row.Run = run
		if err := out.add(row); err != nil {
			return err
		}
	}
	return nil
}

// verify reads a segment's metadata and, if thorough, each of its rows: after a
// power failure a file may have its length and not its contents.
func verify(name string, thorough bool) (Meta, error) {
	r, err := openFile(name)
	if err != nil {
		return Meta{}, err
	}
	defer r.Close()
	if thorough {
		for _, err := range r.Rows() {
			if err != nil {
				return Meta{}, err
			}
		}
	}
	return r.Meta(), nil
}
