// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mllb/scheduler"
)

// Kind is who schedules in an arm.
type Kind string

// The kinds of arms.
const (
	Stock  Kind = "stock"  // the kernel as it is
	Daemon Kind = "daemon" // mllbd around the workload
	Kernel Kind = "kernel" // a kernel with the network in it
	With   Kind = "with"   // a companion: any other program next to the workload
)

// StockName is the arm that others are compared with.
const StockName = "stock"

// Arm is one way to have a workload scheduled.
type Arm struct {
	Name    string   `json:"name"`
	Kind    Kind     `json:"kind"`
	Mode    string   `json:"mode,omitempty"`    // of mllbd, or of the kernel's control file
	Policy  string   `json:"policy,omitempty"`  // of mllbd
	Flags   []string `json:"flags,omitempty"`   // of mllbd run, more of them
	Command []string `json:"command,omitempty"` // the companion, by sh -c if it has more than words
}

// ArmHelp says how arms are written.
var ArmHelp = `stock            the kernel's scheduler alone, with which the others are compared
MODE[:POLICY]    mllbd around the workload: observe, assist or own; ` + list(armPolicy, "or") + `
  [:FLAG=VALUE]  and flags of mllbd run: interval, max-cpu, hold, budget, lease, cool-down, model, snapshot,
  exclude, topology (own:topology=probe)
scx[:POLICY]     mllbd with its sched_ext scheduler, --backend scx, for the workload; the same policies and flags
kernel:MODE      a kernel with the network in it: off, replace or shadow
with:COMMAND     COMMAND as a companion of the workload (numad, a sched_ext scheduler)
NAME=ARM         any of them under a name of your own: again=stock compares stock with itself`

var (
	armName    = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]*)=(.+)$`)
	armModes   = []string{"observe", "assist", "own"}
	armPolicy  = scheduler.PolicyNames()
	armFlags   = []string{"interval", "max-cpu", "hold", "budget", "lease", "cool-down", "model", "snapshot", "exclude", "topology"}
	armKernels = []string{"off", "replace", "shadow"}
)

// list writes "a", "a or b", "a, b or c".
func list(names []string, word string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " " + word + " " + names[last]
}

// ParseArm reads one arm; see ArmHelp.
func ParseArm(text string) (Arm, error) {
	spec := text
	name := text
	if m := armName.FindStringSubmatch(text); m != nil {
		name, spec = m[1], m[2]
	}
	a, err := parseSpec(spec)
	if err != nil {
		return Arm{}, fmt.Errorf("arm %q: %w", text, err)
	}
	a.Name = name
	return a, nil
}

func parseSpec(spec string) (Arm, error) {
	head, rest, more := strings.Cut(spec, ":")
	switch {
	case head == "stock" && !more:
		return Arm{Kind: Stock}, nil
	case head == "kernel":
		if !slices.Contains(armKernels, rest) {
			return Arm{}, fmt.Errorf("kernel mode %q is not one of %s", rest, strings.Join(armKernels, ", "))
		}
		return Arm{Kind: Kernel, Mode: rest}, nil
	case head == "with":
		words := strings.Fields(rest)
		if len(words) == 0 {
			return Arm{}, errors.New("with: needs a command")
		}
		if strings.ContainsAny(rest, "\"'\\$&|;<>()*?[`~") {
			words = []string{"sh", "-c", "exec " + rest}
		}
		return Arm{Kind: With, Command: words}, nil
	case head == "scx":
		a, err := parseDaemon("own", rest)
		a.Flags = append([]string{"--backend=scx"}, a.Flags...)
		return a, err
	case slices.Contains(armModes, head):
		return parseDaemon(head, rest)
	}
	return Arm{}, fmt.Errorf("%q is not one of stock, %s, scx, kernel:MODE, with:COMMAND", head, strings.Join(armModes, ", "))
}

func parseDaemon(mode, rest string) (Arm, error) {
	a := Arm{Kind: Daemon, Mode: mode, Policy: armPolicy[0]}
	for i, part := range strings.Split(rest, ":") {
		flag, value, isFlag := strings.Cut(part, "=")
		switch {
		case part == "" && rest == "":
		case !isFlag && i == 0 && slices.Contains(armPolicy, part):
			a.Policy = part
		case isFlag && slices.Contains(armFlags, flag) && value != "":
			a.Flags = append(a.Flags, "--"+flag+"="+value)
		case isFlag:
			return a, fmt.Errorf("flag %q is not one of %s, with a value", flag, strings.Join(armFlags, ", "))
		default:
			return a, fmt.Errorf("policy %q is not one of %s", part, strings.Join(armPolicy, ", "))
		}
	}
	return a, nil
}

// ParseArms reads arms and checks that one is stock, first in the list, and that
// none has the name of another.
func ParseArms(texts []string) ([]Arm, error) {
	var arms []Arm
	for _, t := range texts {
		a, err := ParseArm(strings.TrimSpace(t))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(arms, func(b Arm) bool { return a.Name == b.Name }) {
			return nil, fmt.Errorf("arm %q is named twice: give one of them another name, as in again=%s", a.Name, t)
		}
		arms = append(arms, a)
	}
	i := slices.IndexFunc(arms, func(a Arm) bool { return a.Name == StockName })
	if i < 0 || arms[i].Kind != Stock {
		return nil, errors.New("arm stock is missing: the others are compared with it")
	}
	if len(arms) < 2 {
		return nil, errors.New("nothing to compare with stock: name another arm")
	}
	return slices.Concat(arms[i:i+1], arms[:i], arms[i+1:]), nil
}

// program is the name of the companion.
func (a *Arm) program() string {
	if words := a.Command; len(words) == 3 && words[0] == "sh" && words[1] == "-c" {
		if script, ok := strings.CutPrefix(words[2], "exec "); ok {
			return strings.Fields(script)[0]
		}
	}
	return a.Command[0]
}

// DaemonFlags are those of `mllbd run` for the arm.
func (a *Arm) DaemonFlags() []string {
	return append([]string{"--mode=" + a.Mode, "--policy=" + a.Policy}, a.Flags...)
}

// Files are those that the arm's flags name: a model, a machine profile.
func (a *Arm) Files() (files []string) {
	for _, f := range a.Flags {
		flag, path, _ := strings.Cut(f, "=")
		switch {
		case flag == "--model":
			files = append(files, path)
		case flag == "--topology" && path != "sysfs" && path != "probe":
			files = append(files, path)
		}
	}
	return files
}
