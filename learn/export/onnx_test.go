// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"mllb/mlp"
)

// fields decodes one level of a message: by field number, its values in order.
func fields(t *testing.T, b []byte) map[int][]any {
	t.Helper()
	f := make(map[int][]any)
	for len(b) > 0 {
		num, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		b = b[n:]
		var v any
		switch kind {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v, n = protowire.ConsumeBytes(b)
		default:
			t.Fatalf("field %d has wire type %d", num, kind)
		}
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		f[int(num)] = append(f[int(num)], v)
		b = b[n:]
	}
	return f
}

func str(v any) string { return string(v.([]byte)) }

// tensors evaluates the nodes of a graph on one row.
func evaluate(t *testing.T, graph map[int][]any, row []float64) map[string][]float64 {
	at := map[string][]float64{"features": row}
	dims := make(map[string][]uint64)
	for _, b := range graph[5] { // initializer
		f := fields(t, b.([]byte))
		name, raw := str(f[8][0]), f[9][0].([]byte)
		for ; len(raw) >= 4; raw = raw[4:] {
			at[name] = append(at[name], float64(math.Float32frombits(binary.LittleEndian.Uint32(raw))))
		}
		for _, d := range f[1] {
			dims[name] = append(dims[name], d.(uint64))
		}
	}
	for _, b := range graph[1] { // node
		f := fields(t, b.([]byte))
		in, out := at[str(f[1][0])], str(f[2][0])
		switch op := str(f[4][0]); op {
		case "Gemm":
			attribute := fields(t, f[5][0].([]byte))
			if str(attribute[1][0]) != "transB" || attribute[3][0] != uint64(1) || attribute[20][0] != uint64(2) {
				t.Fatalf("Gemm has attribute %v", attribute)
			}
			w, bias := str(f[1][1]), at[str(f[1][2])]
			if len(dims[w]) != 2 || dims[w][0] != uint64(len(bias)) || dims[w][1] != uint64(len(in)) {
				t.Fatalf("%s is %v for %d inputs and %d outputs", w, dims[w], len(in), len(bias))
			}
			for j, y := range bias {
				for i, x := range in {
					y += at[w][j*len(in)+i] * x
				}
				at[out] = append(at[out], y)
			}
		case "Relu":
			for _, x := range in {
				at[out] = append(at[out], max(x, 0))
			}
		case "Sigmoid":
			for _, x := range in {
				at[out] = append(at[out], 1/(1+math.Exp(-x)))
			}
		default:
			t.Fatalf("operator %s", op)
		}
	}
	return at
}

// TestONNX reads the file by the field numbers of onnx.proto, computes what its
// graph says, and holds that against inference in floating point.
func TestONNX(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for name, m := range models(t) {
		var b bytes.Buffer
		if err := ONNX(&b, m); err != nil {
			t.Fatal(err)
		}
		model := fields(t, b.Bytes())
		if opset := fields(t, model[8][0].([]byte)); model[1][0] != uint64(7) || opset[2][0] != uint64(13) {
			t.Errorf("%s: IR version %v, operator set %v", name, model[1], opset)
		}
		props := make(map[string]string)
		for _, p := range model[14] {
			f := fields(t, p.([]byte))
			props[str(f[1][0])] = str(f[2][0])
		}
		if props["feature_set"] != m.Set.Name || props["threshold"] == "" {
			t.Errorf("%s: metadata %v", name, props)
		}
		graph := fields(t, model[7][0].([]byte))
		f, err := mlp.NewFloat(m)
		if err != nil {
			t.Fatal(err)
		}
		row, row32 := make([]float64, len(m.Set.Features)), make([]float32, len(m.Set.Features))
		for range 20 {
			for i := range row {
				row32[i] = float32(rng.NormFloat64())
				row[i] = float64(row32[i])
			}
			at := evaluate(t, graph, row)
			want := float64(f.Logit(row32))
			if got := at["logit"]; len(got) != 1 || math.Abs(got[0]-want) > 1e-4*(1+math.Abs(want)) {
				t.Errorf("%s: logit %v, want %g", name, got, want)
			}
			if p := at["probability"]; len(p) != 1 || math.Abs(p[0]-1/(1+math.Exp(-at["logit"][0]))) > 1e-9 {
				t.Errorf("%s: probability %v of logit %v", name, p, at["logit"])
			}
		}
	}
	if err := ONNX(&bytes.Buffer{}, &mlp.Model{}); err == nil {
		t.Error("no model, no error")
	}
}
