// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"mllb/internal/procfile"
)

// settle is how long a companion has to get going, and
// schedExtSettle how long a sched_ext scheduler has to be loaded, or to be gone.
const (
	settle         = time.Second
	schedExtSettle = 10 * time.Second
)

// companion runs the arm's program next to the workload, from before it begins
// until it has ended.
func (x *executor) companion(ctx context.Context, g *processGroup, rec *Record, arm *Arm, s spec) (err error) {
	p, err := x.launch(ctx, g, spec{argv: arm.Command, tree: true, grace: companionGrace, name: "companion"})
	if err != nil {
		return fmt.Errorf("%s: %w", arm.program(), err)
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.begin(); err != nil {
		return err
	}
	if err := x.up(ctx, p, arm); err != nil {
		return err
	}
	c := &Companion{SchedExt: schedExtOps("/")}
	work := x.command(ctx, g, rec, s)
	c.Stayed = len(p.answer) == 0
	// Also after ^C: it is given its time to undo what it did.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*companionGrace)
	defer cancel()
	u, err := p.stop(end)
	if err != nil {
		return errors.Join(work, fmt.Errorf("stop %s: %w", arm.program(), err))
	}
	c.Seconds, c.CPUSeconds = u.Wall, u.User+u.System
	rec.Companion = c
	if !c.Stayed {
		work = errors.Join(work, fmt.Errorf("%s did not run to the end: exit status %d%s", arm.program(), u.Status, p.lastWords()))
	}
	return errors.Join(work, gone(c.SchedExt))
}

// up waits until the program is at work.
func (x *executor) up(ctx context.Context, p *process, arm *Arm) error {
	deadline := time.After(settle)
	if loadsScheduler(arm) {
		deadline = time.After(schedExtSettle)
	}
	for {
		select {
		case a := <-p.answer:
			if a.err != nil {
				return fmt.Errorf("%s: %w", arm.program(), a.err)
			}
			return fmt.Errorf("%s ended before the workload began: exit status %d%s", arm.program(), a.usage.Status, p.lastWords())
		case <-deadline:
			if loadsScheduler(arm) && schedExtOps("/") == "" {
				return fmt.Errorf("%s loaded no scheduler within %v", arm.program(), schedExtSettle)
			}
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
			if loadsScheduler(arm) && schedExtOps("/") != "" {
				return nil
			}
		}
	}
}

// loadsScheduler goes by the name that sched_ext schedulers have.
func loadsScheduler(a *Arm) bool {
	return strings.HasPrefix(filepath.Base(a.program()), "scx_")
}

// schedExtOps is the sched_ext scheduler that is loaded, or "".
func schedExtOps(root string) string {
	_, ops, _ := procfile.SchedExt(root)
	return ops
}

// gone waits until the kernel's own scheduler is back.
func gone(ops string) error {
	if ops == "" {
		return nil
	}
	for end := time.Now().Add(schedExtSettle); schedExtOps("/") != ""; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("the sched_ext scheduler %s is still loaded", ops)
		}
	}
	return nil
}
