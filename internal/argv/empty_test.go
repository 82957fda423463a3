// SPDX-License-Identifier: Apache-2.0

package argv

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// sample has a flag of each kind that the commands have.
type sample struct {
	Run struct {
		Text    string
		Default string `default:"set"`
		One     string `enum:"a,b" default:"a"`
		List    []string
		Whole   []string `sep:"none"`
		Number  int
		Share   float64
		Time    time.Duration
		Level   slog.Level `default:"info"`
		Pointer *string
		Yes     bool
		Maybe   *bool    `negatable:""`
		Note    string   `empty:""`
		Arg     string   `arg:"" optional:""`
		Rest    []string `arg:"" optional:""`
	} `cmd:""`
	Exec struct {
		Command []string `arg:"" passthrough:"partial"`
	} `cmd:""`
}

func parseFlags(t *testing.T, args ...string) (*sample, error) {
	t.Helper()
	var s sample
	p, err := kong.New(&s, kong.DefaultEnvars("SAMPLE"), NoneEmpty())
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Parse(args)
	return &s, err
}

func TestEmpty(t *testing.T) {
	for _, name := range []string{"text", "default", "one", "list", "whole", "number", "share", "time", "level", "pointer", "maybe", "yes"} {
		for _, args := range [][]string{{"run", "--" + name + "="}, {"run", "--" + name, ""}} {
			if len(args) == 3 && (name == "yes" || name == "maybe") {
				continue // there the empty word is an argument
			}
			if _, err := parseFlags(t, args...); err == nil || !strings.Contains(err.Error(), "--"+name) {
				t.Errorf("%q: %v", args, err)
			}
		}
		variable := "SAMPLE_" + strings.ToUpper(name)
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, "")
			if _, err := parseFlags(t, "run"); err == nil || !strings.Contains(err.Error(), variable) {
				t.Errorf("%v", err)
			}
			if _, err := parseFlags(t, "exec", "x"); err != nil {
				t.Errorf("a command without it: %v", err)
			}
		})
	}
	for _, args := range [][]string{{"run", ""}, {"run", "a", "b", ""}, {"run", "--list", "a,,b"}, {"run", "--list", ","}, {"run", "--list=a", "--list="}} {
		if _, err := parseFlags(t, args...); !errors.Is(err, errEmpty) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestTaken(t *testing.T) {
	s, err := parseFlags(t, "run", "--list", "a,b", "--list", "c", "--whole", "a,,b", "--yes", "--no-maybe", "--note=", "--text", " ", "--level=warn", "--pointer=p", "x", "y")
	if r := &s.Run; err != nil || strings.Join(r.List, "|") != "a|b|c" || strings.Join(r.Whole, "|") != "a,,b" || !r.Yes || *r.Maybe || r.Text != " " ||
		r.Default != "set" || r.Level != slog.LevelWarn || *r.Pointer != "p" || r.Arg != "x" || len(r.Rest) != 1 {
		t.Errorf("%+v, %v", s.Run, err)
	}
	if s, err = parseFlags(t, "exec", "printf", "", "--flag="); err != nil || len(s.Exec.Command) != 3 {
		t.Errorf("a command's own arguments: %q, %v", s.Exec.Command, err)
	}
}
