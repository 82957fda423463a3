// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// withFooter returns the file with its footer as change makes it.
func withFooter(t *testing.T, file []byte, change func(m *format.FileMetaData)) []byte {
	t.Helper()
	end := len(file) - 8
	start := end - int(binary.LittleEndian.Uint32(file[end:]))
	var protocol thrift.CompactProtocol
	var m format.FileMetaData
	if err := thrift.Unmarshal(&protocol, file[start:end], &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	footer, err := thrift.Marshal(&protocol, m)
	if err != nil {
		t.Fatal(err)
	}
	out := append(slices.Clone(file[:start]), footer...)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(footer)))
	return append(out, magic...)
}

// A footer that is well-formed and lies.
func TestHostileFooter(t *testing.T) {
	good := encode(t, schema, &zstd.Codec{}, rowsWith(t, ""), nil)
	if _, err := openBytes(withFooter(t, good, func(*format.FileMetaData) {})); err != nil {
		t.Fatalf("an honest footer: %v", err)
	}
	column := func(m *format.FileMetaData) *format.ColumnMetaData { return &m.RowGroups[0].Columns[6].MetaData }
	for _, tc := range []struct {
		want   string
		change func(m *format.FileMetaData)
	}{
		{"row group 0: 1099511627776 rows, more than 1048576", func(m *format.FileMetaData) { m.RowGroups[0].NumRows, m.NumRows = 1<<40, 1<<40 }},
		{"row group 0 num_rows=-1 is negative", func(m *format.FileMetaData) { m.RowGroups[0].NumRows = -1 }},
		{"2 rows in its row groups, 3 in its footer", func(m *format.FileMetaData) { m.NumRows = 3 }},
		{"row group 0 ends after 2 of 1000 rows", func(m *format.FileMetaData) { m.RowGroups[0].NumRows, m.NumRows = 1000, 1000 }},
		{"row group 0: column tid: 1152921504606846976 compressed bytes", func(m *format.FileMetaData) { column(m).TotalCompressedSize = 1 << 60 }},
		{"row group 0: column tid: -1 values", func(m *format.FileMetaData) { column(m).NumValues = -1 }},
		{"are not within the file's", func(m *format.FileMetaData) { column(m).DataPageOffset, column(m).DictionaryPageOffset = 1<<40, 0 }},
		{"are not within the file's", func(m *format.FileMetaData) { column(m).DataPageOffset, column(m).DictionaryPageOffset = -7, 0 }},
		{"column tid: its data is elsewhere, or encrypted", func(m *format.FileMetaData) { m.RowGroups[0].Columns[6].FilePath = "/etc/passwd" }},
		{"columns", func(m *format.FileMetaData) { m.RowGroups[0].Columns = m.RowGroups[0].Columns[:5] }},
		{"column run_id is missing", func(m *format.FileMetaData) { m.Schema[1].Name = "runs" }},
		{"damaged", func(m *format.FileMetaData) { m.Schema[0].NumChildren.V = 1 << 30 }},
		{"damaged", func(m *format.FileMetaData) { m.Schema = m.Schema[:1] }},
		{"damaged", func(m *format.FileMetaData) { m.Schema = nil }},
	} {
		r, err := openBytes(withFooter(t, good, tc.change))
		if err == nil {
			_, err = drain(r)
		}
		if err == nil || !strings.HasPrefix(err.Error(), "x: ") || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

// A page header that would make the decoder allocate.
func TestHostilePages(t *testing.T) {
	data := func(values int32) format.PageHeader {
		h := format.PageHeader{Type: format.DataPageV2}
		h.DataPageHeaderV2.Valid = true
		h.DataPageHeaderV2.V.NumValues = values
		return h
	}
	for _, tc := range []struct {
		want   string
		header format.PageHeader
		change func(h *format.PageHeader)
	}{
		{"", data(7), func(*format.PageHeader) {}},
		{"a page of 2147483647 values", data(1<<31 - 1), func(*format.PageHeader) {}},
		{"a page of -1 values", data(-1), func(*format.PageHeader) {}},
		{"a page of 0 bytes, 2147483647 uncompressed", data(1), func(h *format.PageHeader) { h.UncompressedPageSize = 1<<31 - 1 }},
		{"a page of 100 bytes, 0 uncompressed", data(1), func(h *format.PageHeader) { h.CompressedPageSize = 100 }},
		{"a page of -1 bytes", data(1), func(h *format.PageHeader) { h.CompressedPageSize = -1 }},
		{"9 bytes of levels in a page of 0", data(1), func(h *format.PageHeader) { h.DataPageHeaderV2.V.RepetitionLevelsByteLength = 9 }},
		{"a page of type", data(1), func(h *format.PageHeader) { h.Type = 77 }},
	} {
		tc.change(&tc.header)
		page, err := thrift.Marshal(&thrift.CompactProtocol{}, tc.header)
		if err != nil {
			t.Fatal(err)
		}
		_, err = walkPages(page, nil)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

// Encoded values that claim to be more than the page has.
func TestHostileValues(t *testing.T) {
	huge := binary.AppendUvarint(nil, (1<<31-1)<<1)
	for _, tc := range []struct {
		name string
		enc  format.Encoding
		b    []byte
		ok   bool
	}{
		{"runs", format.RLEDictionary, []byte{2, 7 << 1, 1}, true},
		{"packed, padded to 8", format.RLEDictionary, []byte{1, 1<<1 | 1, 0xff}, true},
		{"a run of 2^31", format.RLEDictionary, append(append([]byte{2}, huge...), 1), false},
		{"runs of 60 each", format.RLEDictionary, []byte{2, 60 << 1, 1, 60 << 1, 1}, false},
		{"packed beyond the end", format.RLEDictionary, []byte{8, 3<<1 | 1, 0}, false},
		{"33 bits", format.RLEDictionary, []byte{33, 2, 0}, false},
		{"no end of a number", format.RLEDictionary, []byte{1, 0x80}, false},
		{"delta", format.DeltaBinaryPacked, []byte{0x80, 1, 4, 7, 0}, true},
		{"delta of 2^31", format.DeltaBinaryPacked, append([]byte{0x80, 1, 4}, huge...), false},
		{"delta without miniblocks", format.DeltaBinaryPacked, []byte{0x80, 1, 0, 7, 0}, false},
		{"delta cut", format.DeltaBinaryPacked, []byte{0x80}, false},
		{"an encoding that is not ours", format.DeltaByteArray, []byte{1}, false},
	} {
		if err := checkValues(tc.enc, tc.b, 7); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
