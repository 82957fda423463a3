// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// setting is the value of a flag in a file, a string or, for a list, strings, as the
// command line would have them.
type setting struct {
	value any
	from  string // file and line
}

// parseSettings reads a file of lines `flag: value`, in YAML. known are the flags
// that it may have. With the first error it returns what it could read.
func parseSettings(path string, text []byte, known map[string]*kong.Flag) (map[string]setting, error) {
	var doc, second yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := in.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: more than one YAML document", path)
	}
	top := doc.Content[0]
	if isNull(top) {
		return nil, nil
	}
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: expected lines of the form \"flag: value\"", path, top.Line)
	}
	settings := make(map[string]setting)
	var first error
	for i := 0; i < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		from := fmt.Sprintf("%s:%d", path, key.Line)
		name, v, err := settingFor(known, settings, key.Value, value)
		if err == nil {
			settings[name] = setting{v, from}
		} else if first == nil {
			first = fmt.Errorf("%s: %w", from, err)
		}
	}
	return settings, first
}

// settingFor returns the value of a key that is a flag, by its name or an older one,
// and not set before.
func settingFor(known map[string]*kong.Flag, settings map[string]setting, key string, value *yaml.Node) (name string, v any, err error) {
	flag := known[key]
	for _, f := range known {
		if slices.Contains(f.Aliases, key) {
			flag = f
		}
	}
	if flag == nil {
		return "", nil, fmt.Errorf("unknown key %q%s", key, nearest(key, slices.Sorted(maps.Keys(known))))
	}
	if _, twice := settings[flag.Name]; twice {
		return "", nil, fmt.Errorf("%s is set twice", key)
	}
	if v, err = settingOf(value, flag.IsSlice()); err != nil {
		return "", nil, fmt.Errorf("%s: %w", key, err)
	}
	return flag.Name, v, nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

var errEmptyValue = errors.New("the value is empty")

// settingOf returns the value of a node. An empty one is refused, as it is on the
// command line.
func settingOf(n *yaml.Node, list bool) (any, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && (isNull(n) || n.Value == ""):
		return nil, errEmptyValue
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind != yaml.SequenceNode:
		return nil, errors.New("expected a value, not keys")
	case !list:
		return nil, errors.New("expected one value, not a list")
	}
	values := []string{}
	for _, each := range n.Content {
		v, err := settingOf(each, false)
		if err != nil {
			return nil, err
		}
		values = append(values, v.(string))
	}
	return values, nil
}

// nearest suggests the name that somebody may have meant, if one is near.
func nearest(word string, names []string) string {
	best, at := "", max(2, len(word)/3)+1
	for _, name := range names {
		if d := distance(word, name); d < at {
			best, at = name, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// distance is Levenshtein's: how many letters are to be changed, added or left out.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
