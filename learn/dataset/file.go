// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bufio"
	"context"
	"fmt"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"mllb/internal/namedfile"
)

// groupRows is how many rows a row group of a finished file has: as many as
// make dictionaries pay, few enough to be held in memory.
const groupRows = 1 << 16

// How hard to compress: a segment is written beside the load that is being
// recorded, a finished file once. Higher levels than the default gain 4 % and
// clear tables of many MB for each page. They are shared for their encoders, which
// take long to make.
var (
	fast  = &zstd.Codec{Level: zstd.SpeedFastest}
	small = &zstd.Codec{Level: zstd.SpeedDefault}
)

// file writes one Parquet file, which has its name when it is whole.
type file struct {
	path  string
	f     *namedfile.Output
	buf   *bufio.Writer
	pq    *parquet.GenericWriter[any]
	rows  [64]Row // what batch points into
	batch []parquet.Row
	n     int64
}

// create starts the file that commit will put at path, where unless force nothing may
// be but an empty file.
func create(ctx context.Context, path string, force bool, m Meta, codec *zstd.Codec) (*file, error) {
	f, err := namedfile.CreateNew(ctx, path, force)
	if err != nil {
		return nil, err
	}
	w := &file{path: path, f: f, buf: bufio.NewWriterSize(f, 1<<18)}
	w.pq = parquet.NewGenericWriter[any](w.buf, schema,
		parquet.Compression(codec),
		parquet.MaxRowsPerRowGroup(groupRows),
		parquet.CreatedBy("mllb", m.CreatedBy, ""))
	if err := w.setMeta(&m); err != nil {
		w.abort()
		return nil, err
	}
	return w, nil
}

// setMeta replaces what the file will say of itself.
func (w *file) setMeta(m *Meta) error {
	pairs, err := m.pairs()
	if err != nil {
		return fmt.Errorf("write %s: %w", w.path, err)
	}
	for k, v := range pairs {
		w.pq.SetKeyValueMetadata(k, v)
	}
	return nil
}

// add appends a row. It keeps nothing that r points to but its run.
func (w *file) add(r *Row) error {
	i := len(w.batch)
	if i == len(w.rows) {
		if err := w.flush(); err != nil {
			return err
		}
		i = 0
	}
	w.rows[i] = *r
	if cap(w.batch) == i {
		w.batch = append(w.batch, nil)
	}
	w.batch = w.batch[:i+1]
	values, err := appendRow(w.batch[i][:0], &w.rows[i])
	w.batch[i] = values
	if err != nil {
		w.batch = w.batch[:i]
		return fmt.Errorf("write %s: row %d: %w", w.path, w.n, err)
	}
	w.n++
	return nil
}

func (w *file) flush() error {
	if _, err := w.pq.WriteRows(w.batch); err != nil {
		return fmt.Errorf("write %s: %w", w.path, err)
	}
	w.batch = w.batch[:0]
	return nil
}

// commit finishes the file and gives it its name; durable also when the power
// fails, if sync. On an error nothing is left.
func (w *file) commit(sync bool) error {
	err := w.flush()
	if err == nil {
		err = w.pq.Close()
	}
	if err == nil {
		err = w.buf.Flush()
	}
	if err == nil && sync {
		err = w.f.Sync()
	}
	if err == nil {
		err = w.f.Commit()
	}
	if err != nil {
		w.f.Abort()
		return fmt.Errorf("write %s: %w", w.path, err)
	}
	return nil
}

// abort leaves nothing.
func (w *file) abort() { w.f.Abort() }
