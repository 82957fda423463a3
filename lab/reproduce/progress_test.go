// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

// TestProgress holds the state against a clock that the test moves.
func TestProgress(t *testing.T) {
	var out bytes.Buffer
	at := time.Unix(1e9, 0)
	p := newProgress(&out, []step{{title: "one", expect: time.Minute}, {title: "two", expect: 2 * time.Minute}, {title: "three", expect: 4 * time.Minute}})
	p.now = func() time.Time { return at }
	for _, c := range []struct {
		do    func()
		share float64
		left  time.Duration
	}{
		{func() { p.begin(0) }, 0, 7 * time.Minute},
		{func() { at = at.Add(30 * time.Second); p.tell(0.25, "run 1") }, 0.25 / 7, 13*time.Minute + 30*time.Second}, // half as fast as expected
		{func() { at = at.Add(90 * time.Second); p.end(false); p.begin(1) }, 1.0 / 7, 12 * time.Minute},
		{func() { p.end(true); p.begin(2) }, 3.0 / 7, 8 * time.Minute}, // its results were there
		{func() { at = at.Add(4 * time.Minute); p.tell(0.5, "half") }, 5.0 / 7, 4 * time.Minute},
	} {
		c.do()
		if s := p.state(""); math.Abs(s.Share-c.share) > 1e-9 || s.Left.Round(10*time.Second) != c.left {
			t.Errorf("%.3f, %v left; want %.3f, %v", s.Share, s.Left, c.share, c.left)
		}
	}
	for _, want := range []string{"mllb reproduce: 0 %, about 7 min left; step 1 of 3: one\n", "about 12 min left; step 2 of 3: two\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %q", want, out.String())
		}
	}
}
