// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"bytes"
	_ "embed" // the default model
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"mllb/features"
	"mllb/internal/namedfile"
)

// maxFile bounds a model file. The weights of the largest network are 30 KiB at
// the most; what its provenance names, such as runs held out, comes on top.
const maxFile = 1 << 20

//go:embed default.json
var defaultModel []byte

// file is a model as JSON. Numbers are pointers, for a null must not read as 0.
type file struct {
	Schema     *int           `json:"schema"`
	FeatureSet string         `json:"feature_set"`
	Features   []string       `json:"features"`
	Layers     []int          `json:"layers"`
	Weights    [][][]*float64 `json:"weights"`
	Biases     [][]*float64   `json:"biases"`
	Threshold  *float64       `json:"threshold"`
	Ranges     [][]*float64   `json:"ranges"`
	Provenance Provenance     `json:"provenance"`
}

// Default returns the model that is built into the program.
func Default() (*Model, error) {
	m, err := Load(bytes.NewReader(defaultModel))
	if err != nil {
		return nil, fmt.Errorf("embedded model: %w", err)
	}
	return m, nil
}

// LoadFile reads a model from a file.
func LoadFile(path string) (*Model, error) {
	f, err := namedfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open model: %w", err)
	}
	defer f.Close()
	m, err := Load(f)
	if errors.Is(err, ErrNotModel) {
		return nil, fmt.Errorf("%s is %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	return m, nil
}

// ErrNotModel says that a file is something else, and not a model with a mistake in
// it.
var ErrNotModel = errors.New("not a model file: mllb train makes one")

// Load reads a model. It refuses one of another schema or feature set, of wrong
// sizes, with an unknown field, with a number that is missing or does not fit
// Q21.11, or with anything after it; the error names the field.
func Load(r io.Reader) (*Model, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile && !resemblesModel(data) {
		return nil, ErrNotModel
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %d bytes", maxFile)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var f file
	if err := dec.Decode(&f); err != nil {
		if !resemblesModel(data) {
			return nil, ErrNotModel
		}
		return nil, fmt.Errorf("parse: %s%w", position(data, err), err)
	}
	if f.Schema == nil && !resemblesModel(data) {
		return nil, ErrNotModel
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse: there is something after the model")
	}
	return f.model()
}

// resemblesModel looks for a key that only models have, as far as the JSON is sound.
func resemblesModel(data []byte) bool {
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return false
		}
		switch key {
		case "feature_set", "features", "layers", "weights", "biases", "threshold":
			return true
		}
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			return false
		}
	}
	return false
}

// position is where in the file an error is, for whoever edits it.
func position(data []byte, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	at := int64(0)
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
	default:
		return ""
	}
	before := data[:min(max(at-1, 0), int64(len(data)))]
	return fmt.Sprintf("line %d, column %d: ", 1+bytes.Count(before, []byte{'\n'}), len(before)-bytes.LastIndexByte(before, '\n'))
}

// model checks what Quantise cannot see, and hands the rest to it.
func (f *file) model() (*Model, error) {
	if f.Schema == nil || *f.Schema != Schema {
		return nil, fmt.Errorf("schema: %s, want %d", show(f.Schema), Schema)
	}
	set, err := features.Lookup(f.FeatureSet)
	if err != nil {
		return nil, fmt.Errorf("feature_set: %w", err)
	}
	if err := namesMatch(set, f.Features); err != nil {
		return nil, err
	}
	if len(f.Layers) != 3 || f.Layers[0] != len(set.Features) || f.Layers[2] != 1 {
		return nil, fmt.Errorf("layers: %v, want [%d hidden 1]", f.Layers, len(set.Features))
	}
	if len(f.Weights) != 2 || len(f.Biases) != 2 {
		return nil, fmt.Errorf("weights, biases: %d and %d layers, want 2", len(f.Weights), len(f.Biases))
	}
	if len(f.Weights[0]) != f.Layers[1] {
		return nil, fmt.Errorf("weights[0]: %d rows, but layers says %d", len(f.Weights[0]), f.Layers[1])
	}
	if f.Threshold == nil {
		return nil, errors.New("threshold: missing")
	}
	m := &Model{Set: set, Threshold: *f.Threshold, Provenance: f.Provenance}
	if err := f.numbers(m); err != nil {
		return nil, err
	}
	if err := f.ranges(m); err != nil {
		return nil, err
	}
	return m, m.Validate()
}

func (f *file) ranges(m *Model) error {
	if f.Ranges != nil {
		m.Ranges = make([]Range, 0, len(f.Ranges))
	}
	for k, pair := range f.Ranges {
		r, err := values(pair)
		if err != nil {
			return fmt.Errorf("ranges[%d]%w", k, err)
		}
		if len(r) != 2 {
			return fmt.Errorf("ranges[%d]: %d numbers, want 2", k, len(r))
		}
		m.Ranges = append(m.Ranges, Range(r))
	}
	return nil
}

func (f *file) numbers(m *Model) (err error) {
	for l := range m.Weights {
		if m.Biases[l], err = values(f.Biases[l]); err != nil {
			return fmt.Errorf("biases[%d]%w", l, err)
		}
		m.Weights[l] = make([][]float64, len(f.Weights[l]))
		for j, row := range f.Weights[l] {
			if m.Weights[l][j], err = values(row); err != nil {
				return fmt.Errorf("weights[%d][%d]%w", l, j, err)
			}
		}
	}
	return nil
}

func values(row []*float64) ([]float64, error) {
	x := make([]float64, len(row))
	for i, p := range row {
		if p == nil {
			return nil, fmt.Errorf("[%d]: null", i)
		}
		x[i] = *p
	}
	return x, nil
}

func show(n *int) string {
	if n == nil {
		return "missing"
	}
	return strconv.Itoa(*n)
}

// Save writes the model as JSON for people to read: one neuron a line.
func (m *Model) Save(w io.Writer) error {
	if err := m.Validate(); err != nil {
		return err
	}
	provenance, err := json.MarshalIndent(&m.Provenance, "  ", "  ")
	if err != nil {
		return fmt.Errorf("provenance: %w", err)
	}
	names, err := json.Marshal(m.Set.Names())
	if err != nil {
		return fmt.Errorf("features: %w", err)
	}
	b := fmt.Appendf(nil, "{\n  \"schema\": %d,\n  \"feature_set\": %q,\n  \"features\": %s,\n", Schema, m.Set.Name, names)
	b = fmt.Appendf(b, "  \"layers\": [%d, %d, 1],\n  \"weights\": [\n    [\n", len(m.Set.Features), m.Hidden())
	b = appendRows(b, "      ", m.Weights[0])
	b = append(b, "    ],\n    [\n"...)
	b = appendRows(b, "      ", m.Weights[1])
	b = append(b, "    ]\n  ],\n  \"biases\": [\n"...)
	b = appendRows(b, "    ", m.Biases[:])
	b = append(b, "  ],\n  \"threshold\": "...)
	b = strconv.AppendFloat(b, m.Threshold, 'g', -1, 64)
	if m.Ranges != nil {
		b = append(b, ",\n  \"ranges\": [\n"...)
		b = appendRows(b, "    ", rangeRows(m.Ranges))
		b = append(b, "  ]"...)
	}
	b = fmt.Appendf(b, ",\n  \"provenance\": %s\n}\n", provenance)
	_, err = w.Write(b)
	return err
}

func rangeRows(ranges []Range) [][]float64 {
	rows := make([][]float64, len(ranges))
	for k := range ranges {
		rows[k] = ranges[k][:]
	}
	return rows
}

// appendRows writes a JSON list for each row, each on a line of its own.
func appendRows(b []byte, indent string, rows [][]float64) []byte {
	for j, row := range rows {
		if j > 0 {
			b = append(b, ",\n"...)
		}
		b = append(append(b, indent...), '[')
		for i, x := range row {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = strconv.AppendFloat(b, x, 'g', -1, 64)
		}
		b = append(b, ']')
	}
	return append(b, '\n')
}
