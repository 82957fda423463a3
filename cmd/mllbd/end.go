// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"mllb/internal/namedfile"
)

// end is until when those who read the outputs are waited for.
func (s *session) end() time.Time {
	if s.endBy.IsZero() {
		s.endBy = time.Now().Add(endWait)
	}
	return s.endBy
}

// drawable says whether an output is a terminal that knows control sequences.
func drawable(out io.Writer) bool {
	f := fileOf(out)
	return f != nil && namedfile.Drawable(f)
}

// fileOf returns the file that an output is in the end, or nil.
func fileOf(out io.Writer) *os.File {
	if q, ok := out.(*queue); ok {
		out = q.to
	}
	f, _ := out.(*os.File)
	return f
}

// restore gives every thread its owner's mask back.
func (s *session) restore() error {
	var unloaded error
	if s.kernel != nil {
		unloaded = s.kernel.close()
	}
	if s.enforcer == nil {
		return unloaded
	}
	report, err := s.enforcer.Close()
	s.enforcer = nil
	s.restored = report
	for _, note := range report.Lines() {
		s.log.Warn(note)
	}
	if report.Failed > 0 || err != nil {
		return errors.Join(unloaded, fmt.Errorf("restore masks: %w", &leftError{report.Failed, s.cfg.StateDir, err}))
	}
	return unloaded
}

// leftError says that masks are left: those of what an unprivileged user's CMD
// became by a set-user-ID program, say (sched_setaffinity(2), EPERM).
type leftError struct {
	masks    int
	stateDir string
	err      error // more may be left; or nil
}

func (e *leftError) Error() string {
	what := fmt.Sprintf("masks left: %d", e.masks)
	if e.err != nil {
		what += fmt.Sprintf(", perhaps more: %v", e.err)
	}
	return fmt.Sprintf("%s; try mllbd restore --state-dir %s (a set-user-ID program's needs root: taskset -ap MASK PID)", what, e.stateDir)
}

func (e *leftError) Unwrap() error { return e.err }

// closeServer comes before the restore, which needs the descriptors.
func (s *session) closeServer() {
	s.viewServer.close()
	if s.server != nil {
		s.server.close()
	}
}

// closeView has the last frame be shown, before anything is said below it.
func (s *session) closeView() {
	if s.viewer != nil {
		s.viewer.close()
		s.viewer = nil
	}
	if s.view != nil {
		_ = s.view.close(s.end())
		s.view = nil
	}
}

// close closes what is open still. Masks come first, whatever happened.
func (s *session) close() {
	s.closeSpeeds()
	s.closeServer()
	if err := s.restore(); err != nil {
		s.log.Error("not all masks are restored; run mllbd restore", "err", err)
	}
	if s.forks != nil {
		s.forks.close()
	}
	if s.marks != nil {
		_ = s.marks.Close()
	}
	if s.idle != nil {
		s.idle.close()
	}
	if s.reportTo != nil {
		s.reportTo.Abort() // if it is not written yet
		s.giveUp(nil)
	}
	if s.tracer != nil {
		if err := s.tracer.Close(); err != nil {
			s.log.Error("tracing is not fully undone", "err", err)
		}
	}
	if s.host != nil {
		_ = s.host.Close()
	}
	s.manager.close(s.end())
	s.closeView()
	if s.events != nil {
		if err := s.events.close(s.end()); err != nil {
			s.log.Error("events are incomplete", "err", err)
		}
	}
}
