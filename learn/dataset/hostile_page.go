// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// walkPages looks at each page of a column chunk. buf is memory to unpack into,
// which it returns.
func walkPages(chunk, buf []byte) (_ []byte, err error) {
	defer recovered(&err, "page header")
	var protocol thrift.CompactProtocol
	for len(chunk) > 0 {
		var h format.PageHeader
		r := protocol.NewReaderFromBytes(chunk)
		if err := thrift.NewDecoder(r).Decode(&h); err != nil {
			return buf, fmt.Errorf("damaged: page header: %w", err)
		}
		chunk = chunk[r.BytesRead():]
		size := int64(h.CompressedPageSize)
		if size < 0 || size > int64(len(chunk)) || h.UncompressedPageSize < 0 || h.UncompressedPageSize > maxPage {
			return buf, fmt.Errorf("damaged: a page of %d bytes, %d uncompressed", h.CompressedPageSize, h.UncompressedPageSize)
		}
		if buf, err = checkPage(&h, chunk[:size], buf); err != nil {
			return buf, err
		}
		chunk = chunk[size:]
	}
	return buf, nil
}

func checkPage(h *format.PageHeader, page, buf []byte) ([]byte, error) {
	switch h.Type {
	case format.DictionaryPage:
		d := &h.DictionaryPageHeader.V
		if err := checkCount(d.NumValues); err != nil {
			return buf, err
		}
		if d.Encoding != format.Plain {
			return buf, fmt.Errorf("a dictionary encoded as %s", d.Encoding)
		}
		return buf, checkFrame(page, uint64(h.UncompressedPageSize))
	case format.DataPageV2:
		return checkData(h, page, buf)
	}
	return buf, fmt.Errorf("damaged: a page of type %s", h.Type)
}

func checkCount(values int32) error {
	if values < 0 || values > maxPageValues {
		return fmt.Errorf("damaged: a page of %d values", values)
	}
	return nil
}

// checkData looks at levels, which stand uncompressed before the values, and
// at values.
func checkData(h *format.PageHeader, page, buf []byte) ([]byte, error) {
	v2 := &h.DataPageHeaderV2.V
	if err := checkCount(v2.NumValues); err != nil {
		return buf, err
	}
	rep, def := int64(v2.RepetitionLevelsByteLength), int64(v2.DefinitionLevelsByteLength)
	if rep < 0 || def < 0 || rep+def > int64(len(page)) {
		return buf, fmt.Errorf("damaged: %d bytes of levels in a page of %d", rep+def, len(page))
	}
	for _, levels := range [][]byte{page[:rep], page[rep : rep+def]} {
		if err := walkRuns(levels, 1, v2.NumValues); err != nil { // no column has levels above 1
			return buf, err
		}
	}
	values := page[rep+def:]
	if len(values) > 0 && (!v2.IsCompressed.Valid || v2.IsCompressed.V) {
		if err := checkFrame(values, uint64(h.UncompressedPageSize)); err != nil {
			return buf, err
		}
		var err error
		if buf, err = small.Decode(buf[:0], values); err != nil {
			return buf, fmt.Errorf("damaged: %w", err)
		}
		values = buf
	}
	return buf, checkValues(v2.Encoding, values, v2.NumValues)
}

// checkValues refuses encodings that Writer does not use, and numbers of values
// in a page that are not the page's: for these the decoder makes room.
func checkValues(enc format.Encoding, b []byte, n int32) error {
	switch {
	case enc == format.Plain || len(b) == 0:
		return nil
	case enc == format.RLEDictionary:
		if b[0] > 32 {
			return fmt.Errorf("damaged: dictionary indices of %d bits", b[0])
		}
		return walkRuns(b[1:], uint64(b[0]), n)
	case enc == format.DeltaBinaryPacked:
		return checkDelta(b, n)
	}
	return fmt.Errorf("values encoded as %s", enc)
}

// walkRuns follows the hybrid of run lengths and bit packing (parquet-format,
// Encodings.md, RLE): a run of 2 billion values takes six bytes.
func walkRuns(b []byte, width uint64, n int32) error {
	most := uint64(n) + 64 // a packed run is padded to groups of 8
	for total := uint64(0); len(b) > 0; {
		u, size := binary.Uvarint(b)
		if size <= 0 || u>>1 > most {
			return errRuns
		}
		values, bytes := u>>1, (width+7)/8
		if u&1 == 1 {
			values, bytes = values*8, values*width
		}
		b = b[size:]
		if total += values; total > most || bytes > uint64(len(b)) {
			return errRuns
		}
		b = b[bytes:]
	}
	return nil
}

var errRuns = errors.New("damaged: its run lengths are not of as many values as the page header says")

// checkDelta reads the header of delta encoding (parquet-format, Encodings.md,
// DELTA_BINARY_PACKED): block size, blocks in it, values.
func checkDelta(b []byte, n int32) error {
	var head [3]uint64
	for i := range head {
		u, size := binary.Uvarint(b)
		if size <= 0 {
			return errRuns
		}
		head[i], b = u, b[size:]
	}
	if block, mini, values := head[0], head[1], head[2]; block > 1<<16 || mini == 0 || mini > block || values > uint64(n) {
		return errRuns
	}
	return nil
}
