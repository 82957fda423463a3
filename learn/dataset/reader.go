// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"

	"github.com/parquet-go/parquet-go"

	"mllb/internal/namedfile"
)

// Reader reads one file.
type Reader struct {
	name    string
	f       *os.File // nil for one that was opened from memory
	src     io.ReaderAt
	pq      *parquet.File
	columns []column // of the file's schema
	meta    Meta
	runs    map[string]*Run
}

// Open opens a finished file. ErrUnfinished says that Repair has to finish it
// first. What is damaged, or a dataset of no schema that is known, is refused with an
// error of one line that names the file and the fault.
func Open(path string) (*Reader, error) {
	if _, err := os.Lstat(partsOf(path)); err == nil {
		return nil, fmt.Errorf("open %s: %w", path, unfinished(path))
	}
	return openFile(path)
}

// openFile is Open for what is known to be finished.
func openFile(path string) (*Reader, error) {
	f, err := namedfile.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	r, err := newReader(path, f, info.Size())
	if err != nil {
		f.Close()
		return nil, err
	}
	r.f = f
	return r, nil
}

// newReader opens size bytes of src. parquet-go trusts much of what a file
// says and panics where it lies; here that becomes an error.
func newReader(name string, src io.ReaderAt, size int64) (r *Reader, err error) {
	defer recovered(&err, name)
	if err := checkFooter(src, size); err != nil {
		return nil, named(name, err)
	}
	pq, err := parquet.OpenFile(src, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("%s: damaged: %w", name, err)
	}
	version, err := parseVersion(pq.Lookup)
	if err != nil {
		return nil, named(name, err)
	}
	columns := columnsOf(version)
	meta, err := parseMeta(pq.Lookup)
	if err == nil {
		err = checkSchema(pq.Schema(), columns)
	}
	if err == nil {
		err = checkGroups(pq.Metadata(), columns, size)
	}
	if err != nil {
		return nil, named(name, err)
	}
	r = &Reader{name: name, src: src, pq: pq, columns: columns, meta: meta, runs: make(map[string]*Run)}
	for i := range r.meta.Runs {
		r.runs[r.meta.Runs[i].ID] = &r.meta.Runs[i]
	}
	return r, nil
}

// ErrNotDataset says that a file is something else, and not a damaged dataset.
var ErrNotDataset = errors.New("not a dataset: mllb collect records one")

func named(name string, err error) error {
	if errors.Is(err, ErrNotDataset) {
		return fmt.Errorf("%s is %w", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// recovered turns a panic of parquet-go into an error.
func recovered(err *error, name string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s: damaged: %v", name, p)
	}
}

// Meta returns what the file says of itself. Row.Run points into it.
func (r *Reader) Meta() Meta { return r.meta }

// NumRows returns how many rows the file says it has.
func (r *Reader) NumRows() int64 { return r.pq.NumRows() }

// Close closes the file.
func (r *Reader) Close() error {
	if r.f == nil {
		return nil
	}
	return r.f.Close()
}

// Rows yields each row in the order of the file. A row and what it points to
// are valid until the next, except its run. After an error, which names the
// row (the first is 0) and the column, there are no more.
func (r *Reader) Rows() iter.Seq2[*Row, error] {
	return func(yield func(*Row, error) bool) {
		var row Row
		var n int64
		for i, g := range r.pq.RowGroups() {
			more, err := r.group(i, g, &row, &n, yield)
			if err != nil {
				yield(nil, err)
				return
			}
			if !more {
				return
			}
		}
	}
}

// group yields the rows of one row group, unless told to stop. n counts rows.
func (r *Reader) group(i int, g parquet.RowGroup, row *Row, n *int64, yield func(*Row, error) bool) (more bool, err error) {
	if err := checkPages(r.src, &r.pq.Metadata().RowGroups[i]); err != nil {
		return false, fmt.Errorf("%s: row group %d: %w", r.name, i, err)
	}
	rows, err := rowsOf(r.name, g)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	buf := make([]parquet.Row, 256)
	for end := *n + g.NumRows(); *n < end; {
		got, err := readRows(r.name, rows, buf)
		if err != nil && err != io.EOF {
			return false, fmt.Errorf("%s: row %d: damaged: %w", r.name, *n, err)
		}
		if got == 0 {
			return false, fmt.Errorf("%s: row group %d ends after %d of %d rows", r.name, i, g.NumRows()-(end-*n), g.NumRows())
		}
		for _, values := range buf[:got] {
			if err := r.parse(row, values); err != nil {
				return false, fmt.Errorf("%s: row %d: %w", r.name, *n, err)
			}
			*n++
			if !yield(row, nil) {
				return false, nil
			}
		}
	}
	return true, nil
}

func rowsOf(name string, g parquet.RowGroup) (rows parquet.Rows, err error) {
	defer recovered(&err, name)
	return g.Rows(), nil
}

func readRows(name string, rows parquet.Rows, buf []parquet.Row) (n int, err error) {
	defer recovered(&err, name)
	return rows.ReadRows(buf)
}

// parse sets row from a row's values, which are in the order of the columns.
func (r *Reader) parse(row *Row, values parquet.Row) error {
	row.Run = nil
	rest := []parquet.Value(values)
	for i := range r.columns {
		c := &r.columns[i]
		n := 0
		for n < len(rest) && rest[n].Column() == i {
			n++
		}
		if i == 0 { // run_id: what the other tags must agree with
			if n != 1 || rest[0].IsNull() {
				return fmt.Errorf("column %s: %w", c.name, errMissing)
			}
			run, ok := r.runs[string(rest[0].ByteArray())]
			if !ok {
				return fmt.Errorf("column %s: %q is none of the file's runs", c.name, clip(rest[0].ByteArray()))
			}
			row.Run = run
		} else if err := c.parse(c.field(row), rest[:n]); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		rest = rest[n:]
	}
	if len(rest) != 0 {
		return errRepeated
	}
	row.NUMA = row.Run.NUMA
	return nil
}
