// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"mllb/features"
	"mllb/topology"
)

// onlineAttempts bounds how often the host is looked at again because a CPU
// may just have come online.
const onlineAttempts = 3

// checkOnline refuses a host whose list of online CPUs is made up, as lxcfs does
// in a container with a CPU quota: everything would be put on the few CPUs that
// it names, while the threads may use others. To observe does no harm.
func (s *session) checkOnline(first *features.Snapshot) error {
	unlisted := s.unlisted(first)
	for range onlineAttempts {
		if unlisted.Empty() {
			return nil
		}
		if err := s.readTopology(); err != nil {
			return err
		}
		if err := s.host.Snapshot(first); err != nil {
			return fmt.Errorf("read the host: %w", err)
		}
		unlisted = s.unlisted(first)
	}
	err := fmt.Errorf("%s lists {%s}, but threads run on {%s}: the list is not the kernel's (lxcfs makes one up in containers)",
		filepath.Join(s.cfg.Root, "sys/devices/system/cpu/online"), s.topology.Online, unlisted)
	if s.cfg.Mode == "observe" {
		s.log.Warn("the CPUs that are shown are not those of the host", "err", err)
		return nil
	}
	return fmt.Errorf("%w: threads would be put on the CPUs that it names alone", err)
}

// unlisted returns the CPUs that are in use though the topology has them off
// line: the snapshot's own queues, runnable threads, or what sched_getaffinity(2)
// gives mllbd, which is online CPUs only. Sleeping threads may name a CPU that
// went off line under them.
func (s *session) unlisted(snapshot *features.Snapshot) topology.CPUSet {
	var used topology.CPUSet
	for cpu := range snapshot.Runqueues {
		if snapshot.Runqueues[cpu].Online {
			used.Add(cpu)
		}
	}
	for i := range snapshot.Threads {
		if t := &snapshot.Threads[i]; t.Queued() {
			used.Add(int(t.CPU))
		}
	}
	var own unix.CPUSet
	if filepath.Clean(s.cfg.Root) == "/" && unix.SchedGetaffinity(0, &own) == nil {
		for cpu := range len(own) * 64 {
			if own.IsSet(cpu) {
				used.Add(cpu)
			}
		}
	}
	for cpu := range s.topology.Online.All() {
		used.Remove(cpu)
	}
	return used
}
