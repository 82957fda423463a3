// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"mllb/topology"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, 8, 24, 10, 0, 0, 0, time.UTC)

// machine is a state of a made-up host, as its mllbd would send it.
func machine(t testing.TB, desc string) State {
	t.Helper()
	topo, err := topology.Parse(desc)
	if err != nil {
		t.Fatal(err)
	}
	setup := &Setup{CPUs: Places(topo), Cut: 0.25}
	for k := range 17 {
		f := Feature{Name: fmt.Sprintf("feature_%d", k), Range: &[2]float64{0, 1}}
		if k%4 == 3 {
			f.Range = &[2]float64{-2, 117.5}
		}
		setup.Features = append(setup.Features, f)
	}
	st := State{
		Setup: setup, Sent: now, Read: now.Add(-100 * time.Millisecond), Interval: 100 * time.Millisecond,
		Mode: "own", Policy: "mlp (built-in)", Snapshots: "bpf", Enforcer: "affinity", Up: 63 * time.Second, Share: 0.0042,
		Rows: []Row{
			{Name: "threads", Text: "1,203  managed 96  held 12"}, {Name: "decisions", Text: "asked 40 (+3)  moved 12 (+1)"},
			{Name: "warning", Text: "no thread is managed", Warning: true},
		},
	}
	for i, p := range setup.CPUs {
		st.Queue = append(st.Queue, uint32([]int{1, 1, 0, 2, 1, 3, 1, 12}[i*5%8]))
		st.Speed = append(st.Speed, uint32(1024-i%3*300))
		setup.CPUs[i].LeftOut = p.CPU == 1 && len(setup.CPUs) > 2
	}
	for i := range 240 {
		st.Imbalance, st.Moves = append(st.Imbalance, int32(i*i%13-1)), append(st.Moves, int32(i%40/38*(i%5)))
	}
	for i := range 40 {
		d := Decision{
			Seq: uint64(i + 1), At: now.Add(time.Duration(i-40) * time.Second), TID: int32(4000 + i*i), TGID: 4000, Comm: "stress-ng-cpu",
			From: int32(i % 2), To: int32((i + 1) % 2), Level: "llc", Migrate: i%3 > 0, Network: true, Logit: float64(i%7) - 2.5, Rule: i%4 > 0,
			Gain: float64(i%5) / 4, FromQueue: 3, ToQueue: uint32(i % 2), Why: "stay",
		}
		for k := range setup.Features {
			d.Values = append(d.Values, float32(k*i%7))
		}
		switch {
		case i%9 == 5:
			d.Network, d.Logit, d.Outside = false, 0, []int{3, 9}
		case i%9 == 6:
			d.Active, d.Network, d.Moved = true, false, true
		}
		if d.Migrate {
			d.Moved, d.Why = true, "moved"
			d.After = &After{Seen: i%5 > 0, CPU: d.To, Share: float64(i%4) / 3, Undone: i%7 == 1}
		}
		st.Decisions = append(st.Decisions, d)
	}
	return st
}

// open is a screen that shows a state after some keys.
func open(st State, keys ...string) *Screen {
	s := &Screen{}
	s.Take(st)
	for _, k := range keys {
		s.Key(k)
	}
	return s
}

func golden(t *testing.T, file string, lines []string) {
	t.Helper()
	path, got := filepath.Join("testdata", file), strings.Join(lines, "\n")+"\n"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

// TestFrames holds whole frames: machines by sizes by what the terminal shows.
func TestFrames(t *testing.T) {
	for _, desc := range []string{"1x2x1", "2x14x2", "8x64x2"} {
		st := machine(t, desc)
		for _, size := range [][2]int{{80, 24}, {200, 60}} {
			for name, style := range map[string]Style{"txt": {Plain: true}, "colour": {}} {
				s := open(st, "down")
				s.Style = style
				golden(t, fmt.Sprintf("%d-%dx%d.%s", len(st.Queue), size[0], size[1], name), s.Frame(size[0], size[1], now))
			}
		}
	}
}

// TestScreens holds what keys and a state's age do, on 56 CPUs at 80x24.
func TestScreens(t *testing.T) {
	whole := machine(t, "2x14x2")
	for name, tt := range map[string]struct {
		keys  []string
		style Style
		later time.Duration
		edit  func(*State)
		link  string
	}{
		"why":          {keys: []string{"down", "down", "enter"}, style: Style{Plain: true}},
		"why-outside":  {keys: []string{"/", "r", "u", "l", "e", "enter", "pgdown", "enter"}, style: Style{Mono: true}, edit: func(st *State) { st.Decisions = st.Decisions[30:34] }},
		"filter":       {keys: []string{"/", "u", "n", "d", "o", "n", "x", "backspace"}, style: Style{Plain: true}},
		"filtered":     {keys: []string{"/", "u", "n", "d", "o", "n", "e", "enter", "s"}, style: Style{Plain: true}},
		"closest":      {keys: []string{"s"}, style: Style{Plain: true}},
		"gain":         {keys: []string{"s", "s"}, style: Style{Plain: true}},
		"thread":       {keys: []string{"s", "s", "s", "pgdown", "pgdown"}, style: Style{Plain: true}},
		"help":         {keys: []string{"h"}, style: Style{Plain: true}},
		"paused":       {keys: []string{"p"}, style: Style{Mono: true}},
		"stale":        {later: 3 * time.Second},
		"throttled":    {edit: func(st *State) { st.Throttled = true }},
		"ended":        {link: "mllbd HAS ENDED"},
		"ascii":        {style: Style{Plain: true, ASCII: true}},
		"no-speeds":    {style: Style{Plain: true}, edit: func(st *State) { st.Speed = nil }},
		"no-decisions": {keys: []string{"enter", "down", "enter"}, style: Style{Plain: true}, edit: func(st *State) { st.Decisions = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			st := whole
			if tt.edit != nil {
				tt.edit(&st)
			}
			s := open(st, tt.keys...)
			s.Style, s.Link = tt.style, tt.link
			golden(t, name+".txt", s.Frame(80, 24, now.Add(tt.later)))
		})
	}
}

// TestNothingYet: a screen without a state says what it waits for.
func TestNothingYet(t *testing.T) {
	var s Screen
	if text := strings.Join(s.Frame(80, 24, now), "\n"); !strings.Contains(text, "waiting for its first tick") {
		t.Errorf("%q", text)
	}
	if s.Key("enter"); s.Key("q") != true {
		t.Error("q does not end it")
	}
}

// TestPause: a paused screen stays as it is, and shows all that came once it goes on.
func TestPause(t *testing.T) {
	st := machine(t, "1x2x1")
	all := st.Decisions
	st.Decisions = all[:10]
	s := open(st, "p")
	before := s.Frame(80, 24, now)
	for i := 10; i < len(all); i++ {
		next := st
		next.Setup, next.Decisions, next.Mode = nil, all[i:i+1], "assist"
		s.Take(next)
	}
	if diff := cmp.Diff(before, s.Frame(80, 24, now)); diff != "" {
		t.Errorf("while paused:\n%s", diff)
	}
	s.Key("p")
	want := &Screen{}
	st.Decisions, st.Mode = all, "assist"
	want.Take(st)
	if diff := cmp.Diff(want.Frame(80, 24, now), s.Frame(80, 24, now)); diff != "" {
		t.Errorf("afterwards:\n%s", diff)
	}
}

// TestTake: what becomes of a decision replaces it, and old ones go.
func TestTake(t *testing.T) {
	var s Screen
	st := machine(t, "1x2x1")
	s.Take(st)
	st.Setup = nil
	for seq := range uint64(maxDecisions) {
		st.Decisions = []Decision{{Seq: seq + 30, Why: "new"}}
		s.Take(st)
	}
	if n, first := len(s.decisions), s.decisions[0]; n != maxDecisions || first.Seq != 30 || first.Why != "new" {
		t.Errorf("%d decisions, the first %+v", n, first)
	}
}

// TestFits: whatever the size, the machine and the text, a frame is as high as the
// terminal and no wider, and nothing in it does anything to a terminal but colour it.
func TestFits(t *testing.T) {
	machines := []State{machine(t, "1x2x1"), machine(t, "2x14x2"), machine(t, "8x64x2"), machine(t, "4x8x4x2")}
	keys := []string{"down", "up", "pgdown", "enter", "h", "s", "p", "/", "e", "esc", "space"}
	rapid.Check(t, func(t *rapid.T) {
		st := machines[rapid.IntRange(0, len(machines)-1).Draw(t, "machine")]
		hostile := string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")) + rapid.String().Draw(t, "text") + "\x1b[2J\u202e漢"
		st.Policy, st.Rows = hostile, append(st.Rows, Row{Name: hostile, Text: hostile}, Row{hostile, hostile, true})
		st.Decisions = append(st.Decisions[:30:30], Decision{Seq: 100, Comm: hostile, Why: hostile, Level: hostile})
		s := open(st, rapid.SliceOf(rapid.SampledFrom(keys)).Draw(t, "keys")...)
		s.Link = hostile
		width, height := rapid.IntRange(1, 250).Draw(t, "width"), rapid.IntRange(1, 80).Draw(t, "height")
		coloured := s.Frame(width, height, now)
		s.Style.Plain = true
		lines := s.Frame(width, height, now)
		if len(lines) != height {
			t.Fatalf("%d lines, want %d", len(lines), height)
		}
		for i, line := range lines {
			if n := utf8.RuneCountInString(line); n > width {
				t.Fatalf("%d columns of %d: %q", n, width, line)
			}
			if strings.ContainsFunc(line, func(r rune) bool { return r != harmless(r) }) {
				t.Fatalf("not harmless: %q", line)
			}
			if got := strings.TrimRight(uncoloured(coloured[i]), " "); got != line {
				t.Fatalf("with colours %q, without %q", got, line)
			}
		}
	})
}

// uncoloured removes what sets colours and attributes.
func uncoloured(line string) string {
	var b strings.Builder
	for {
		before, sgr, found := strings.Cut(line, "\x1b[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		_, line, _ = strings.Cut(strings.TrimLeft(sgr, "0123456789;"), "m")
	}
}

// TestColours: NO_COLOR leaves attributes, which are no colours.
func TestColours(t *testing.T) {
	for i, want := range map[Ink]string{0: "\x1b[m", red | bold: "\x1b[0;1;31m", reverse: "\x1b[0;7m", grey: "\x1b[0;90m"} {
		if got := string(i.appendSGR(nil)); got != want {
			t.Errorf("%#x is %q, want %q", i, got, want)
		}
	}
	for name, tt := range map[string]struct {
		env  map[string]string
		want Style
	}{
		"all":       {map[string]string{"LANG": "de_DE.UTF-8", "TERM": "xterm"}, Style{}},
		"no colour": {map[string]string{"LC_ALL": "C.utf8", "NO_COLOR": "1"}, Style{Mono: true}},
		"C":         {map[string]string{"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, Style{ASCII: true}},
		"console":   {map[string]string{"LC_CTYPE": "C.UTF-8", "TERM": "linux"}, Style{ASCII: true}},
	} {
		if got := StyleOf(func(name string) string { return tt.env[name] }); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// TestJSON: a state is the same after it was sent.
func TestJSON(t *testing.T) {
	want := machine(t, "2x14x2")
	line, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got State
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sent +received):\n%s", diff)
	}
}

func BenchmarkFrame1024(b *testing.B) {
	s := open(machine(b, "8x64x2"))
	b.ReportAllocs()
	for b.Loop() {
		s.Frame(200, 60, now)
	}
}

func BenchmarkState1024(b *testing.B) {
	st := machine(b, "8x64x2")
	st.Setup, st.Decisions = nil, st.Decisions[:4]
	line, err := json.Marshal(st)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(line)), "bytes")
	for b.Loop() {
		var got State
		if err := json.Unmarshal(line, &got); err != nil {
			b.Fatal(err)
		}
	}
}
