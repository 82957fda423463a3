// SPDX-License-Identifier: Apache-2.0

// Package load says how to run a workload once: a fixed amount of work, so
// that its wall time means something, and a check that all of it was done.
package load

import (
	"fmt"
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
}

// Options are how the workloads are to be run.
type Options struct {
	Threads int     // 0: each workload's own default
	Self    string  // the mllb binary, for the built-in workloads
	Parsec  string  // directory of a PARSEC 3.0 tree; "": none
	Input   string  // PARSEC's input size; "": native
	Scale   float64 // of the amount of work; 0 or 1: a few seconds on one socket
	Scratch string  // directory for inputs and outputs
}

// Missing is the error for a workload that this machine does not have.
type Missing struct {
	What string // is missing
	How  string // to get it
}

func (m *Missing) Error() string { return m.What + " is missing: " + m.How }

// Workload is one name that Resolve knows.
type Workload struct{ Name, Help string }

var workloads []struct {
	Workload
	resolve func(Options) (*Command, error)
}

// Workloads lists what Resolve knows, in the order of the documentation.
func Workloads() []Workload {
	var all []Workload
	for _, w := range workloads {
		all = append(all, w.Workload)
	}
	return all
}

// Names are those of Workloads.
func Names() []string {
	var names []string
	for _, w := range workloads {
		names = append(names, w.Name)
	}
	return names
}

// Resolve says how to run the named workload. The error is a *Missing where
// this machine does not have it.
func Resolve(name string, o Options) (*Command, error) {
	i := slices.Index(Names(), name)
	if i < 0 {
		return nil, fmt.Errorf("workload %q is not one of %s", name, strings.Join(Names(), ", "))
	}
	return workloads[i].resolve(o)
}
