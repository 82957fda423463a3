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

// mass is args[0] sleeping threads and two busy ones for each CPU, for args[1]
// seconds. It says when all are there.
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
	runtime.GOMAXPROCS(2*runtime.NumCPU() + 1) // or Go itself lets only one for each CPU run at a time
	for range 2 * runtime.NumCPU() {
		go func() {
			runtime.LockOSThread()
			spin(time.Hour)
		}()
	}
	there.Wait()
	fmt.Println("started")
	time.Sleep(duration(args[1]))
	return nil
}

// BenchmarkDaemon runs mllbd at ten ticks a second beside 2,000 threads and
// reports its own CPU time in percent of one CPU: the median of the seconds of
// a run, so that neither the start of 2,000 threads nor a noisy second counts.
func BenchmarkDaemon(b *testing.B) {
	for _, backend := range []string{"bpf", "proc"} {
		b.Run("snapshot="+backend, func(b *testing.B) {
			var shares []float64
			for b.Loop() {
				shares = append(shares, secondsOf(b, "run", "--state-dir", b.TempDir(), "--mode", "own",
					"--snapshot", backend, "--interval", "100ms", "--max-cpu", "0", "--", "mass", "2000", "15")...)
			}
			slices.Sort(shares)
			b.ReportMetric(shares[len(shares)/2], "%cpu")
			b.ReportMetric(0, "ns/op") // the load's own time
		})
	}
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
