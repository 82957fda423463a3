// SPDX-License-Identifier: Apache-2.0

package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"mllb/internal/namedfile"
)

// trialsSchema is the version of a file of trials: JSON lines, of which the
// first says what was tried on and each other is a Trial.
const trialsSchema = 1

// maxTrials bounds a file of trials, which is about 150 bytes a trial.
const maxTrials = 16 << 20

// header is what trials have in common. Trials of another are refused.
type header struct {
	Schema     int        `json:"sweep"`
	Dataset    string     `json:"dataset"`
	FeatureSet string     `json:"feature_set"`
	Rate       float64    `json:"learning_rate"` // of the first trial
	Decay      float64    `json:"decay"`
	Batch      int        `json:"batch"`
	Hidden     int        `json:"hidden"`
	Epochs     int        `json:"epochs"`
	Patience   int        `json:"patience"`
	MinDelta   float64    `json:"min_delta"`
	Validation float64    `json:"validation"`
	Weights    [2]float64 `json:"class_weights"`
	Scale      bool       `json:"scale"`
	Seed       uint64     `json:"seed"`
	Holdout    Unit       `json:"holdout"`
	Fraction   float64    `json:"fraction"`
}

func (c *Config) header(src *Source) header {
	return header{trialsSchema, src.Digest, src.Data.Set.Name, c.LearningRate, c.Decay, c.Batch, c.Hidden, c.Epochs, c.Patience, c.MinDelta,
		c.Validation, c.ClassWeights, c.Scale, c.Seed, c.Holdout, c.Fraction}
}

// trials is an open file of them.
type trials struct {
	f      *os.File
	before []Trial // that were there
	all    []Trial
}

// openTrials reads the trials of a file, or starts it. A line that was cut off
// by a crash is taken away.
func openTrials(path string, h header) (*trials, error) {
	f, err := namedfile.OpenRegular(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	t := &trials{f: f}
	if err := t.read(h); err != nil {
		f.Close()
		return nil, fmt.Errorf("trials %s: %w", path, err)
	}
	return t, nil
}

func (t *trials) read(h header) error {
	list, whole, err := parseTrials(t.f, h)
	if err != nil {
		return err
	}
	t.before, t.all = list, list
	if err := t.f.Truncate(whole); err != nil {
		return err
	}
	if _, err := t.f.Seek(whole, io.SeekStart); err != nil {
		return err
	}
	if whole == 0 {
		return t.line(h)
	}
	return nil
}

// parseTrials returns the trials and how many bytes whole lines are.
func parseTrials(r io.Reader, want header) (list []Trial, whole int64, err error) {
	data, err := io.ReadAll(io.LimitReader(r, maxTrials+1))
	if err != nil {
		return nil, 0, err
	}
	if len(data) > maxTrials {
		return nil, 0, fmt.Errorf("larger than %d bytes", maxTrials)
	}
	seen := make(map[int]bool)
	for n := 1; ; n++ {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return list, whole, nil
		}
		if n == 1 {
			err = checkHeader(line, want)
		} else {
			var t Trial
			if err = parseTrial(line, &t); err == nil && seen[t.Number] {
				err = fmt.Errorf("trial %d occurs twice", t.Number)
			}
			seen[t.Number] = true
			list = append(list, t)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("line %d: %w", n, err)
		}
		whole += int64(len(line)) + 1
		data = rest
	}
}

func checkHeader(line []byte, want header) error {
	var got header
	if err := unmarshal(line, &got); err != nil {
		return fmt.Errorf("not a file of trials: %w", err)
	}
	if got != want {
		return errors.New("trials of other data or settings: use another file")
	}
	return nil
}

func parseTrial(line []byte, t *Trial) error {
	if err := unmarshal(line, t); err != nil {
		return err
	}
	if t.Number < 0 || t.Batch < 1 || !(t.LearningRate > 0) || !(t.Decay >= 0) {
		return fmt.Errorf("trial %d: rate %g, decay %g, batch %d is out of range", t.Number, t.LearningRate, t.Decay, t.Batch)
	}
	return nil
}

func unmarshal(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if dec.More() {
		return errors.New("more than one value")
	}
	return nil
}

// missing returns the numbers below n that are not there.
func (t *trials) missing(n int) (todo []int) {
	there := make(map[int]bool)
	for i := range t.before {
		there[t.before[i].Number] = true
	}
	for k := range n {
		if !there[k] {
			todo = append(todo, k)
		}
	}
	return todo
}

func (t *trials) add(trial Trial) error {
	t.all = append(t.all, trial)
	return t.line(trial)
}

func (t *trials) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = t.f.Write(append(b, '\n'))
	return err
}

// close may be called again.
func (t *trials) close() error {
	if err := t.f.Close(); !errors.Is(err, fs.ErrClosed) {
		return err
	}
	return nil
}
