// SPDX-License-Identifier: Apache-2.0

package train

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"mllb/internal/namedfile"
)

// trialsSchema is the version of a file of trials: JSON lines, of which the
// first says what was tried on and each other is a Trial.
const trialsSchema = 1

// maxTrials bounds a file of trials, which is about 150 bytes a trial.
const maxTrials = 16 << 20

// header is what trials have in common. Trials of another are refused.
type header struct {
	Schema int `json:"sweep"`
	settings
}

// settings are what a training goes by.
type settings struct {
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

	Program string `json:"program,omitempty"` // of a shard, as is the next
	Shard   string `json:"shard,omitempty"`
}

func (c *Config) settings(src *Source) settings {
	return settings{Dataset: src.Digest, FeatureSet: src.Data.Set.Name, Rate: c.LearningRate, Decay: c.Decay, Batch: c.Batch, Hidden: c.Hidden,
		Epochs: c.Epochs, Patience: c.Patience, MinDelta: c.MinDelta, Validation: c.Validation, Weights: c.ClassWeights, Scale: c.Scale,
		Seed: c.Seed, Holdout: c.Holdout, Fraction: c.Fraction}
}

// trials is an open file of them.
type trials struct {
	f   *os.File
	all []Trial
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
	t.all = list
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
	if d := difference(got, want); d != "" {
		return fmt.Errorf("trials of other data or settings (%s): use another file", d)
	}
	return nil
}

// difference names the first setting, by name, that is not what it is here; "" if all are.
func difference(got, want any) string {
	read, here := fields(got), fields(want)
	all := maps.Clone(read)
	maps.Copy(all, here)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !bytes.Equal(read[name], here[name]) {
			return fmt.Sprintf("%s %s, here %s", name, printable(read[name]), printable(here[name]))
		}
	}
	return ""
}

func fields(v any) map[string]json.RawMessage {
	m := make(map[string]json.RawMessage)
	if b, err := json.Marshal(v); err != nil || json.Unmarshal(b, &m) != nil {
		panic("settings are no JSON object") // all of them were decoded, or flags
	}
	return m
}

func printable(value []byte) string {
	text := strconv.QuoteToASCII(cmp.Or(string(value), "none"))
	return strings.ReplaceAll(text[1:len(text)-1], `\"`, `"`)
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

// missing returns those of the numbers that are not there.
func (t *trials) missing(numbers []int) []int {
	there := numbersOf(t.all)
	return slices.DeleteFunc(numbers, func(k int) bool { return there[k] })
}

// learn adds those that are not there of trials made elsewhere.
func (t *trials) learn(known []Trial) error {
	there := numbersOf(t.all)
	for _, trial := range known {
		if !there[trial.Number] {
			if err := t.add(trial); err != nil {
				return err
			}
		}
	}
	return nil
}

func numbersOf(list []Trial) map[int]bool {
	numbers := make(map[int]bool)
	for i := range list {
		numbers[list[i].Number] = true
	}
	return numbers
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
