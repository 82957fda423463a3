// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"strings"

	"mllb/internal/cgroup"
	"mllb/scx"
)

// nothingExcluded refuses --exclude for a scheduler of the whole host.
func (c *runCmd) nothingExcluded() error {
	if c.scoped() || len(c.Exclude) == 0 {
		return nil
	}
	return errors.New("--exclude: a sched_ext scheduler of the whole host leaves nothing out; name what it is for by --cgroup")
}

// scoped reports whether flags say which threads are managed.
func (c *runCmd) scoped() bool { return len(c.Command) > 0 || c.Cgroup != "" }

// schedExtFits says why a sched_ext scheduler must not be loaded here.
func (s *session) schedExtFits() error {
	if err := scx.Supported(); err != nil {
		return err
	}
	if err := scx.CheckCookies(); err != nil {
		return err
	}
	if err := s.checkShares(); err != nil {
		return err
	}
	if !s.cfg.scoped() {
		return nil
	}
	served, err := scx.Served()
	if err == nil && !served {
		s.log.Warn("threads of the fair class run first on this kernel: beside busy ones those of the scope can starve, and after 5 s of that the kernel ends the scheduler")
	}
	return err
}

// checkShares refuses cgroups that are to get more or less of the CPUs than others:
// under sched_ext that is for the scheduler to do (kernel/sched/ext.c), and this one
// goes by nice values alone.
func (s *session) checkShares() error {
	var dirs []string
	var err error
	switch {
	case len(s.cfg.Command) > 0 && s.cfg.Cgroup == "":
		dirs, err = cgroup.Own(s.cfg.Root, "cpu")
	case s.cfg.Cgroup != "" && (s.hierarchy == 0):
		dirs, err = cgroup.AllWithCPU(s.cfg.Root, s.cgroup)
	default:
		dirs, err = cgroup.AllWithCPU(s.cfg.Root, "")
	}
	if err != nil {
		return err
	}
	list := cgroup.UnequalShares(dirs)
	if len(list) == 0 {
		return nil
	}
	more := ""
	if n := len(list) - 3; n > 0 {
		list, more = list[:3], fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("the sched_ext scheduler honours nice values, but not the shares of cgroups: %s%s", strings.Join(list, "; "), more)
}
