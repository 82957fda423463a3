// SPDX-License-Identifier: Apache-2.0

// Package workload says how to run a workload once: a fixed amount of work, so
// that its wall time means something, and a check that all of it was done.
package workload

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
)

// Command is one run of a workload.
type Command struct {
	Name    string
	Argv    []string
	Env     []string // beside those of this process, "KEY=value"
	Dir     string   // where it runs; "": here
	Threads int      // that it works with, all told; 0: not known
	// Check reads what the run wrote to stdout, and says what it did not do or
	// did wrong. Nil: the exit status is all there is to go by.
	Check func(stdout []byte) error
	// Clean removes what a run leaves behind. Nil: nothing.
	Clean func() error
	// Score reads the run's own figure, in Unit and the less the better, off its
	// stdout. Nil: wall time is the figure. Where it is not nil the run takes the
	// same time however it is scheduled, and its wall time says nothing.
	Score func(stdout []byte) (float64, error)
	Unit  string
}

// Options are how the workloads are to be run.
type Options struct {
	Threads int     // 0: each workload's own default
	Self    string  // the mllb binary, for the built-in workloads
	Parsec  string  // directory of a PARSEC 3.0 tree; "": none
	Input   string  // PARSEC's input size; "": native
	Scale   float64 // of the amount of work; 0 or 1: a few seconds on one socket
	Scratch string  // directory for inputs and outputs
	CPUs    int     // of which shares are taken; 0: those this process may use
}

func (o Options) cpus() int {
	if o.CPUs == 0 {
		return runtime.NumCPU()
	}
	return o.CPUs
}

// scaled is an amount of work, at least 1.
func (o Options) scaled(n int) int {
	if o.Scale == 0 {
		return n
	}
	return max(1, int(math.Round(float64(n)*o.Scale)))
}

func (o Options) validate() error {
	switch {
	case !(o.Scale >= 0 && o.Scale <= 1e6):
		return fmt.Errorf("scale %v is not in 0..1e6", o.Scale)
	case o.Threads < 0 || o.Threads > 10_000:
		return fmt.Errorf("--threads %d is not in 0..10000", o.Threads)
	}
	return nil
}

// Missing is the error for a workload that this machine does not have.
type Missing struct {
	What string // is missing
	How  string // to get it
}

func (m *Missing) Error() string { return m.What + " is missing: " + m.How }

// Workload is one name that Resolve knows.
type Workload struct{ Name, Help string }

type known struct {
	Workload
	resolve func(Options) (*Command, error)
}

// all lists the workloads in the order of the documentation.
func all() []known {
	var list []known
	add := func(name, help string, resolve func(Options) (*Command, error)) {
		list = append(list, known{Workload{name, help}, resolve})
	}
	add("fibo", "the paper's thread storm: each call of fib(N) spawns two threads and joins them", fiboCommand)
	for _, k := range builtins() {
		add(k.kind.Name, k.kind.Help, k.command)
	}
	for _, p := range programs {
		add(p.name, "PARSEC 3.0, from --parsec: "+p.help, p.command)
	}
	add("stress-ng", "its cpu stressors, a fixed number of operations", stressNG)
	add("hackbench", "groups of threads that message each other; hackbench or perf bench", hackbench)
	add("schbench", "request latency, 99th percentile; runs for a fixed time", schbench)
	return list
}

// Workloads lists what Resolve knows.
func Workloads() []Workload {
	var list []Workload
	for _, w := range all() {
		list = append(list, w.Workload)
	}
	return append(list, Workload{"cmd:COMMAND", "a command of your own, run by sh"}, Workload{"NAME@P%", "NAME with as many threads as P percent of the CPUs: even@50%"}, Workload{"NAME*K", "K runs of NAME in a row, timed as one"})
}

// Names are those that Resolve knows, less those that take an argument.
func Names() []string {
	var names []string
	for _, w := range all() {
		names = append(names, w.Name)
	}
	return names
}

// Resolve says how to run the named workload. The error is a *Missing where
// this machine does not have it.
func Resolve(name string, o Options) (*Command, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("workload %s: %w", name, err)
	}
	if line, ok := strings.CutPrefix(name, "cmd:"); ok {
		if strings.TrimSpace(line) == "" {
			return nil, fmt.Errorf("workload %q: cmd: needs a command", name)
		}
		return &Command{Name: name, Argv: []string{"/bin/sh", "-c", line}}, nil
	}
	if one, k, ok := strings.Cut(name, "*"); ok {
		return times(name, one, k, o)
	}
	if one, percent, ok := strings.Cut(name, "@"); ok {
		return share(name, one, percent, o)
	}
	list := all()
	i := slices.IndexFunc(list, func(w known) bool { return w.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("workload %q is not one of %s, cmd:COMMAND", name, strings.Join(Names(), ", "))
	}
	c, err := list[i].resolve(o)
	if err != nil {
		return nil, fmt.Errorf("workload %s: %w", name, err)
	}
	return c, nil
}
