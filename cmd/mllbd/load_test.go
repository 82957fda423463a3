// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mllb/internal/procfile"

	"golang.org/x/sys/unix"
)

// spawn starts a child that dies with this process.
func spawn(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

// crowd ARGS: N CPUS WHEN SECONDS. It starts N busy processes, spread over the
// CPUs, and says so. After WHEN, seconds or a file that must come to be, it ends
// those on the first half of the CPUs, says so, and the rest after SECONDS more.
func crowd(args []string) error {
	runtime.LockOSThread() // Pdeathsig is of the thread that forked (prctl(2))
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	cpus, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	// Every CPU: asking the kernel for our own mask would tell the one that
	// mllbd may hold us on just now.
	var whole unix.CPUSet
	for cpu := range 1024 {
		whole.Set(cpu)
	}
	var procs []*exec.Cmd
	for i := range n {
		p, err := spawn("yes") // one thread, always busy
		if err != nil {
			return err
		}
		// As many begin on each CPU, whoever else is busy there.
		var one unix.CPUSet
		one.Set(i % cpus)
		_ = unix.SchedSetaffinity(p.Process.Pid, &one)
		_ = unix.SchedSetaffinity(p.Process.Pid, &whole)
		procs = append(procs, p)
	}
	fmt.Println("started")
	if strings.HasPrefix(args[2], "/") {
		if err := waitFile(args[2]); err != nil {
			return err
		}
	} else {
		time.Sleep(duration(args[2]))
	}
	for _, p := range procs {
		if st, err := readStat(p.Process.Pid); err == nil && st.cpu < cpus/2 {
			_ = p.Process.Kill()
			_ = p.Wait()
		}
	}
	fmt.Println("thinned")
	time.Sleep(duration(args[3]))
	return nil
}

// stormload starts args[0] threads that live for a moment, thousands a second where
// nobody else is busy, beside two that are always busy.
func stormload(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range 2 {
		go func() {
			runtime.LockOSThread()
			for {
				spin(time.Millisecond)
			}
		}()
	}
	slots := make(chan struct{}, 32)
	for range n {
		slots <- struct{}{}
		go func() {
			runtime.LockOSThread() // ending a locked goroutine ends its thread
			spin(50 * time.Microsecond)
			<-slots
		}()
	}
	for range cap(slots) { // the last have ended
		slots <- struct{}{}
	}
	return nil
}

func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

// The two kinds of processes of forkload. In a guest a storm would keep mllbd
// from starting.
var forker, holdee = "while :; do (:); done", []string{"yes"}

func init() {
	if inGuest {
		forker, holdee = "while :; do (:); sleep 0.1; done", []string{"tail", "-f", "/dev/null"}
	}
}

// forkload starts args[0] shells that fork all the time, and as many processes
// of a single thread that never fork; it ends with its stdin. It is nice, so
// that hundreds of mllbds can start beside it.
func forkload(args []string) error {
	runtime.LockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 19); err != nil {
		return err
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for range n {
		if _, err := spawn("sh", "-c", forker); err != nil {
			return err
		}
		if _, err := spawn(holdee[0], holdee[1:]...); err != nil {
			return err
		}
	}
	fmt.Println("started")
	_, _ = os.Stdin.Read(make([]byte, 1))
	return nil
}

// stat is what the independent reader wants of /proc/PID/stat.
type stat struct {
	pid, ppid, cpu int
	comm           string
	state          byte
	exiting        bool // PF_EXITING (include/linux/sched.h): it will not run its program again
}

// readStat reads one process or thread, by its id.
func readStat(pid int) (stat, error) {
	s, err := procfile.ReadStat("/proc/" + strconv.Itoa(pid))
	return stat{pid: pid, ppid: int(s.PPID), cpu: int(s.CPU), comm: string(s.Comm), state: s.State,
		exiting: s.Flags&4 != 0}, err
}

// allStats reads every process.
func allStats() (all []stat) {
	pids, _ := procfile.IDs("/proc")
	for _, pid := range pids {
		if st, err := readStat(pid); err == nil {
			all = append(all, st)
		}
	}
	return all
}

// masks returns Cpus_allowed_list of every thread of the given processes that
// is not on its way out.
func masks(pids []int) map[int]string {
	found := make(map[int]string)
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/task", pid)
		tids, _ := procfile.IDs(dir)
		for _, tid := range tids {
			if st, err := readStat(tid); err != nil || st.exiting {
				continue
			}
			b, err := os.ReadFile(fmt.Sprintf("%s/%d/status", dir, tid))
			if err != nil {
				continue
			}
			if list, err := procfile.StatusField(b, "Cpus_allowed_list"); err == nil {
				found[tid] = string(list)
			}
		}
	}
	return found
}

// descendants returns the processes below pid, and pid.
func descendants(pid int) []int {
	in := map[int]bool{pid: true}
	all := allStats()
	for grew := true; grew; {
		grew = false
		for _, st := range all {
			if in[st.ppid] && !in[st.pid] {
				in[st.pid], grew = true, true
			}
		}
	}
	var pids []int
	for p := range in {
		pids = append(pids, p)
	}
	return pids
}

// ownMaskText is the mask that children of the test start with.
func ownMaskText() string {
	return masks([]int{unix.Getpid()})[unix.Getpid()]
}
