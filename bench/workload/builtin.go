// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"fmt"
	"strconv"

	"mllb/bench/workload/fixed"
	"mllb/fibo"
)

// builtin is a load of package fixed, and how much of it there is by default.
type builtin struct {
	kind    fixed.Kind
	threads func(cpus int) int
	work    int
}

// builtins take two or three seconds where the CPUs have nothing else to do.
// More threads than CPUs, and not a multiple: there is something to balance.
func builtins() []builtin {
	half := func(cpus int) int { return cpus + (cpus+1)/2 }
	defaults := map[string]builtin{
		"spin":     {threads: half, work: 1500},
		"wakers":   {threads: func(cpus int) int { return 3 * cpus }, work: 800},
		"numa":     {threads: half, work: 1000},
		"even":     {threads: half, work: 1500},
		"uneven":   {threads: half, work: 1500},
		"pipeline": {threads: func(cpus int) int { return 3*cpus + 2 }, work: 700},
	}
	var list []builtin
	for _, k := range fixed.Kinds() {
		b := defaults[k.Name]
		b.kind = k
		list = append(list, b)
	}
	return list
}

func (b builtin) command(o Options) (*Command, error) {
	s := fixed.Spec{Kind: b.kind.Name, Threads: o.Threads, Work: o.scaled(b.work), Seed: 1}
	if s.Threads == 0 {
		s.Threads = max(b.kind.Threads, b.threads(o.cpus()))
	}
	want, err := fixed.Want(s)
	if err != nil {
		return nil, err
	}
	return &Command{
		Name: s.Kind, Threads: s.Threads,
		Argv: []string{o.Self, "workload", s.Kind, "--threads", strconv.Itoa(s.Threads), "--work", strconv.Itoa(s.Work), "--seed", strconv.FormatUint(s.Seed, 10)},
		// Go's runtime must not signal a busy thread every 10 ms.
		Env:   []string{"GODEBUG=asyncpreemptoff=1"},
		Check: exactly(s.Line(want)),
	}, nil
}

// What fibo computes: 3,193 threads, so many times that it takes some seconds.
const (
	fiboN     = 16
	fiboTimes = 25
)

// fiboCommand has no threads to choose: their number follows from N.
func fiboCommand(o Options) (*Command, error) {
	r := fibo.Result{N: fiboN, Value: fibo.Value(fiboN), Threads: fibo.Threads(fiboN), Times: o.scaled(fiboTimes)}
	return &Command{
		Name: "fibo", Threads: r.Threads,
		Argv:  []string{o.Self, "workload", "fibo", "--work", strconv.Itoa(r.Times)},
		Check: exactly(r.String()),
	}, nil
}

// exactly wants the one line that a built-in load prints when it is done.
func exactly(want string) func([]byte) error {
	return func(stdout []byte) error {
		if got := string(bytes.TrimSpace(stdout)); got != want {
			return fmt.Errorf("it printed %.200q, want %q", got, want)
		}
		return nil
	}
}
