// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mllb/internal/namedfile"
)

// saved is the file of a step's result.
type saved struct {
	Step    string          `json:"step"`
	Key     json.RawMessage `json:"key"`     // all that the result depends on
	Version string          `json:"version"` // of the program that made it
	Ended   time.Time       `json:"ended"`
	Seconds float64         `json:"seconds"`
	Result  json.RawMessage `json:"result"`
}

// hashed is short for a key, and fit for a file.
func hashed(key []byte) string { return fmt.Sprintf("%.5x", sha256.Sum256(key)) }

// once returns the result of a step: from its file, if there is one of the same
// key, else from run, and makes the file. usable may refuse what is there, such
// as a list of files that are gone; nil takes all.
func once[T any](s *session, name string, key any, usable func(T) bool, run func() (T, error)) (result T, err error) {
	k, err := json.Marshal(key)
	if err != nil {
		return result, err
	}
	path := filepath.Join(s.cfg.Dir, "results", name+"-"+hashed(k)+".json")
	old, err := load(path, k)
	if err == nil && old != nil {
		if result, err = decode[T](old.Result); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	if err != nil {
		return result, fmt.Errorf("%w (remove it to repeat the step)", err)
	}
	if old != nil && (usable == nil || usable(result)) {
		s.times = append(s.times, took{name, old.Seconds, old.Ended, old.Version, true})
		return result, nil
	}
	start := time.Now()
	if result, err = run(); err != nil {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	now := saved{Step: name, Key: k, Version: s.cfg.Version, Ended: time.Now().UTC().Truncate(time.Second), Seconds: time.Since(start).Seconds()}
	s.times = append(s.times, took{name, now.Seconds, now.Ended, now.Version, false})
	if now.Result, err = json.Marshal(result); err != nil {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	// What later steps see, and take for their keys, is what the next call will read.
	if result, err = decode[T](now.Result); err != nil {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	b, err := json.MarshalIndent(now, "", " ")
	if err != nil {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	return result, writeFile(context.Background(), path, b)
}

// load reads a result; nil says that there is none.
func load(path string, key []byte) (*saved, error) {
	b, err := namedfile.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var old saved
	if err := json.Unmarshal(b, &old); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if was, err := compact(old.Key); err != nil || !bytes.Equal(was, key) {
		return nil, fmt.Errorf("%s: made with different parameters: %s", path, old.Key)
	}
	return &old, nil
}

// decode reads a result, whatever its spaces.
func decode[T any](text json.RawMessage) (result T, err error) {
	b, err := compact(text)
	if err == nil {
		err = json.Unmarshal(b, &result)
	}
	if err != nil {
		return result, fmt.Errorf("result: %w", err)
	}
	return result, nil
}

func compact(text []byte) ([]byte, error) {
	var b bytes.Buffer
	err := json.Compact(&b, text)
	return b.Bytes(), err
}

// writeFile writes a file of results, in a directory made if need be.
func writeFile(ctx context.Context, path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return namedfile.Write(ctx, path, data)
}
