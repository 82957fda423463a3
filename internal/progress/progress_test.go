// SPDX-License-Identifier: Apache-2.0

package progress

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is a writer that may be read while it is written.
type screen struct {
	mu sync.Mutex
	bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.String()
}

// Without a terminal there is a line now and then, with the time left by the pace since
// the first state.
func TestPlain(t *testing.T) {
	var out screen
	d := newDisplay(&out, "mllb test", false)
	at := time.Unix(1e9, 0)
	d.now = func() time.Time { return at }
	d.Step(State{Share: 0.5, Doing: "begin"})
	for _, s := range []State{{Share: 0.51}, {Share: 0.6, Doing: "go on"}, {Share: 0.6, Left: 2 * time.Hour, AtMost: true}} {
		at = at.Add(10 * time.Second)
		d.Set(s)
	}
	at = at.Add(20 * time.Second)
	d.Set(State{Share: 0.7, Left: 2 * time.Hour, AtMost: true})
	d.Say("a %s", "word")
	d.End()
	want := "mllb test: 50 %; begin\nmllb test: 60 %, about 80 s left; go on\nmllb test: 70 %, at most 2h00m left\nmllb test: a word\n"
	if got := strings.ReplaceAll(out.String(), "about 1 min", "about 80 s"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// On a terminal there is a bar with a table above it, lines stay, and nothing is wider than the screen.
func TestTerminal(t *testing.T) {
	var out screen
	d := newDisplay(&out, "mllb test", true)
	d.Table([]string{"workload  arm", "spin  " + strings.Repeat("x", 300)})
	d.Set(State{Share: 0.25, Left: 5 * time.Minute, Doing: "round\x1b[2J 1"})
	wait := func(want string) {
		for range 100 {
			if strings.Contains(out.String(), want) {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("%q is not drawn in %q", want, out.String())
	}
	wait("[######..................] 25 %, about 5 min left; round?[2J 1\n")
	d.Set(State{Share: 1})
	wait("100 %")
	d.Say("a line")
	wait("mllb test: a line\n")
	d.End()
	for _, line := range strings.Split(out.String(), "\n") {
		if len(line) > 110 {
			t.Errorf("too wide: %q", line)
		}
	}
}

// A terminal that takes nothing stops neither the work nor its end.
func TestTerminalStopped(t *testing.T) {
	d := newDisplay(stopped{}, "mllb test", true)
	began := time.Now()
	for i := range 1000 {
		d.Set(State{Share: float64(i) / 1000})
		time.Sleep(time.Millisecond / 2)
	}
	d.End()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

type stopped struct{}

func (stopped) Write([]byte) (int, error) { select {} }
