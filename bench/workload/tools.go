// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
)

// stressOps are what one CPU does in about two seconds.
const stressOps = 2500

// stressNG runs the cpu stressors of stress-ng, an equal number of operations
// each (man stress-ng: --cpu-ops counts over all of them).
func stressNG(o Options) (*Command, error) {
	path, err := exec.LookPath("stress-ng")
	if err != nil {
		return nil, &Missing{"stress-ng", "install the package stress-ng"}
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.NumCPU() + (runtime.NumCPU()+1)/2
	}
	ops := threads * o.scaled(stressOps)
	return &Command{
		Name: "stress-ng", Threads: threads, Check: stressDone(ops, threads), Dir: o.Scratch,
		Argv: []string{path, "--cpu", strconv.Itoa(threads), "--cpu-ops", strconv.Itoa(ops), "--metrics-brief", "--stdout"},
	}, nil
}

var stressLine = regexp.MustCompile(`(?m)\] cpu +([0-9]+) `)

// stressDone wants all operations, and at most ten more of each thread, which
// looks at its count only now and then.
func stressDone(ops, threads int) func([]byte) error {
	return func(stdout []byte) error {
		m := stressLine.FindSubmatch(stdout)
		if m == nil {
			return errors.New("it printed no count of cpu operations")
		}
		if n, err := strconv.Atoi(string(m[1])); err != nil || n < ops || n > ops+10*threads {
			return fmt.Errorf("it did %s operations, want %d", m[1], ops)
		}
		return nil
	}
}

// A group of hackbench is 20 senders and 20 receivers; each sender sends so
// many messages to each.
const (
	groupThreads = 40
	hackLoops    = 4000
)

func hackbench(o Options) (*Command, error) {
	threads := o.Threads
	if threads == 0 {
		threads = groupThreads / 2 * runtime.NumCPU()
	}
	groups := max(1, threads/groupThreads)
	g, loops := strconv.Itoa(groups), strconv.Itoa(o.scaled(hackLoops))
	c := &Command{Name: "hackbench", Threads: groups * groupThreads, Check: timed}
	if path, err := exec.LookPath("hackbench"); err == nil {
		c.Argv = []string{path, "-T", "-g", g, "-l", loops}
	} else if path, err := exec.LookPath("perf"); err == nil {
		c.Argv = []string{path, "bench", "sched", "messaging", "-t", "-g", g, "-l", loops}
	} else {
		return nil, &Missing{"hackbench", "install the package rt-tests, or perf"}
	}
	return c, nil
}

// timeLine is the last of hackbench's output, and of perf bench's.
var timeLine = regexp.MustCompile(`(?m)^(Time: [0-9.]+|\s*Total time: [0-9.]+ \[sec\])$`)

func timed(stdout []byte) error {
	if !timeLine.Match(stdout) {
		return errors.New("it did not print how long it took")
	}
	return nil
}

// merged is a shell line that runs its arguments with stderr on stdout.
var merged = []string{"/bin/sh", "-c", `exec "$0" "$@" 2>&1`}

func schbench(o Options) (*Command, error) {
	path, err := exec.LookPath("schbench")
	if err != nil {
		return nil, &Missing{"schbench", "build it from git.kernel.org/pub/scm/linux/kernel/git/mason/schbench.git and put it in PATH"}
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.NumCPU()
	}
	seconds := strconv.Itoa(o.scaled(10))
	return &Command{
		Name: "schbench", Threads: threads + 1, Unit: "us",
		Argv:  append(merged[:len(merged):len(merged)], path, "-m", "1", "-t", strconv.Itoa(threads), "-r", seconds, "-w", "1", "-i", "1000000"),
		Check: func(out []byte) error { _, err := requestLatency(out); return err },
		Score: requestLatency,
	}, nil
}

var percentile99 = regexp.MustCompile(`(?m)^\s*\*?\s*99\.0th: ([0-9]+)\b`)

// requestLatency reads the 99th percentile behind the last headline of request
// latencies (schbench.c, show_latencies).
func requestLatency(out []byte) (float64, error) {
	i := bytes.LastIndex(out, []byte("Request Latencies percentiles (usec)"))
	if i < 0 {
		return 0, errors.New("it printed no request latencies")
	}
	m := percentile99.FindSubmatch(out[i:])
	if m == nil {
		return 0, errors.New("it printed no 99th percentile of request latencies")
	}
	return strconv.ParseFloat(string(m[1]), 64)
}
