// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseSlow(t *testing.T) {
	for _, tt := range []struct {
		words string
		want  []Slow
		err   string
	}{
		{words: "0=50", want: []Slow{{0, 50, 0}}},
		{words: "3=1 0=100", want: []Slow{{3, 1, 0}, {0, 100, 0}}},
		{words: "0=100@30s 1=25 0=50@10s", want: []Slow{{1, 25, 0}, {0, 50, 10 * time.Second}, {0, 100, 30 * time.Second}}},
		{words: "0=50@1m30s", want: []Slow{{0, 50, 90 * time.Second}}},
		{words: "0", err: `"0": want CPU=PERCENT or CPU=PERCENT@TIME`},
		{words: "4=50", err: `"4=50": the guest has no CPU "4", only 0-3`},
		{words: "-1=50", err: `the guest has no CPU "-1", only 0-3`},
		{words: "x=50", err: `the guest has no CPU "x", only 0-3`},
		{words: "0=0", err: `"0" is not a percentage in 1..100`},
		{words: "0=101", err: `"101" is not a percentage in 1..100`},
		{words: "0=50%", err: `"50%" is not a percentage in 1..100`},
		{words: "0=50@", err: `"" is not a time such as 10s`},
		{words: "0=50@10", err: `"10" is not a time such as 10s`},
		{words: "0=50@-1s", err: `"-1s" is not a time such as 10s`},
		{words: "0=50@1s 1=50@1s 0=60@1000ms", err: `"0=60@1000ms": CPU 0 has another limit at that time`},
	} {
		got, err := ParseSlow(strings.Fields(tt.words), 4)
		if diff := cmp.Diff(tt.want, got); tt.err == "" && (err != nil || diff != "") {
			t.Errorf("%q: %v (-want +got):\n%s", tt.words, err, diff)
		}
		if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
			t.Errorf("%q: %v, want %q", tt.words, err, tt.err)
		}
	}
}

func FuzzParseSlow(f *testing.F) {
	for _, s := range []string{"0=50", "3=100@10s", "1=1@1h2m3s", "=@", "0=50@1ns"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, word string) {
		got, err := ParseSlow([]string{word}, 4)
		if err != nil {
			return
		}
		s := got[0]
		if s.CPU < 0 || s.CPU > 3 || s.Percent < 1 || s.Percent > 100 || s.After < 0 {
			t.Errorf("%q: %+v", word, s)
		}
		if again, err := ParseSlow([]string{s.String()}, 4); err != nil || again[0] != s {
			t.Errorf("%q: %+v prints as %s, which is %+v, %v", word, s, s, again, err)
		}
	})
}

func TestSchedule(t *testing.T) {
	limits, err := ParseSlow([]string{"0=50", "1=25", "0=100@30s", "2=50@10s", "1=30@10s"}, 4)
	if err != nil {
		t.Fatal(err)
	}
	var set []string
	s := &schedule{left: limits, set: func(cpu, percent int) error {
		set = append(set, fmt.Sprint(cpu, "=", percent))
		return nil
	}}
	var none *schedule
	if s.due() != nil || none.due() != nil {
		t.Error("limits are due before the command has begun")
	}
	for _, tt := range []struct {
		now  time.Duration
		want string
	}{
		{0, "0=50 1=25"}, {10*time.Second - 1, ""}, {10 * time.Second, "2=50 1=30"}, {time.Minute, "0=100"}, {time.Hour, ""},
	} {
		set = nil
		if err := s.until(tt.now); err != nil || strings.Join(set, " ") != tt.want {
			t.Errorf("at %v: %q, %v; want %q", tt.now, set, err, tt.want)
		}
	}
	if s.begin(); s.due() != nil {
		t.Error("something is due when all is done")
	}
	fails := errors.New("no")
	s = &schedule{left: limits, set: func(int, int) error { return fails }}
	if err := s.start(); !errors.Is(err, fails) {
		t.Errorf("a limit that cannot be set: %v", err)
	}
	if diff := cmp.Diff([]int{0, 1, 2}, limited(limits)); diff != "" {
		t.Errorf("limited CPUs (-want +got):\n%s", diff)
	}
}
