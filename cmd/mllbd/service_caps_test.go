// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"
)

// capabilityBits are those that the service has.
var capabilityBits = map[string]uint64{
	"CAP_SYS_NICE": 1 << unix.CAP_SYS_NICE, "CAP_BPF": 1 << unix.CAP_BPF, "CAP_PERFMON": 1 << unix.CAP_PERFMON, "CAP_SYS_PTRACE": 1 << unix.CAP_SYS_PTRACE,
}

// daemonSet is what of deploy/kubernetes/daemonset.yaml the daemon has a part in; the test
// beside that file decodes it as Kubernetes does.
func daemonSet(t *testing.T) (args, caps []string) {
	t.Helper()
	var set struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Args            []string
						SecurityContext struct{ Capabilities struct{ Add []string } } `yaml:"securityContext"`
					}
				}
			}
		}
	}
	_, text, _ := strings.Cut(string(deployed(t, "kubernetes/daemonset.yaml")), "\n---\n")
	if err := yaml.Unmarshal([]byte(text), &set); err != nil {
		t.Fatal(err)
	}
	c := set.Spec.Template.Spec.Containers[0]
	for _, name := range c.SecurityContext.Capabilities.Add {
		caps = append(caps, "CAP_"+name)
	}
	return c.Args, caps
}

// TestServiceCapabilities: units and DaemonSet name the capabilities that the daemon asks
// for, and no others.
func TestServiceCapabilities(t *testing.T) {
	_, set := daemonSet(t)
	lists := map[string][]string{"daemonset.yaml": set}
	bounding := regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`)
	for path, text := range units(t) {
		lists[path] = strings.Fields(bounding.FindStringSubmatch(text)[1])
	}
	want, all := []string{}, uint64(0)
	for name, bit := range capabilityBits {
		want, all = append(want, name), all|bit
	}
	slices.Sort(want)
	for file, names := range lists {
		slices.Sort(names)
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	// TestServiceCapabilitiesSuffice has the last.
	own := parse(t, "--mode", "own", "--snapshot", "bpf")
	if err := own.checkCaps(all, nil); err != nil {
		t.Error(err)
	}
	for name, bit := range capabilityBits {
		err := own.checkCaps(all&^bit, nil)
		if asked := err != nil && strings.Contains(err.Error(), name); asked == (name == "CAP_SYS_PTRACE") {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// TestServiceCapabilitiesSuffice: with them everything works that works for root with all,
// but cpusets, whose directories may not even be root's to write to, and kprobes, for which
// Debian's kernels want more; fentry does as well. Without the last of the capabilities the
// executables of others cannot be read, by which --exclude goes.
func TestServiceCapabilitiesSuffice(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("dropping capabilities needs root")
	}
	all := uint64(0)
	for _, bit := range capabilityBits {
		all |= bit
	}
	works := func(mask uint64) (names []string) {
		out, err := exec.Command("onlycaps", fmt.Sprintf("%#x", mask), "mllbd", "check", "--json", "--state-dir", t.TempDir()).Output()
		var found checked
		if err == nil {
			err = json.Unmarshal(out, &found)
		}
		if err != nil {
			t.Fatalf("check with %#x: %v\n%s", mask, err, out)
		}
		for _, p := range found.Details {
			if p.OK && !strings.HasPrefix(p.Name, "cpuset-") && p.Name != "decisions-kprobe" {
				names = append(names, p.Name)
			}
		}
		return names
	}
	if diff := cmp.Diff(works(^uint64(0)), works(all)); diff != "" {
		t.Errorf("what works (-with all capabilities +with those of the service):\n%s", diff)
	}
	stranger := exec.Command("sleep", "3600")
	stranger.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stranger.Process.Kill(); _ = stranger.Wait() })
	for mask, want := range map[uint64]bool{all: true, all &^ capabilityBits["CAP_SYS_PTRACE"]: false} {
		err := exec.Command("onlycaps", fmt.Sprintf("%#x", mask), "readlink", fmt.Sprintf("/proc/%d/exe", stranger.Process.Pid)).Run()
		if (err == nil) != want {
			t.Errorf("with %#x, the executable of another user's process: %v", mask, err)
		}
	}
}

// TestDaemonSetCommand: what the DaemonSet runs is a command of mllbd that observes, and
// listens on the pod's address, of either family.
func TestDaemonSetCommand(t *testing.T) {
	args, _ := daemonSet(t)
	for _, ip := range []string{"10.0.0.1", "fd00::1"} {
		var expanded []string
		for _, a := range args {
			expanded = append(expanded, strings.ReplaceAll(a, "$(POD_IP)", ip))
		}
		var c cli
		if _, err := c.parse(expanded, io.Discard, io.Discard); err != nil || c.Run.Mode != "observe" || !strings.Contains(c.Run.Listen, ip) {
			t.Errorf("%q: %+v, %v", expanded, c.Run, err)
		}
	}
	dockerfile := string(deployed(t, "kubernetes/Dockerfile"))
	copied := regexp.MustCompile(`(?m)^COPY mllbd (\S+)$`).FindStringSubmatch(dockerfile)
	if copied == nil || !strings.Contains(dockerfile, fmt.Sprintf("ENTRYPOINT [%q]", copied[1])) {
		t.Errorf("the image does not run what it has:\n%s", dockerfile)
	}
}
