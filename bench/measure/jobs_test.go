// SPDX-License-Identifier: Apache-2.0

package measure

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// jobs are what the test binary does as a workload, with two numbers.
var jobs = map[string]func(a, b int) error{"tree": growTree, "hop": hop, "burn": burnThreads, "spin": spin, "spins": spins, "nap": nap, "cost": costs, "storm": storm}

// storm starts and ends n threads, so many times.
func storm(n, times int) error {
	for range times {
		if err := burnThreads(n, 0); err != nil {
			return err
		}
	}
	return nil
}

// costs forks, ends and migrates threads.
func costs(a, b int) error {
	if err := growTree(1, 20); err != nil {
		return err
	}
	return hop(a, b)
}

// nap has n threads burn up to ms and sleep as long in turn, until its input
// ends.
func nap(n, ms int) error {
	for i := range n {
		go func() {
			runtime.LockOSThread()
			for k := 0; ; k++ {
				d := time.Duration(1+(i+k)%ms) * time.Millisecond
				for end := time.Now().Add(d); time.Now().Before(end); {
				}
				time.Sleep(d)
			}
		}()
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// spin has n threads spin on a CPU, or on any if it is below 0, from when it
// says so until its input ends.
func spin(n, cpu int) error {
	runtime.GOMAXPROCS(n + 2)
	ready := make(chan error)
	for range n {
		go func() {
			runtime.LockOSThread()
			var err error
			if cpu >= 0 {
				err = pin(cpu)
			}
			for ready <- err; ; {
			}
		}()
	}
	for range n {
		if err := <-ready; err != nil {
			return err
		}
	}
	fmt.Println("spinning")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err // main exits, whatever spins
}

// spins is spin in two processes, one below the other.
func spins(n, cpu int) error {
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=spin %d %d", jobEnv, n, cpu))
	child.Stdin, child.Stdout, child.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := child.Start(); err != nil {
		return err
	}
	return spin(n, cpu)
}

// growTree has itself and processes below it, to the given depth, burn CPU time
// in threads of their own.
func growTree(depth, threads int) error {
	if depth > 0 {
		child := exec.Command("/proc/self/exe")
		child.Env = append(os.Environ(), fmt.Sprintf("%s=tree %d %d", jobEnv, depth-1, threads))
		child.Stderr = os.Stderr
		if err := child.Start(); err != nil {
			return err
		}
		defer func() { _ = child.Wait() }()
	}
	return burnThreads(threads, 30)
}

// burnThreads has n threads of their own burn ms of CPU time each and end.
func burnThreads(n, ms int) error {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
			for threadTime() < time.Duration(ms)*time.Millisecond {
			}
		})
	}
	all.Wait()
	return nil
}

func threadTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// hops is how often hop changes the CPU.
const hops = 50

// hop goes from one CPU to another and back.
func hop(a, b int) error {
	runtime.LockOSThread()
	for i := range hops {
		if err := pin([]int{a, b}[i%2]); err != nil {
			return err
		}
	}
	return nil
}

func pin(cpus ...int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	return unix.SchedSetaffinity(0, &set)
}
