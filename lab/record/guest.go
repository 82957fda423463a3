// SPDX-License-Identifier: Apache-2.0

package record

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"mllb/internal/procfile"

	"golang.org/x/sys/unix"
)

const (
	outDir     = "/out"
	recordFile = "records.parquet" // in outDir
	quotaGroup = "/sys/fs/cgroup/mllb-throttled"

	// A quota of one CPU in four for the throttled group, in slices of 20 ms.
	quotaPeriod = 20_000 // us

	attachLimit = 3 * time.Minute // emulated CPUs patch code slowly
	// SCHED_FIFO for collect and for Guest: the ring must be drained, and the load
	// taken away in time, however many threads there are.
	realtimePrio = 20
)

// Guest is what runs in the guest: it tunes the kernel, has mllb collect
// attached before there is load (which is ten times faster), makes the load,
// takes it away once there is enough, and only then ends collect. Progress goes
// to stdout, a line of JSON each, for the host.
func Guest(ctx context.Context, r Run, stdout, stderr io.Writer) error {
	for _, t := range r.Tuning {
		if err := tune(schedDebug, t); err != nil {
			return err
		}
	}
	if err := realtime(); err != nil {
		return err
	}
	c, err := startCollect(r, stderr)
	if err != nil {
		return err
	}
	defer c.kill()
	if err := c.wait(ctx, 0, attachLimit, nil); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	stop, err := startLoads(r, stderr)
	if err != nil {
		return err
	}
	err = c.wait(ctx, r.Records, r.Duration, json.NewEncoder(stdout))
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	return c.finish()
}

// collector is mllb collect as a child.
type collector struct {
	cmd   *exec.Cmd
	lines chan Progress // closed when it ended
}

// Progress is a line that collect logs.
type Progress struct {
	Usable  uint64 `json:"usable"`
	Stay    uint64 `json:"stay"`
	Migrate uint64 `json:"migrate"`
	Drops   uint64 `json:"drops"`
}

func startCollect(r Run, stderr io.Writer) (*collector, error) {
	cmd := exec.Command("mllb", "collect", "--out", filepath.Join(outDir, recordFile), "--usable", "--all-domains",
		"--label", r.Tag(), "--load", strconv.Itoa(r.Load), "--seed", strconv.FormatUint(r.Seed, 10),
		"--recipe", r.Recipe, "--log-format", "json")
	cmd.Stdout = stderr // the summary
	logs, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start mllb collect: %w", err)
	}
	c := &collector{cmd: cmd, lines: make(chan Progress, 64)}
	go c.read(logs, stderr)
	return c, nil
}

// read parses what collect logs, and passes on what it does not understand.
func (c *collector) read(logs io.Reader, stderr io.Writer) {
	defer close(c.lines)
	for s := bufio.NewScanner(logs); s.Scan(); {
		var p struct {
			Progress
			Msg string `json:"msg"`
		}
		if err := json.Unmarshal(s.Bytes(), &p); err != nil || p.Msg != "collecting" {
			fmt.Fprintln(stderr, s.Text())
			continue
		}
		c.lines <- p.Progress
	}
}

// realtime gives every thread of this process a real-time policy, which threads
// and children that they start inherit.
func realtime() error {
	threads, err := procfile.IDs("/proc/self/task")
	if err != nil {
		return err
	}
	for _, tid := range threads {
		if err := setPolicy(tid, unix.SCHED_FIFO, realtimePrio); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// startOrdinary starts a command as what a load is: SCHED_OTHER, of nice 0.
func startOrdinary(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := setPolicy(0, unix.SCHED_NORMAL, 0); err != nil {
		return err
	}
	err := cmd.Start()
	return errors.Join(err, setPolicy(0, unix.SCHED_FIFO, realtimePrio))
}

// setPolicy sets how a thread is scheduled; 0 is the calling one.
func setPolicy(tid int, policy, priority uint32) error {
	if err := unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0); err != nil {
		return fmt.Errorf("sched_setattr of thread %d to policy %d: %w", tid, policy, err)
	}
	return nil
}

// wait returns when collect has told of that many usable records, or of any
// count at all if records is 0, or when the time is over, which is an error
// only if nothing was told.
func (c *collector) wait(ctx context.Context, records uint64, limit time.Duration, out *json.Encoder) error {
	var over <-chan time.Time // nil: never
	if limit > 0 {
		over = time.After(limit)
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			if out == nil {
				return fmt.Errorf("mllb collect reported nothing within %v", limit)
			}
			return nil
		case p, ok := <-c.lines:
			if !ok {
				return errors.Join(errors.New("mllb collect exited early"), c.cmd.Wait())
			}
			if out == nil {
				return nil
			}
			if err := out.Encode(p); err != nil {
				return err
			}
			if records > 0 && p.Usable >= records {
				return nil
			}
		}
	}
}

// finish ends collect as Ctrl-C does and waits for its file.
func (c *collector) finish() error {
	if err := c.cmd.Process.Signal(unix.SIGINT); err != nil {
		return fmt.Errorf("end mllb collect: %w", err)
	}
	for range c.lines {
	}
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("mllb collect: %w", err)
	}
	return nil
}

// kill is for when something else failed.
func (c *collector) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill() // it may have ended
	}
}

// startLoads starts the load; what it returns takes it away again.
func startLoads(r Run, stderr io.Writer) (stop func() error, err error) {
	var cmds []*exec.Cmd
	stop = func() error {
		var errs []error
		for _, cmd := range cmds {
			errs = append(errs, end(cmd))
		}
		return errors.Join(errs...)
	}
	for _, l := range r.loads() {
		cmd := exec.Command(l.args[0], l.args[1:]...)
		cmd.Stderr, cmd.SysProcAttr = stderr, &syscall.SysProcAttr{Setpgid: true}
		if err := l.start(cmd, r.Shape.CPUs()); err != nil {
			return nil, errors.Join(fmt.Errorf("start %s: %w", cmd, err), stop())
		}
		cmds = append(cmds, cmd)
	}
	return stop, nil
}

// end kills a load with its children. One that had ended already did not do what
// the run is named after.
func end(cmd *exec.Cmd) error {
	err := unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	status := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(status, &exit) && exit.Sys().(syscall.WaitStatus).Signaled() {
		return err
	}
	return fmt.Errorf("%s exited early (exit status %d)", cmd, cmd.ProcessState.ExitCode())
}

// start starts a load, in its cgroup from the first moment.
func (l load) start(cmd *exec.Cmd, cpus int) error {
	if !l.quota {
		return startOrdinary(cmd)
	}
	if err := os.Mkdir(quotaGroup, 0o755); err != nil {
		return err
	}
	if err := write(filepath.Join(quotaGroup, "cpu.max"), fmt.Sprintf("%d %d", max(1, cpus/4)*quotaPeriod, quotaPeriod)); err != nil {
		return err
	}
	dir, err := os.Open(quotaGroup)
	if err != nil {
		return err
	}
	defer dir.Close()
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
	return startOrdinary(cmd)
}
