// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseArm(t *testing.T) {
	for _, tt := range []struct {
		text string
		want Arm
	}{
		{"stock", Arm{Name: "stock", Kind: Stock}},
		{"again=stock", Arm{Name: "again", Kind: Stock}},
		{"own", Arm{Name: "own", Kind: Daemon, Mode: "own", Policy: "mlp"}},
		{"own:never", Arm{Name: "own:never", Kind: Daemon, Mode: "own", Policy: "never"}},
		{"assist:interval=50ms", Arm{Name: "assist:interval=50ms", Kind: Daemon, Mode: "assist", Policy: "mlp", Flags: []string{"--interval=50ms"}}},
		{"fast=own:cfs:interval=10ms:hold=all", Arm{Name: "fast", Kind: Daemon, Mode: "own", Policy: "cfs", Flags: []string{"--interval=10ms", "--hold=all"}}},
		{"scx", Arm{Name: "scx", Kind: Daemon, Mode: "own", Policy: "mlp", Flags: []string{"--backend=scx"}}},
		{"scx:never", Arm{Name: "scx:never", Kind: Daemon, Mode: "own", Policy: "never", Flags: []string{"--backend=scx"}}},
		{"probe=own:topology=probe", Arm{Name: "probe", Kind: Daemon, Mode: "own", Policy: "mlp", Flags: []string{"--topology=probe"}}},
		{"kernel:replace", Arm{Name: "kernel:replace", Kind: Kernel, Mode: "replace"}},
		{"with:numad -F -i 1", Arm{Name: "with:numad -F -i 1", Kind: With, Command: []string{"numad", "-F", "-i", "1"}}},
		{"n=with:numad -l '7'", Arm{Name: "n", Kind: With, Command: []string{"sh", "-c", "exec numad -l '7'"}}},
	} {
		got, err := ParseArm(tt.text)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", tt.text, err, diff)
		}
	}
}

func TestParseArmRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                     `"" is not one of stock`,
		"stock:mlp":            `"stock" is not one of`,
		"own:best":             `policy "best" is not one of mlp, cfs`,
		"own:mlp:cfs":          `policy "cfs"`,
		"own:cgroup=/x":        `flag "cgroup" is not one of`,
		"own:interval=":        `flag "interval"`,
		"own:interval=1s:":     `policy ""`,
		"kernel:":              `mode "" is not one of off`,
		"with:":                "needs a command",
		"with:   ":             "needs a command",
		"both=own=stock":       `"own=stock" is not one of`,
		"with space=own:never": `"with space=own" is not one of`,
	} {
		if _, err := ParseArm(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What a result depends on, and might be another one tomorrow.
func TestArmFiles(t *testing.T) {
	for text, want := range map[string][]string{
		"own":                                nil,
		"own:topology=sysfs":                 nil,
		"assist:topology=probe:hold=all":     nil,
		"own:topology=p.json":                {"p.json"},
		"own:model=m.json:topology=p/q.json": {"m.json", "p/q.json"},
	} {
		a, err := ParseArm(text)
		if diff := cmp.Diff(want, a.Files()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestParseArms(t *testing.T) {
	arms, err := ParseArms([]string{"own", " stock", "again=stock"})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range arms {
		names = append(names, a.Name)
	}
	if got := strings.Join(names, " "); got != "stock own again" {
		t.Errorf("arms %q: stock is first, the others as they were given", got)
	}
	for _, tt := range []struct{ text, want string }{
		{"own assist", "arm stock is missing"},
		{"stock=own assist", "arm stock is missing"},
		{"stock", "nothing to compare"},
		{"stock own own", `"own" is named twice`},
		{"stock stock", "again=stock"},
	} {
		if _, err := ParseArms(strings.Fields(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

// FuzzParseArm: nothing panics, and what is accepted has all that its kind needs.
func FuzzParseArm(f *testing.F) {
	for _, s := range []string{"stock", "own:cfs:hold=all", "a=with:x;y", "kernel:off", "with: '", "=", ":"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := ParseArm(text)
		if err != nil {
			return
		}
		switch {
		case a.Name == "", a.Kind == Daemon && (a.Mode == "" || a.Policy == ""), a.Kind == Kernel && a.Mode == "":
			t.Errorf("%q: %+v", text, a)
		case a.Kind == With && a.program() == "":
			t.Errorf("%q runs nothing", text)
		}
	})
}
