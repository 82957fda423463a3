// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"context"
	"net"
	"time"
)

// The one thing whose duration is real in an emulated guest is how its CPUs, each
// a thread, share those of the host. So these threads are put where the caller
// wants them before the guest executes its first instruction.
//
//	QEMU -S ── QMP: which thread is which CPU ── pinned, limited ── QMP: cont

// monitorLimit is how long QEMU may take to answer at its start.
const monitorLimit = time.Minute

// placed says that the guest's CPUs wait for place.
func (c *Config) placed() bool { return c.HostCPUs != nil || len(c.Slow) > 0 }

// place has each CPU of the guest where it is to be, and starts them.
func (s *session) place(ctx context.Context, qmp net.Conn, pid int, limits *throttle) error {
	if !s.cfg.placed() {
		return nil
	}
	_ = qmp.SetDeadline(time.Now().Add(monitorLimit)) // a socket has deadlines
	defer context.AfterFunc(ctx, func() { qmp.Close() })()
	err := s.arrange(newMonitor(qmp), pid, limits)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case lost(err):
		return s.failure(s.deathReason())
	}
	return err
}

func (s *session) arrange(qemu *monitor, pid int, limits *throttle) error {
	threads, err := qemu.cpuThreads(s.cfg.Shape.CPUs())
	if err != nil {
		return err
	}
	if s.cfg.HostCPUs != nil {
		if err := pin(threads, s.cfg.HostCPUs); err != nil {
			return err
		}
	}
	if limits != nil {
		for _, cpu := range limited(s.cfg.Slow) {
			if err := limits.add(pid, cpu, threads[cpu]); err != nil {
				return err
			}
		}
		s.slow = &schedule{left: s.cfg.Slow, set: limits.set}
		if err := s.slow.start(); err != nil {
			return err
		}
	}
	return qemu.call("cont", nil)
}
