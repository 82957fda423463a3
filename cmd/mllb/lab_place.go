// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"mllb/lab"
	"mllb/topology"
)

// placeFlags say how the guest's CPUs run on those of this host.
type placeFlags struct {
	HostCPUs string   `name:"host-cpus" placeholder:"CPU,..." help:"Pin each guest CPU, which is a thread, to a host CPU: a list with an entry for each guest CPU. 0,0,1,1 stacks four of them on two."`
	Tell     string   `placeholder:"SHAPE" help:"Topology that the guest is told instead of --topology, with as many CPUs. --topology is then the truth, which --host-cpus must make true: guest CPUs of one core share a host CPU or core, others do not."`
	Slow     []string `placeholder:"CPU=PERCENT[@TIME],..." help:"Limit a guest CPU to a share of a host CPU by this host's cpu controller, from the start of the guest, or from TIME after the start of the command; 100 lifts the limit. 0=50@10s,0=100@30s takes half of CPU 0 for 20 s."`
}

// cpusEnv tells the command how the CPUs of its guest run.
const cpusEnv = "MLLB_LAB_CPUS"

func (f placeFlags) given() bool { return f.HostCPUs != "" || len(f.Slow) > 0 }

// place puts the flags into the configuration, whose shape is that of --topology.
func (f placeFlags) place(cfg *lab.Config) error {
	truth := cfg.Shape
	if f.Tell != "" {
		if f.HostCPUs == "" {
			return usagef("--tell needs --host-cpus: by itself --topology does not make CPUs share anything")
		}
		told, err := lab.ParseShape(f.Tell)
		if err != nil {
			return usagef("--tell: %w", err)
		}
		if told.CPUs() != truth.CPUs() {
			return usagef("--tell %s has %d CPUs, --topology %s has %d", told, told.CPUs(), truth, truth.CPUs())
		}
		cfg.Shape = told
	}
	if !f.given() {
		return nil
	}
	if cfg.Single || cfg.ICount {
		return usagef("--host-cpus and --slow need a thread for each guest CPU: --threads multi, and no --icount")
	}
	if f.HostCPUs != "" {
		if err := f.pin(cfg, truth); err != nil {
			return err
		}
	}
	slow, err := lab.ParseSlow(f.Slow, truth.CPUs())
	if err != nil {
		return usagef("--slow: %w", err)
	}
	cfg.Slow = slow
	about := f.about(truth)
	cfg.Env = append(cfg.Env, cpusEnv+"="+about)
	cfg.Notice("CPUs: " + about)
	return nil
}

// pin reads --host-cpus, and holds it against the truth if the guest is told
// something else.
func (f placeFlags) pin(cfg *lab.Config, truth lab.Shape) error {
	allowed, err := lab.AllowedCPUs()
	if err != nil {
		return err
	}
	if cfg.HostCPUs, err = lab.ParseHostCPUs(f.HostCPUs, truth.CPUs(), allowed); err != nil {
		return usagef("--host-cpus: %w", err)
	}
	if f.Tell == "" {
		return nil
	}
	host, err := topology.Read("/")
	if err != nil {
		return err
	}
	if err := lab.CheckTruth(truth, cfg.HostCPUs, host); err != nil {
		return usagef("--host-cpus %s: %w", f.HostCPUs, err)
	}
	return nil
}

// maxLimits is how many limits are named; there may be one every 20 s of a day.
const maxLimits = 6

// about is the flags in words.
func (f placeFlags) about(truth lab.Shape) string {
	words := []string{truth.String()}
	if f.Tell != "" {
		words[0] += " told as " + f.Tell
	}
	if f.HostCPUs != "" {
		words = append(words, "on host CPUs "+f.HostCPUs)
	}
	if slow := f.Slow; len(slow) > 0 {
		more := ""
		if n := len(slow) - maxLimits; n > 0 {
			slow, more = slow[:maxLimits], fmt.Sprintf(" and %d more", n)
		}
		words = append(words, "limited to "+strings.Join(slow, ",")+more+" (% of a host CPU)")
	}
	return strings.Join(words, "; ")
}
