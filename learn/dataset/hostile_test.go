// SPDX-License-Identifier: Apache-2.0

package dataset

import (
	"bytes"
	"encoding/binary"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// writeParquet writes rows of any schema, with a dataset's metadata once
// change has had its way with it.
func writeParquet(t testing.TB, path string, s *parquet.Schema, rows []parquet.Row, change func(kv map[string]string)) {
	t.Helper()
	if err := os.WriteFile(path, encode(t, s, &zstd.Codec{}, rows, change), 0o644); err != nil {
		t.Fatal(err)
	}
}

func encode(t testing.TB, s *parquet.Schema, codec compress.Codec, rows []parquet.Row, change func(kv map[string]string)) []byte {
	t.Helper()
	m := Meta{Runs: []Run{testRun("r")}}
	kv, err := m.pairs()
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(kv)
	}
	var b bytes.Buffer
	w := parquet.NewGenericWriter[any](&b, s, parquet.Compression(codec))
	for k, v := range kv {
		w.SetKeyValueMetadata(k, v)
	}
	if _, err := w.WriteRows(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rowsWith returns two good rows, with the values of one column of the second replaced.
func rowsWith(t testing.TB, name string, values ...parquet.Value) []parquet.Row {
	t.Helper()
	var rows []parquet.Row
	run := testRun("r")
	for _, rec := range plausible(2, 1) {
		row, err := appendRow(nil, &Row{Record: rec, Run: &run})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	if name == "" {
		return rows
	}
	at := slices.IndexFunc(columns, func(c column) bool { return c.name == name })
	var out parquet.Row
	for i := range columns {
		if i == at {
			for k, v := range values {
				out = append(out, v.Level(min(k, v.RepetitionLevel()), v.DefinitionLevel(), i))
			}
			continue
		}
		for _, v := range rows[1] {
			if v.Column() == i {
				out = append(out, v)
			}
		}
	}
	rows[1] = out
	return rows
}

// changed returns the schema with one column as change makes it; a zero one
// goes.
func changed(name string, change func(f *reflect.StructField)) *parquet.Schema {
	var fields []reflect.StructField
	for i, f := range fieldsOf(columns) {
		if columns[i].name == name {
			change(&f)
		}
		if f.Type != nil {
			fields = append(fields, f)
		}
	}
	return schemaOf(fields)
}

func TestHostileSchema(t *testing.T) {
	for _, tc := range []struct {
		want   string
		schema *parquet.Schema
	}{
		{"column src_cpu is missing", changed("src_cpu", func(f *reflect.StructField) { f.Type = nil })},
		{"column src_cpu is missing", changed("src_cpu", func(f *reflect.StructField) { f.Tag = `parquet:"source_cpu"` })},
		{"column src_cpu: type required DOUBLE, want required INT(32,true)", changed("src_cpu", func(f *reflect.StructField) {
			f.Type, f.Tag = reflect.TypeFor[float64](), `parquet:"src_cpu"`
		})},
		{"column src_cpu: type required INT(32,false), want", changed("src_cpu", func(f *reflect.StructField) { f.Type = reflect.TypeFor[uint32]() })},
		{"column src_cpu: type optional INT(32,true), want", changed("src_cpu", func(f *reflect.StructField) { f.Tag = `parquet:"src_cpu,optional"` })},
		{"column task_faults: type repeated INT(64,false), want required group", changed("task_faults", func(f *reflect.StructField) { f.Tag = `parquet:"task_faults"` })},
		{"column idle: type required BYTE_ARRAY, want required STRING", changed("idle", func(f *reflect.StructField) {
			f.Type, f.Tag = reflect.TypeFor[[]byte](), `parquet:"idle"`
		})},
		{`column "X" is not known`, schemaOf(append(fieldsOf(columns), reflect.StructField{Name: "X", Type: reflect.TypeFor[int]()}))},
		{"column src_speed is missing", schemaOf(fieldsOf(columnsOf(1)))},
		{`column load is not in its place`, schemaOf(append(fieldsOf(columns)[1:], fieldsOf(columns)[0]))},
	} {
		_, err := openBytes(encode(t, tc.schema, &zstd.Codec{}, nil, nil))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

func fieldsOf(columns []column) (fields []reflect.StructField) {
	t := structOf(columns)
	for i := range t.NumField() {
		fields = append(fields, t.Field(i))
	}
	return fields
}

func schemaOf(fields []reflect.StructField) *parquet.Schema {
	return parquet.NewSchema("decision", parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface()))
}

func TestHostileMeta(t *testing.T) {
	set := func(key, value string) func(map[string]string) {
		return func(kv map[string]string) { kv[key] = value }
	}
	for _, tc := range []struct {
		want   string
		change func(map[string]string)
	}{
		{"not a dataset: mllb collect records one", func(kv map[string]string) { delete(kv, keySchema) }},
		{`schema version "3", this program reads 1 to 2`, set(keySchema, "3")},
		{`schema version "01", this program reads 1 to 2`, set(keySchema, "01")},
		{`column "src_speed" is not known`, set(keySchema, "1")},
		{`schema version "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...", this`, set(keySchema, strings.Repeat("a", 1<<20))},
		{"metadata mllb.runs: unexpected end of JSON input", func(kv map[string]string) { delete(kv, keyRuns) }},
		{"metadata mllb.runs: json: cannot unmarshal", set(keyRuns, `{"id":"r"}`)},
		{`metadata mllb.runs: run "": no id`, set(keyRuns, `[{}]`)},
		{`run "r" occurs twice`, set(keyRuns, `[{"id":"r"},{"id":"r"}]`)},
		{`run "r": distance -1 from node 0 to 0 is not in 0..255`, set(keyRuns, `[{"id":"r","numa":{"type":"direct","distance":[[-1]]}}]`)},
		{`run "r": distances of node 0: 2, not 1`, set(keyRuns, `[{"id":"r","numa":{"type":"direct","distance":[[10,20]]}}]`)},
		{`run "r": max_distance 5 is not in 10..255`, set(keyRuns, `[{"id":"r","numa":{"type":"direct","max_distance":5,"distance":[[10]]}}]`)},
		{`run "r": numa type "ring" is not known`, set(keyRuns, `[{"id":"r","numa":{"type":"ring","distance":[[10]]}}]`)},
		{"more than 1024", set(keyRuns, `[{"id":"r","numa":{"type":"direct","distance":[`+strings.Repeat("[],", 2000)+`[]]}}]`)},
	} {
		_, err := openBytes(encode(t, schema, &zstd.Codec{}, nil, tc.change))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}

func TestHostileRows(t *testing.T) {
	text := func(s string) parquet.Value { return parquet.ByteArrayValue([]byte(s)) }
	long := make([]parquet.Value, maxListLen+1)
	for i := range long {
		long[i] = parquet.Int64Value(1).Level(min(i, 1), 1, 0)
	}
	for _, tc := range []struct {
		column string
		values []parquet.Value
		want   string
	}{
		{"src_cpu", []parquet.Value{parquet.Int32Value(-5)}, "-5 is not in 0..8191"},
		{"dst_node", []parquet.Value{parquet.Int32Value(1 << 30)}, "1073741824 is not in -1..1023"},
		{"nice", []parquet.Value{parquet.Int32Value(276)}, "276 is not in -20..19"}, // 20 in 8 bits
		{"policy", []parquet.Value{parquet.Int32Value(256)}, "256 is not in 0..255"},
		{"time_ns", []parquet.Value{parquet.Int64Value(-1)}, "-1 is not in 0..9223372036854775807"},
		{"migration_cost_ns", []parquet.Value{parquet.Int64Value(-2)}, "-2 is not in -1..9223372036854775807"},
		{"idle", []parquet.Value{text("busy")}, `"busy" is not a known name`},
		{"condition", []parquet.Value{text("")}, `"" is not a known name`},
		{"condition", []parquet.Value{text(strings.Repeat("x", 1<<16))}, `"` + strings.Repeat("x", 40) + `..." is not a known name`},
		{"run_id", []parquet.Value{text("other")}, `"other" is none of the file's runs`},
		{"load", []parquet.Value{text("7")}, `"7", where the run's is "100"`},
		{"comm", []parquet.Value{text("12345678901234567")}, "is longer than 16 bytes"},
		{"task_faults", long, "more nodes than any kernel has"},
	} {
		r, err := openBytes(encode(t, schema, &zstd.Codec{}, rowsWith(t, tc.column, tc.values...), nil))
		if err != nil {
			t.Errorf("%s: open: %v", tc.column, err)
			continue
		}
		n, err := drain(r)
		want := "x: row 1: column " + tc.column + ": "
		if n != 1 || err == nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%d rows, then %v, want %s%s", n, err, want, tc.want)
		}
	}
}

func TestHostileBytes(t *testing.T) {
	good := sampleBytes(t, "a")
	footer := func(n uint32) []byte {
		b := slices.Clone(good)
		binary.LittleEndian.PutUint32(b[len(b)-8:], n)
		return b
	}
	for _, tc := range []struct {
		name, want string
		b          []byte
	}{
		{"empty", "not a dataset: mllb collect records one", nil},
		{"text", "not a dataset: mllb collect records one", []byte("tid,cpu\n1,2\n3,4\n")},
		{"cut", "truncated", good[:len(good)/2]},
		{"cut by one", "truncated", good[:len(good)-1]},
		{"footer of 4 GiB", "damaged: a footer of 4294967295 bytes", footer(1<<32 - 1)},
		{"footer as long as the file", "damaged: a footer of", footer(uint32(len(good)))},
		{"footer of nothing", "damaged", footer(0)},
		{"gzip", "column run_id: compressed with GZIP, want ZSTD", encode(t, schema, &gzip.Codec{}, rowsWith(t, ""), nil)},
	} {
		_, err := openBytes(tc.b)
		if err == nil || !strings.HasPrefix(err.Error(), "x") || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", tc.name, err, tc.want)
		}
	}
}

// Every length and every damaged byte: an error or not, but no panic.
func TestDamagedAnywhere(t *testing.T) {
	good := sampleBytes(t, "a")
	step := 5
	if testing.Short() {
		step = 37
	}
	for i := 0; i < len(good); i += step {
		if r, err := openBytes(good[:i]); err == nil {
			t.Fatalf("the first %d bytes of %d open as %d rows", i, len(good), r.NumRows())
		}
	}
	for i := 0; i < len(good); i += 13 * step {
		b := slices.Clone(good)
		b[i] ^= 0x55
		if r, err := openBytes(b); err == nil {
			_, _ = drain(r)
		}
	}
}

func TestCheckFrame(t *testing.T) {
	var codec zstd.Codec
	for _, size := range []int{0, 1, 100, 255, 256, 1000, 70_000, 300_000} {
		frame, err := codec.Encode(nil, bytes.Repeat([]byte("ab"), size/2+size%2)[:size])
		if err != nil {
			t.Fatal(err)
		}
		if err := checkFrame(frame, uint64(size)); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if size > 255 && checkFrame(frame, uint64(size-1)) == nil {
			t.Errorf("%d bytes pass for %d", size, size-1)
		}
		if checkFrame(append(slices.Clone(frame), frame...), uint64(2*size)) == nil {
			t.Errorf("%d bytes: two frames pass for one", size)
		}
		for i := range min(len(frame), 200) {
			if checkFrame(frame[:i], uint64(size)) == nil {
				t.Errorf("%d bytes: the first %d of %d pass", size, i, len(frame))
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range samples {
		f.Add(sampleBytes(f, s.name))
	}
	f.Add(encode(f, schema, &zstd.Codec{}, nil, nil))
	f.Add(encode(f, schema, &zstd.Codec{}, rowsWith(f, ""), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := openBytes(b)
		if err != nil {
			return
		}
		n, err := drain(r)
		if err == nil && int64(n) != r.NumRows() {
			t.Errorf("%d rows of %d, and no error", n, r.NumRows())
		}
	})
}

// FuzzDamage overwrites part of a good file, which gets deeper into its pages
// than FuzzOpen does.
func FuzzDamage(f *testing.F) {
	good := sampleBytes(f, "speeds")
	f.Add(uint16(5), []byte("\xff\xff\xff\xff"))
	f.Add(uint16(4000), []byte{0})
	f.Add(uint16(len(good)-9), []byte{0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		b := slices.Clone(good)
		copy(b[int(at)%len(b):], patch)
		if r, err := openBytes(b); err == nil {
			if n, err := drain(r); err == nil && int64(n) != r.NumRows() {
				t.Errorf("%d rows of %d, and no error", n, r.NumRows())
			}
		}
	})
}
