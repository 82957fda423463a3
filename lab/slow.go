// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Slow makes one guest CPU as slow as a share of a host CPU, until another of the
// same CPU follows.
type Slow struct {
	CPU     int
	Percent int           // of a host CPU, 1 to 100; 100: no limit
	After   time.Duration // the command's start; 0: from the guest's own start
}

// ParseSlow reads "CPU=PERCENT[@TIME]" for a guest of n CPUs, and puts what it
// read in the order of time.
func ParseSlow(words []string, n int) ([]Slow, error) {
	var all []Slow
	for _, word := range words {
		s, err := parseSlow(word, n)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		if slices.ContainsFunc(all, func(o Slow) bool { return o.CPU == s.CPU && o.After == s.After }) {
			return nil, fmt.Errorf("%q: CPU %d has another limit at that time", word, s.CPU)
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b Slow) int { return cmp.Compare(a.After, b.After) })
	return all, nil
}

func parseSlow(word string, n int) (s Slow, err error) {
	cpu, rest, ok := strings.Cut(word, "=")
	percent, at, timed := strings.Cut(rest, "@")
	if !ok {
		return s, fmt.Errorf("want CPU=PERCENT or CPU=PERCENT@TIME")
	}
	c, err := strconv.ParseUint(cpu, 10, 31)
	if err != nil || int(c) >= n {
		return s, fmt.Errorf("the guest has no CPU %q, only 0-%d", cpu, n-1)
	}
	p, err := strconv.ParseUint(percent, 10, 31)
	if err != nil || p < 1 || p > 100 {
		return s, fmt.Errorf("%q is not a percentage in 1..100", percent)
	}
	if timed {
		if s.After, err = time.ParseDuration(at); err != nil || s.After < 0 {
			return s, fmt.Errorf("%q is not a time such as 10s", at)
		}
	}
	s.CPU, s.Percent = int(c), int(p)
	return s, nil
}

// String is what ParseSlow reads.
func (s Slow) String() string {
	if s.After == 0 {
		return fmt.Sprintf("%d=%d", s.CPU, s.Percent)
	}
	return fmt.Sprintf("%d=%d@%v", s.CPU, s.Percent, s.After)
}

// limited are the CPUs that ever have a limit, each once.
func limited(all []Slow) []int {
	var cpus []int
	for _, s := range all {
		cpus = append(cpus, s.CPU)
	}
	slices.Sort(cpus)
	return slices.Compact(cpus)
}

// schedule sets the limits of a guest's CPUs when their time has come.
type schedule struct {
	left  []Slow // ascending by time
	set   func(cpu, percent int) error
	began time.Time
}

// start sets the limits that hold from the guest's own start.
func (s *schedule) start() error { return s.until(0) }

// begin is the start of the command.
func (s *schedule) begin() { s.began = time.Now() }

// due is when the next limit is to be set: never before the command has begun.
func (s *schedule) due() <-chan time.Time {
	if s == nil || s.began.IsZero() || len(s.left) == 0 {
		return nil
	}
	return time.After(time.Until(s.began.Add(s.left[0].After)))
}

// next sets all limits whose time has come.
func (s *schedule) next() error { return s.until(time.Since(s.began)) }

func (s *schedule) until(now time.Duration) error {
	for len(s.left) > 0 && s.left[0].After <= now {
		if err := s.set(s.left[0].CPU, s.left[0].Percent); err != nil {
			return err
		}
		s.left = s.left[1:]
	}
	return nil
}
