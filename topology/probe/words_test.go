// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"bytes"
	"context"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/*.txt")

// TestWords holds what is said and drawn of simulated machines.
func TestWords(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func() *simulated
	}{
		{"nothing", func() *simulated { return machine("1x2x2") }},
		{"stacked", func() *simulated { return flat(4).stack(every(4, 2, 1)...).tell("1x4x1") }},
		{"stacked-told", func() *simulated { return flat(4).stack(every(4, 2, 1)...).tell("1x2x2") }},
		{"three-on-one", func() *simulated { return flat(6).stack([]int{0, 2, 4}).tell("1x6x1") }},
		{"siblings", func() *simulated { return flat(12).siblings(every(12, 2, 6)...).tell("1x12x1") }},
		{"not-siblings", func() *simulated { return flat(4).tell("1x2x2") }},
		{"caches", func() *simulated { return machine("2x2x2x1").tell("1x8x1") }},
		{"two-nodes", func() *simulated { return machine("2x2x2") }},
		{"slow", func() *simulated {
			s := flat(4).tell("1x4x1")
			s.speed[2] = 0.5
			return s
		}},
		{"disturbed", func() *simulated {
			s := flat(4).tell("1x4x1")
			s.busy = 1
			return s
		}},
		{"large", func() *simulated { return machine("2x16x8x2") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := tt.make()
			s.noise = 0 // what is printed is to be the same with other seeds
			p, err := Run(context.Background(), s, Options{Told: s.told})
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			b.WriteString(strings.Join(p.Words(s.told), "\n") + "\n\n")
			if err := p.Draw(&b, 80, false); err != nil {
				t.Fatal(err)
			}
			b.WriteString("\n" + p.Over(s.told).String() + "\n")
			file := "testdata/" + tt.name + ".txt"
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), b.String()); diff != "" {
				t.Errorf("-%s +got:\n%s", file, diff)
			}
		})
	}
}

// TestDrawColour: colours change nothing but colours, and no line is too wide.
func TestDrawColour(t *testing.T) {
	s := machine("2x14x2")
	p, err := Run(context.Background(), s, Options{Told: s.told})
	if err != nil {
		t.Fatal(err)
	}
	var plain, colours bytes.Buffer
	if p.Draw(&plain, 60, false) != nil || p.Draw(&colours, 60, true) != nil {
		t.Fatal("not drawn")
	}
	text := colours.String()
	text = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")
	if text == colours.String() || text != plain.String() {
		t.Errorf("with colours:\n%s\nwithout:\n%s", text, plain.String())
	}
	for line := range strings.Lines(strings.SplitN(plain.String(), "share", 2)[0]) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 60 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
