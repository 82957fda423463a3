// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestProgress holds the line and the time left against a clock that the test
// moves.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(1e9, 0)
	p := newProgress(&out, []step{{title: "one", expect: time.Minute}, {title: "two", expect: 2 * time.Minute}, {title: "three", expect: 4 * time.Minute}})
	p.now = func() time.Time { return at }
	last := func() string {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return lines[len(lines)-1]
	}
	for _, c := range []struct {
		do   func()
		want string
	}{
		{func() { p.begin(0) }, "step 1 of 3: one; about 7m0s left"},
		{func() { at = at.Add(30 * time.Second); p.tell(0.25, "run 1") }, "step 1 of 3: one: run 1; about 14m0s left"}, // half as fast as expected
		{func() { at = at.Add(time.Second); p.tell(0.5, "too soon") }, "step 1 of 3: one: run 1; about 14m0s left"},
		{func() { at = at.Add(89 * time.Second); p.end(false); p.begin(1) }, "step 2 of 3: two; about 12m0s left"},
		{func() { p.end(true); p.begin(2) }, "step 3 of 3: three; about 8m0s left"}, // its results were there
		{func() { at = at.Add(4 * time.Minute); p.tell(0.5, "half") }, "step 3 of 3: three: half; about 4m0s left"},
		{func() { p.say("a line") }, "mllb reproduce: a line"},
	} {
		if c.do(); !strings.HasSuffix(last(), c.want) {
			t.Errorf("%q, want %q", last(), c.want)
		}
	}
}

// TestProgressRedrawn never writes beyond the terminal's width.
func TestProgressRedrawn(t *testing.T) {
	var out bytes.Buffer
	p := newProgress(&out, []step{{title: strings.Repeat("long ", 40), expect: time.Minute}})
	p.redraw, p.width = true, func() int { return 20 }
	p.begin(0)
	if got := out.String(); got != "\rstep 1 of 1: long l\x1b[K" {
		t.Errorf("drew %q", got)
	}
}
