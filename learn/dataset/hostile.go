// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// What parquet-go would believe and allocate for, these functions look at
// first. The limits are several times what Writer makes.
const (
	maxFooter     = 64 << 20
	maxGroupRows  = 1 << 20
	maxChunk      = 256 << 20 // compressed bytes of one column of a row group
	maxPage       = 32 << 20  // uncompressed bytes
	maxPageValues = 1 << 22
)

const magic = "PAR1"

// checkFooter refuses what is not Parquet, or ends before its footer.
func checkFooter(src io.ReaderAt, size int64) error {
	var head [4]byte
	var tail [8]byte
	if size < int64(len(head)+len(tail)) {
		return ErrNotDataset
	}
	if _, err := src.ReadAt(head[:], 0); err != nil {
		return err
	}
	if _, err := src.ReadAt(tail[:], size-int64(len(tail))); err != nil && err != io.EOF {
		return err
	}
	if string(head[:]) != magic {
		return ErrNotDataset
	}
	if string(tail[4:]) != magic {
		return errors.New("truncated: it does not end as a Parquet file does")
	}
	footer := int64(binary.LittleEndian.Uint32(tail[:4]))
	if footer > size-int64(len(head)+len(tail)) || footer > maxFooter {
		return fmt.Errorf("damaged: a footer of %d bytes in a file of %d", footer, size)
	}
	return nil
}

// checkSchema refuses any other columns than those, in any other order:
// parquet-go would fill missing ones with zeroes.
func checkSchema(got *parquet.Schema, columns []column) error {
	have := make(map[string]parquet.Field)
	for _, f := range got.Fields() {
		have[f.Name()] = f
	}
	want := schema.Fields()[:len(columns)]
	for _, w := range want {
		f, ok := have[w.Name()]
		if !ok {
			return fmt.Errorf("column %s is missing", w.Name())
		}
		if !parquet.EqualNodes(f, w) {
			return fmt.Errorf("column %s: type %s, want %s", w.Name(), describe(f), describe(w))
		}
		delete(have, w.Name())
	}
	for i, f := range got.Fields() {
		if _, extra := have[f.Name()]; extra {
			return fmt.Errorf("column %q is not known", clip([]byte(f.Name())))
		}
		if i >= len(want) || f.Name() != want[i].Name() {
			return fmt.Errorf("column %s is not in its place", f.Name())
		}
	}
	return nil
}

func describe(n parquet.Node) string {
	how := "required"
	switch {
	case n.Optional():
		how = "optional"
	case n.Repeated():
		how = "repeated"
	}
	if n.Leaf() {
		return how + " " + n.Type().String()
	}
	return how + " group"
}

// checkGroups refuses row groups that lie about where they are.
func checkGroups(meta *format.FileMetaData, columns []column, size int64) error {
	var total int64
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		if g.NumRows < 0 || g.NumRows > maxGroupRows {
			return fmt.Errorf("row group %d: %d rows, more than %d", i, g.NumRows, maxGroupRows)
		}
		total += g.NumRows
		if len(g.Columns) != len(columns) {
			return fmt.Errorf("row group %d: %d columns, want %d", i, len(g.Columns), len(columns))
		}
		for j := range g.Columns {
			if err := checkChunk(&g.Columns[j], size); err != nil {
				return fmt.Errorf("row group %d: column %s: %w", i, columns[j].name, err)
			}
		}
	}
	if total != meta.NumRows {
		return fmt.Errorf("%d rows in its row groups, %d in its footer", total, meta.NumRows)
	}
	return nil
}

func checkChunk(c *format.ColumnChunk, size int64) error {
	m := &c.MetaData
	start := chunkStart(m)
	switch {
	case c.FilePath != "" || len(c.EncryptedColumnMetadata) != 0:
		return errors.New("its data is elsewhere, or encrypted")
	case m.Codec != format.Zstd:
		return fmt.Errorf("compressed with %s, want ZSTD", m.Codec)
	case m.NumValues < 0 || m.NumValues > maxGroupRows*maxListLen:
		return fmt.Errorf("%d values", m.NumValues)
	case m.TotalCompressedSize < 0 || m.TotalCompressedSize > maxChunk:
		return fmt.Errorf("%d compressed bytes", m.TotalCompressedSize)
	case start < int64(len(magic)) || start > size || m.TotalCompressedSize > size-start:
		return fmt.Errorf("%d bytes at %d are not within the file's %d", m.TotalCompressedSize, start, size)
	}
	return nil
}

func chunkStart(m *format.ColumnMetaData) int64 {
	if m.DictionaryPageOffset > 0 && m.DictionaryPageOffset < m.DataPageOffset {
		return m.DictionaryPageOffset
	}
	return m.DataPageOffset
}

// checkPages walks the pages of a row group before parquet-go does.
func checkPages(src io.ReaderAt, g *format.RowGroup) error {
	var buf, unpacked []byte
	for i := range g.Columns {
		m := &g.Columns[i].MetaData
		if need := int(m.TotalCompressedSize); cap(buf) < need {
			buf = make([]byte, need)
		}
		buf = buf[:m.TotalCompressedSize]
		if _, err := src.ReadAt(buf, chunkStart(m)); err != nil && err != io.EOF {
			return fmt.Errorf("column %s: %w", columns[i].name, err)
		}
		var err error
		if unpacked, err = walkPages(buf, unpacked); err != nil {
			return fmt.Errorf("column %s: %w", columns[i].name, err)
		}
	}
	return nil
}
