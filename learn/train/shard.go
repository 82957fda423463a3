// SPDX-License-Identifier: Apache-2.0

package train

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"mllb/internal/namedfile"
	"mllb/mlp"
)

// Shard is one of several shares of the folds of a cross-validation, or of the
// trials of a search: every Of-th one. Number counts from 1.
type Shard struct{ Number, Of int }

var whole = Shard{1, 1}

// UnmarshalText reads "2/3".
func (s *Shard) UnmarshalText(text []byte) error {
	number, of, _ := strings.Cut(string(text), "/")
	var err [2]error
	s.Number, err[0] = strconv.Atoi(number)
	s.Of, err[1] = strconv.Atoi(of)
	if err != [2]error{} || s.Number < 1 || s.Number > s.Of {
		return fmt.Errorf("%q: want I/N, with I from 1 to N, such as 2/3", text)
	}
	return nil
}

// String is the inverse of UnmarshalText.
func (s Shard) String() string { return fmt.Sprintf("%d/%d", s.Number, s.Of) }

// share returns which of n things, from 0, are the shard's.
func (s Shard) share(n int) (numbers []int) {
	for k := s.Number - 1; k < n; k += s.Of {
		numbers = append(numbers, k)
	}
	return numbers
}

// Share returns how many of n things are the shard's.
func (s Shard) Share(n int) int { return len(s.share(n)) }

// within has progress count the things of the shard alone.
func (s Shard) within(p Progress) Progress {
	p = p.synced()
	return func(job int, e mlp.Epoch, done bool) { p(job/s.Of, e, done) }
}

// Shards is a directory where each shard of a cross-validation or of a search
// leaves what it found, to be gathered once all are there.
type Shards struct {
	Dir     string
	Program string // that trains: another version may do it otherwise
}

// Names of the files.
const (
	foldsName  = "cv-%d-of-%d.json"
	trialsName = "sweep-%d-of-%d.jsonl"
)

// Folds is the file of a shard of a cross-validation.
func (s Shards) Folds(shard Shard) string { return s.file(foldsName, shard) }

// Trials is the file of a shard of a search.
func (s Shards) Trials(shard Shard) string { return s.file(trialsName, shard) }

func (s Shards) file(name string, shard Shard) string {
	return filepath.Join(s.Dir, fmt.Sprintf(name, shard.Number, shard.Of))
}

// there returns the shards whose files are there: all of them, or it is an error.
func (s Shards) there(name string) ([]Shard, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return nil, err
	}
	var found []Shard
	for _, e := range entries {
		var shard Shard
		fmt.Sscanf(e.Name(), name, &shard.Number, &shard.Of) // what is no such name is not made of these either
		if shard.Number >= 1 && shard.Number <= shard.Of && s.file(name, shard) == filepath.Join(s.Dir, e.Name()) {
			found = append(found, shard)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: there is no %s", s.Dir, strings.ReplaceAll(name, "%d", "*"))
	}
	slices.SortFunc(found, func(a, b Shard) int { return cmp.Or(a.Of-b.Of, a.Number-b.Number) })
	first, last := found[0], found[len(found)-1]
	if first.Of != last.Of {
		return nil, fmt.Errorf("%s: there are files of %d shards and of %d: remove those that are not meant", s.Dir, first.Of, last.Of)
	}
	var missing []string
	for i := range first.Of {
		if shard := (Shard{i + 1, first.Of}); !slices.Contains(found, shard) {
			missing = append(missing, shard.String())
		}
	}
	if missing != nil {
		return nil, fmt.Errorf("%s: shards are missing: %s", s.Dir, strings.Join(missing, ", "))
	}
	return found, nil
}

// part is the file of a shard of a cross-validation.
type part struct {
	settings
	Balanced bool      `json:"balanced"`
	Count    int       `json:"cv"` // folds of all shards
	Results  []*Result `json:"folds"`
}

func (s Shards) part(cfg *Config, src *Source, folds int, shard Shard) part {
	p := part{settings: cfg.settings(src), Balanced: cfg.Balanced, Count: folds}
	p.Program, p.Shard = s.program(), shard.String()
	return p
}

// program includes the kind of machine, by which rounding differs.
func (s Shards) program() string { return s.Program + " " + runtime.GOARCH }

// CrossValidate trains the folds of a shard, writes its file, and returns how many
// they are. They are those of CrossValidate of the same name.
func (s Shards) CrossValidate(ctx context.Context, cfg Config, src *Source, folds int, shard Shard, force bool, workers int, progress Progress) (int, error) {
	p := s.part(&cfg, src, folds, shard)
	var err error
	if p.Results, err = crossValidate(ctx, cfg, src, folds, shard.share(folds), workers, shard.within(progress)); err != nil {
		return 0, err
	}
	return len(p.Results), namedfile.WriteNew(ctx, s.Folds(shard), force, func(w io.Writer) error { return json.NewEncoder(w).Encode(&p) })
}

// GatherFolds returns what CrossValidate would, of the files of all shards, without
// the models.
func (s Shards) GatherFolds(cfg Config, src *Source, folds int) ([]*Result, error) {
	shards, err := s.there(foldsName)
	if err != nil {
		return nil, err
	}
	all := make([]*Result, folds)
	for _, shard := range shards {
		path := s.Folds(shard)
		results, err := readPart(path, s.part(&cfg, src, folds, shard))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		numbers := shard.share(folds)
		if len(results) != len(numbers) {
			return nil, fmt.Errorf("%s: %d folds, want %d", path, len(results), len(numbers))
		}
		for i, k := range numbers {
			if r := results[i]; r == nil || r.Seed != cfg.Seed+uint64(k) {
				return nil, fmt.Errorf("%s: number %d is not the fold of seed %d", path, i+1, cfg.Seed+uint64(k))
			}
			all[k] = results[i]
		}
	}
	return all, nil
}

func readPart(path string, want part) ([]*Result, error) {
	text, err := namedfile.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var got part
	if err := unmarshal(text, &got); err != nil {
		return nil, fmt.Errorf("not a shard of a cross-validation: %w", err)
	}
	results := got.Results
	got.Results = nil
	if d := difference(got, want); d != "" {
		return nil, fmt.Errorf("a shard of other data or settings: %s", d)
	}
	return results, nil
}

// Sweep makes the trials of a shard that are not in its file yet, and returns how
// many are there then. All shards together make those of Sweep of the same name.
func (s Shards) Sweep(ctx context.Context, cfg Config, src *Source, search Search, shard Shard, progress Progress) (int, error) {
	search.Path = s.Trials(shard)
	all, err := cfg.search(ctx, src, search, shard, s.program(), shard.within(progress))
	return len(all), err
}

// GatherTrials returns the trials of all shards, in order.
func (s Shards) GatherTrials(cfg Config, src *Source, trials int) ([]Trial, error) {
	shards, err := s.there(trialsName)
	if err != nil {
		return nil, err
	}
	_, head, err := cfg.searched(src)
	if err != nil {
		return nil, err
	}
	head.Program = s.program()
	var all []Trial
	for _, shard := range shards {
		head.Shard = shard.String()
		list, err := readTrials(s.Trials(shard), head)
		if err != nil {
			return nil, fmt.Errorf("trials %s: %w", s.Trials(shard), err)
		}
		there := numbersOf(list)
		for _, k := range shard.share(trials) {
			if !there[k] {
				return nil, fmt.Errorf("trials %s: trial %d is missing: go on with shard %s", s.Trials(shard), k, shard)
			}
		}
		all = append(all, list...)
	}
	slices.SortFunc(all, func(a, b Trial) int { return a.Number - b.Number })
	return all, nil
}

func readTrials(path string, head header) ([]Trial, error) {
	f, err := namedfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, _, err := parseTrials(f, head)
	return list, err
}
