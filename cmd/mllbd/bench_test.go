// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mllb/features"
	"mllb/scheduler"
	"mllb/topology"
)

// mass is args[0] sleeping threads and four busy ones that sleep now and then, for
// args[1] seconds. It says when all are there.
func mass(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	debug.SetMaxThreads(n + 100)
	asleep := make(chan struct{})
	var there sync.WaitGroup
	for range n {
		there.Add(1)
		go func() {
			runtime.LockOSThread()
			there.Done()
			<-asleep
		}()
	}
	there.Wait()
	const busy = 4
	runtime.GOMAXPROCS(busy + 1) // or Go itself lets only one for each CPU run at a time
	for i := range busy {
		go func() {
			runtime.LockOSThread()
			for {
				spin(time.Duration(300+70*i) * time.Millisecond)
				time.Sleep(20 * time.Millisecond)
			}
		}()
	}
	fmt.Println("started")
	time.Sleep(duration(args[1]))
	return nil
}

// BenchmarkDaemon runs mllbd at ten ticks a second beside four busy threads and many
// that sleep, and reports its own CPU time in percent of one CPU: the median of the
// seconds of a run, most of which have an audit, so that neither the start of the threads
// nor a noisy second counts.
// The sizes take turns, so that what else this machine does is of all of them.
func BenchmarkDaemon(b *testing.B) {
	shares := make(map[string][]float64)
	for b.Loop() {
		for _, n := range masses() {
			name := fmt.Sprintf("%d-%%cpu", n)
			shares[name] = append(shares[name], secondsOf(b, append(massArgs(b, n), "40")...)...)
		}
	}
	for name, of := range shares {
		slices.Sort(of)
		b.ReportMetric(of[len(of)/2], name)
	}
	b.ReportMetric(0, "ns/op") // the load's own time
}

func masses() []int {
	if testing.Short() {
		return []int{1000}
	}
	return []int{1000, 10_000, 100_000}
}

// massArgs is an mllbd beside so many sleeping threads, but for how long they are there.
func massArgs(b *testing.B, n int) []string {
	return []string{"run", "--state-dir", b.TempDir(), "--mode", "own", "--hold", "busy",
		"--snapshot", "bpf", "--interval", "100ms", "--max-cpu", "0", "--", "mass", strconv.Itoa(n)}
}

// BenchmarkTick takes the ticks of BenchmarkDaemon apart: CPU time of the snapshot, of
// the enforcer's Sync and of the plan, the median of the ticks in us.
func BenchmarkTick(b *testing.B) {
	for _, n := range masses() {
		b.Run(fmt.Sprintf("sleeping=%d", n), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			s := &session{cfg: parse(b, append(massArgs(b, n)[1:], "3600")...), by: newInvocation(nil), stdout: io.Discard, stderr: io.Discard}
			s.openLog()
			defer s.close()
			if err := errors.Join(s.prepare(), s.openEnforcer()); err != nil {
				b.Fatal(err)
			}
			load, out := startMass(b, s.cfg.Command)
			defer load.Wait()
			defer load.Process.Kill()
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				b.Fatal(line, err)
			}
			s.reloader = &reloader{session: s}
			d := s.daemon()
			spent := &stages{awake: d.Awake, Enforcer: s.enforcer, planner: d.Planner, took: make(map[string][]float64)}
			d.Awake, d.Enforcer, d.Planner = spent, spent, spent
			tick := func() {
				time.Sleep(s.cfg.Interval)
				if err := d.Tick(b.Context(), time.Now(), 0); err != nil {
					b.Fatal(err)
				}
			}
			for range 50 {
				tick() // to hold what is busy, and to see all threads once
			}
			clear(spent.took)
			for b.Loop() {
				tick()
			}
			for name, of := range spent.took {
				slices.Sort(of)
				b.ReportMetric(of[len(of)/2], name+"-us")
			}
			b.ReportMetric(float64(s.enforcer.Held()), "held")
			b.ReportMetric(0, "ns/op") // the interval
		})
	}
}

// startMass starts the load outside of mllbd's loop, as its child.
func startMass(b *testing.B, command []string) (*exec.Cmd, io.Reader) {
	load := exec.Command(command[0], command[1:]...)
	out, err := load.StdoutPipe()
	if err == nil {
		err = load.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	return load, out
}

// stages takes the CPU time of each stage of a tick.
type stages struct {
	awake   scheduler.AwakeHost
	planner scheduler.Planner
	scheduler.Enforcer
	took map[string][]float64 // us
}

func (t *stages) time(name string, f func()) {
	began := threadTime()
	f()
	t.took[name] = append(t.took[name], (threadTime()-began).Seconds()*1e6)
}

func (t *stages) Awake(s *features.Snapshot) (err error) {
	t.time("snapshot", func() { err = t.awake.Awake(s) })
	return err
}

func (t *stages) Sync(s *features.Snapshot) (err error) {
	t.time("sync", func() { err = t.Enforcer.Sync(s) })
	return err
}

func (t *stages) Plan(s *features.Snapshot) (p *scheduler.Plan) {
	t.time("plan", func() { p = t.planner.Plan(s) })
	return p
}

func (t *stages) Commit(s *features.Snapshot, p *scheduler.Plan, errs []error) {
	t.planner.Commit(s, p, errs)
}

func (t *stages) SetTopology(to *topology.Topology) { t.planner.SetTopology(to) }

// secondsOf runs mllbd and returns the CPU share of each second it logged.
func secondsOf(b *testing.B, args ...string) (shares []float64) {
	b.Helper()
	cmd := exec.Command("mllbd", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		b.Fatalf("%v\n%s", err, &stderr)
	}
	for _, m := range regexp.MustCompile(`cpu_share=([0-9.]+)%`).FindAllSubmatch(stderr.Bytes(), -1) {
		percent, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			b.Fatal(err)
		}
		shares = append(shares, percent)
	}
	if len(shares) == 0 {
		b.Fatalf("no CPU share in\n%s", &stderr)
	}
	return shares
}
