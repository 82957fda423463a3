// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const deploy = "../../deploy"

// TestUnitCommands parses what the units run as mllbd would.
func TestUnitCommands(t *testing.T) {
	found := regexp.MustCompile(`(?m)^Exec\w+=/usr/bin/mllbd (.*)$`)
	var ran []string
	for _, text := range units(t) {
		for _, m := range found.FindAllStringSubmatch(text, -1) {
			var c cli
			if _, err := c.parse(strings.Fields(m[1]), io.Discard, io.Discard); err != nil {
				t.Errorf("mllbd %s: %v", m[1], err)
			}
			if strings.HasPrefix(m[1], "run ") && c.Run.Mode != "observe" {
				t.Errorf("mllbd %s has mode %s", m[1], c.Run.Mode)
			}
			ran = append(ran, strings.Fields(m[1])[0])
		}
	}
	slices.Sort(ran)
	if diff := cmp.Diff([]string{"restore", "restore", "run"}, ran); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

// TestUnitsAreConfined asks systemd how much a unit may do.
func TestUnitsAreConfined(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	level := regexp.MustCompile(`Overall exposure level for \S+: (\S+) `)
	for path := range units(t) {
		out, err := exec.Command(analyze, "security", "--offline=true", path).CombinedOutput()
		if err != nil && strings.Contains(string(out), "nrecognized option") {
			t.Skipf("%s is of before 250", analyze)
		}
		m := level.FindSubmatch(out)
		if err != nil || m == nil {
			t.Fatalf("%v\n%s", err, out)
		}
		exposure, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil || exposure >= 3 {
			t.Errorf("%s: exposure %s, %v\n%s", path, m[1], err, out)
		}
		t.Logf("%s: exposure %v", filepath.Base(path), exposure)
	}
}

// units returns the text of the units by their paths.
func units(t *testing.T) map[string]string {
	t.Helper()
	if inGuest {
		t.Skip("the guest has no deploy/, and no part in this")
	}
	paths, err := filepath.Glob(deploy + "/systemd/*.service")
	if err != nil || len(paths) < 2 {
		t.Fatal(paths, err)
	}
	text := make(map[string]string)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text[path] = string(b)
	}
	return text
}

// TestExampleConfiguration: the example as it is sets nothing, each of its keys is one,
// and those that a reload takes are marked.
func TestExampleConfiguration(t *testing.T) {
	if inGuest {
		t.Skip("the guest has no deploy/, and no part in this")
	}
	b, err := os.ReadFile(deploy + "/mllbd.yaml")
	if err != nil {
		t.Fatal(err)
	}
	key := regexp.MustCompile(`(?m)^#([a-z-]+): .*$`)
	var marked []string
	reloads := false
	for line := range strings.Lines(string(b)) {
		switch m := key.FindStringSubmatch(line); {
		case m != nil && reloads:
			marked = append(marked, m[1])
		case strings.HasPrefix(line, "# * "):
			reloads = true
		case line == "\n":
			reloads = false
		}
	}
	want := slices.DeleteFunc(slices.Clone(reloadable), func(f string) bool { return f == "config" || f == "profile" })
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(marked))); diff != "" {
		t.Errorf("marked as reloadable (-want +got):\n%s", diff)
	}
	if c := configured(t, string(b)); !cmp.Equal(*c, *configured(t, ""), cmp.AllowUnexported(runCmd{}), ignoreConfig) {
		t.Errorf("the example sets something: %+v", c)
	}
	if c := configured(t, key.ReplaceAllStringFunc(string(b), func(line string) string { return line[1:] })); c.Listen == "" || c.Profile == "" || len(c.Exclude) != 2 {
		t.Errorf("its keys set %+v", c)
	}
}

var ignoreConfig = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Config" }, cmp.Ignore())

// configured is `mllbd run` with a configuration.
func configured(t *testing.T, text string, args ...string) *runCmd {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mllbd.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var c cli
	if _, err := c.parse(append([]string{"run", "--config", path}, args...), io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	return &c.Run
}

// TestProfiles: each that is built in is valid, and does what its name says.
func TestProfiles(t *testing.T) {
	for name, mode := range map[string]string{"observe": "observe", "batch": "own", "latency": "assist"} {
		if c := configured(t, "", "--profile", name); c.Mode != mode {
			t.Errorf("%s has mode %s", name, c.Mode)
		}
	}
	if len(profileNames()) != 3 {
		t.Errorf("profiles: %q", profileNames())
	}
}

// TestOwnProfiles: an administrator's profile is found, and replaces one built in.
func TestOwnProfiles(t *testing.T) {
	was := profileDir
	t.Cleanup(func() { profileDir = was })
	profileDir = t.TempDir()
	for name, text := range map[string]string{"batch": "interval: 3s", "mine": "interval: 4s\nmode: own"} {
		if err := os.WriteFile(filepath.Join(profileDir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if c := configured(t, "", "--profile", "batch"); c.Interval.String() != "3s" || c.Mode != "observe" {
		t.Errorf("batch: %+v", c)
	}
	if c := configured(t, "profile: mine\nmode: assist"); c.Interval.String() != "4s" || c.Mode != "assist" {
		t.Errorf("mine: %+v", c)
	}
}

// TestDefaultConfiguration: the host's is the service's; a command takes the state
// directory from it alone, and what is wrong with it is an error.
func TestDefaultConfiguration(t *testing.T) {
	was := defaultConfig
	t.Cleanup(func() { defaultConfig = was })
	defaultConfig = filepath.Join(t.TempDir(), "mllbd.yaml")
	var c cli
	parse := func(text string, args ...string) error {
		if err := os.WriteFile(defaultConfig, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c = cli{}
		_, err := c.parse(args, io.Discard, io.Discard)
		return err
	}
	const text = "mode: own\nstate-dir: /there\nlisten: 127.0.0.1:1\nprofile: batch"
	if err := parse(text, "run"); err != nil || c.Run.Mode != "own" || c.Run.StateDir != "/there" || c.Run.Listen == "" || c.Run.Interval.String() != "200ms" {
		t.Errorf("run: %+v, %v", c.Run, err)
	}
	for _, args := range [][]string{{"run", "--", "true"}, {"run", "true"}} {
		if err := parse(text, args...); err != nil || c.Run.Mode != "assist" || c.Run.StateDir != "/there" || c.Run.Listen != "" || c.Run.Profile != "" {
			t.Errorf("%q: %+v, %v", args, c.Run, err)
		}
	}
	if err := parse(text, "restore"); err != nil || c.Restore.StateDir != "/there" {
		t.Errorf("restore: %+v, %v", c.Restore, err)
	}
	for _, args := range [][]string{{"run"}, {"run", "--", "true"}, {"check"}} {
		if err := parse("modes: own", args...); err == nil || err.Error() != defaultConfig+`:1: unknown key "modes", did you mean "mode"?` {
			t.Errorf("%q: %v", args, err)
		}
	}
}
