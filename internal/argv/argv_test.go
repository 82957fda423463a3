// SPDX-License-Identifier: Apache-2.0

package argv

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

type line struct {
	File    string   `help:"."`
	Maybe   *string  `help:"."`
	List    []string `help:"."`
	Each    []string `sep:"none" help:"."`
	Command []string `arg:"" optional:"" passthrough:"partial"`
}

func parse(t interface{ Fatal(...any) }, args ...string) (l line) {
	parser, err := kong.New(&l, Options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestBytes gives arguments of any bytes in all places where one may stand.
func TestBytes(t *testing.T) {
	arg := rapid.Custom(func(t *rapid.T) string {
		return strings.ReplaceAll(string(rapid.SliceOf(rapid.Byte()).Draw(t, "arg")), "\x00", "-")
	})
	rapid.Check(t, func(t *rapid.T) {
		file, maybe, each, command := arg.Draw(t, "file"), arg.Draw(t, "maybe"), arg.Draw(t, "each"), rapid.SliceOfN(arg, 1, 5).Draw(t, "command")
		got := parse(t, append([]string{"--file=" + file, "--maybe=" + maybe, "--each=" + each, "--"}, command...)...)
		want := line{File: file, Maybe: &maybe, Each: []string{each}, Command: append([]string{"--"}, command...)}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// TestLists wants kong's own lists, and their bytes.
func TestLists(t *testing.T) {
	for value, want := range map[string][]string{
		"a":            {"a"},
		"a,b":          {"a", "b"},
		`a\,b,c`:       {"a,b", "c"},
		`a\b,\`:        {`a\b`, `\`},
		`a\\,b`:        {`a\\`, "b"},
		",a,":          {"", "a"},
		"":             nil,
		"caf\xe9,\xff": {"caf\xe9", "\xff"},
	} {
		if utf8.ValidString(value) {
			if diff := cmp.Diff(want, kong.SplitEscaped(value, ',')); diff != "" {
				t.Errorf("kong has %q otherwise:\n%s", value, diff)
			}
		}
		if diff := cmp.Diff(want, parse(t, "--list="+value).List, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", value, diff)
		}
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, parse(t, "--list=a,b", "--list", "c").List); diff != "" {
		t.Errorf("repeated (-want +got):\n%s", diff)
	}
	if got := parse(t, "sh", "-c", "--list", "\xff").Command; !cmp.Equal(got, []string{"sh", "-c", "--list", "\xff"}) {
		t.Errorf("without --: %q", got)
	}
}
