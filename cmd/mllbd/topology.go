// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"

	"mllb/internal/namedfile"
	"mllb/topology"
	topoprobe "mllb/topology/probe"
)

// The values of --topology that are no file.
const (
	topologySysfs = "sysfs"
	topologyProbe = "probe"
)

// profileFile is the FILE of --topology, or "".
func (c *runCmd) profileFile() string {
	if c.Topology == topologySysfs || c.Topology == topologyProbe {
		return ""
	}
	return c.Topology
}

// openProfile probes this host, or reads what a probe found, where --topology says so.
func (s *session) openProfile() (err error) {
	if s.cfg.Topology == topologySysfs {
		return nil
	}
	told, err := topology.Read("/")
	if err != nil {
		return err
	}
	if s.cfg.Topology == topologyProbe {
		s.profile, err = probeHost(told)
	} else {
		s.profile, err = readProfileFile(s.cfg.Topology, told)
	}
	if err != nil {
		return err
	}
	for _, line := range s.profile.Words(told) {
		s.log.Info("machine profile", "from", s.cfg.Topology, "says", line)
	}
	return nil
}

func probeHost(told *topology.Topology) (*topoprobe.Profile, error) {
	live, err := topoprobe.OpenLive()
	if err != nil {
		return nil, fmt.Errorf("--topology probe: %w", err)
	}
	defer live.Close()
	p, err := topoprobe.Run(context.Background(), live, topoprobe.Options{Told: told, Seed: rand.Uint64()})
	if err != nil {
		return nil, fmt.Errorf("--topology probe: %w", err)
	}
	return p, nil
}

// readProfileFile reads a machine profile, which has to be of this machine.
func readProfileFile(path string, told *topology.Topology) (*topoprobe.Profile, error) {
	data, err := namedfile.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--topology: %w", err)
	}
	p, err := topoprobe.Parse(bytes.NewReader(data))
	if errors.Is(err, topoprobe.ErrNotProfile) {
		return nil, fmt.Errorf("--topology: %s is %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("--topology: %s: %w", path, err)
	}
	id, err := topoprobe.Identify("/", told)
	if err != nil {
		return nil, err
	}
	if err := p.Match(id); err != nil {
		return nil, fmt.Errorf("--topology: %s: %w", path, err)
	}
	return p, nil
}

// spotLimit is how long check looks at CPUs.
const spotLimit = 450 * time.Millisecond

// spot says whether CPUs seem to be what the kernel takes them for. What cannot be
// looked at now is no fault.
func spot(root string, told *topology.Topology) string {
	if filepath.Clean(root) != "/" {
		return ""
	}
	live, err := topoprobe.OpenLive()
	if err != nil {
		return ""
	}
	defer live.Close()
	ctx, cancel := context.WithTimeout(context.Background(), spotLimit)
	defer cancel()
	doubt, err := topoprobe.Spot(ctx, live, told)
	switch {
	case err != nil:
		return "not looked at: " + oneLine(err)
	case doubt != "":
		return "doubtful: " + doubt + " (mllb topology --probe)"
	}
	return "as the kernel says"
}
