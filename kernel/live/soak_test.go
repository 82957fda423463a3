// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"mllb/fibo"
	"mllb/mlp"
)

const (
	soak     = 10 * time.Minute
	switches = 1000
	storm    = 14 // fib(14): 1,219 threads
)

// trouble is what a kernel says when something is wrong: oopses, lockdep,
// DEBUG_PREEMPT, the checks of the FPU, hung tasks, lockups and RCU stalls.
var trouble = regexp.MustCompile(`WARNING|BUG|Oops|INFO: |Call Trace|lockup|stall|hung|blocked for more|inconsistent|bad: scheduling`)

// TestSoak switches mode, arithmetic and model a thousand times in ten minutes
// under thread storms, memory-bound, pinned and forking loads. The kernel must
// have nothing to say, and every thread must come back.
func TestSoak(t *testing.T) {
	needPatches(t)
	if testing.Short() {
		t.Skip("-short: ten minutes")
	}
	// khugepaged is of nice 19: under this load it does not run for half a minute at a
	// time, at times within an RCU reader, and the kernel reports a stall.
	if err := os.WriteFile("/sys/kernel/mm/transparent_hugepage/enabled", []byte("never"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	said, before := openLog(t), counters(t)
	n := runtime.NumCPU()
	ended := map[string]<-chan error{}
	for kind, threads := range map[string]int{"memory": n, "pinned": n / 2, "forks": n / 2} {
		ended[kind] = startLoad(t, kind, threads, soak)
	}
	if _, err := exec.LookPath("stress-ng"); err == nil {
		ended["stress-ng"] = start(t, soak, "stress-ng", "--cpu", "2", "--switch", "2", "--futex", "2", "--timeout", "10m", "--quiet")
	} else {
		t.Log("without stress-ng: it is not in PATH")
	}
	stop := make(chan struct{})
	threads := storms(t, stop)

	models := variants(t)
	rng := rand.New(rand.NewPCG(16, 17))
	start := time.Now()
	for i := range switches {
		put(t, "mode", []string{"off", "shadow", "replace"}[i%3])
		load(t, models[rng.IntN(len(models))])
		if hasFloat() {
			put(t, "arith", []string{"fixed", "float"}[rng.IntN(2)])
		}
		if d := time.Until(start.Add(soak * time.Duration(i+1) / switches)); d > 0 {
			time.Sleep(d)
		}
	}
	t.Logf("%d switches in %v", switches, time.Since(start).Round(time.Second))
	close(stop)
	t.Logf("%d threads of storms, all joined", <-threads)
	for what, end := range ended {
		select {
		case err := <-end:
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		case <-time.After(5 * time.Minute):
			t.Errorf("%s has not ended", what)
		}
	}
	for name, n := range counters(t) {
		if t.Logf("%s: %d", name, n-before[name]); n == before[name] && name != "no_fpu" && (name != "float" || hasFloat()) && name != "stay/go" && name != "go/stay" {
			t.Errorf("%s: none", name)
		}
	}
	for _, line := range said.lines(t) {
		if trouble.MatchString(line) {
			t.Errorf("the kernel said: %s", line)
		}
	}
	stillChecking(t)
}

// storms runs one thread storm after the other until stop is closed, and then
// tells how many threads there were. fibo.Run counts and joins each of them.
func storms(t *testing.T, stop <-chan struct{}) <-chan int {
	total := make(chan int, 1)
	go func() {
		n := 0
		defer func() { total <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			r, err := fibo.Run(storm)
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			n += r.Threads
		}
	}()
	return total
}

// variants are models of every shape that the kernel treats differently.
func variants(t *testing.T) (blobs [][]byte) {
	t.Helper()
	m := builtIn(t)
	blobs = append(blobs, blob(t, m))
	free := *m
	free.Ranges = nil
	blobs = append(blobs, blob(t, &free))
	shy := *m
	shy.Threshold = 0.9
	blobs = append(blobs, blob(t, &shy))
	wide := mlp.NewModel(m.Set, 16)
	rng := rand.New(rand.NewPCG(18, 19))
	for l := range wide.Weights {
		for j, row := range wide.Weights[l] {
			for i := range row {
				row[i] = rng.NormFloat64()
			}
			wide.Biases[l][j] = rng.NormFloat64()
		}
	}
	return append(blobs, blob(t, wide))
}

// stillChecking fails if lockdep has turned itself off, which it does when it
// has found something. That the kernel checks at all is logged.
func stillChecking(t *testing.T) {
	t.Helper()
	b, err := os.ReadFile("/proc/lockdep_stats")
	if err != nil {
		t.Log("this kernel has no lockdep")
		return
	}
	for line := range bytes.Lines(b) {
		if s := strings.Fields(string(line)); len(s) == 2 && s[0] == "debug_locks:" {
			if t.Logf("lockdep: debug_locks %s", s[1]); s[1] != "1" {
				t.Error("lockdep has turned itself off")
			}
		}
	}
}
