// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
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
// seconds of a run, so that neither the start of the threads nor a noisy second counts.
// The sizes take turns, so that what else this machine does is of all of them.
func BenchmarkDaemon(b *testing.B) {
	sizes := []int{1000, 10_000, 100_000}
	shares := make(map[string][]float64)
	backends := []string{"bpf"}
	if testing.Short() {
		sizes = sizes[:1]
	}
	for b.Loop() {
		for _, backend := range backends {
			for _, n := range sizes {
				name := fmt.Sprintf("%s/%d-%%cpu", backend, n)
				shares[name] = append(shares[name], secondsOf(b, "run", "--state-dir", b.TempDir(), "--mode", "own", "--hold", "busy",
					"--snapshot", backend, "--interval", "100ms", "--max-cpu", "0", "--", "mass", strconv.Itoa(n), "20")...)
			}
		}
	}
	for name, of := range shares {
		slices.Sort(of)
		b.ReportMetric(of[len(of)/2], name)
	}
	b.ReportMetric(0, "ns/op") // the load's own time
}

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
