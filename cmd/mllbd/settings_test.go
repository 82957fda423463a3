// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// FuzzSettings: whatever a configuration holds, what is read of it are values of
// flags, and an error names the file in one line.
func FuzzSettings(f *testing.F) {
	for _, text := range []string{"", "---\n", "# nothing\n", "mode: own\nexclude: [a, b]\n", "mode: {a: &x 1}\nmodel: *x\n", "a: b: c\n", "- 1\n", "? [a]\n: 1\n", "mode: own\nmode: own\n", "--- 1\n--- 2\n"} {
		f.Add(text)
	}
	var c cli
	parser, err := kong.New(&c, defaults)
	if err != nil {
		f.Fatal(err)
	}
	known := make(map[string]*kong.Flag)
	for _, command := range parser.Model.Children {
		for _, flag := range command.Flags {
			known[flag.Name] = flag
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseSettings("file", []byte(text), known)
		for name, s := range settings {
			if known[name] == nil || !strings.HasPrefix(s.from, "file:") {
				t.Errorf("%q: %+v", name, s)
			}
		}
		if err != nil && (!strings.HasPrefix(err.Error(), "file:") || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q", err)
		}
	})
}
