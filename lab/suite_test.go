// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeTests plays a test binary in the n-th guest, from 0. The script has a
// word for each test: its name and what comes of it in each guest, as
// TestA=FAIL,PASS; the last holds on. PANIC ends the binary in the test, and a
// test whose name is STATUS sets the exit status. The command line, which
// stands in the initramfs, is obeyed.
func fakeTests(script string, n int) (out string, status int) {
	skip := regexp.MustCompile("^$")
	image, err := os.ReadFile(os.Args[slices.Index(os.Args, "-initrd")+1])
	if err != nil {
		return err.Error(), 9
	}
	var conf guestConfig
	at := max(0, bytes.Index(image, []byte(`{"args":`)))
	if err := json.NewDecoder(bytes.NewReader(image[at:])).Decode(&conf); err != nil {
		return err.Error(), 9
	}
	for _, arg := range conf.Args {
		if names, ok := strings.CutPrefix(arg, "-test.skip="); ok {
			skip = regexp.MustCompile(names)
		}
	}
	for word := range strings.FieldsSeq(script) {
		name, verdicts, _ := strings.Cut(word, "=")
		all := strings.Split(verdicts, ",")
		verdict := all[min(n, len(all)-1)]
		switch {
		case name == "STATUS":
			_, _ = fmt.Sscan(verdict, &status)
			return out, status
		case verdict == "-" || skip.MatchString(topLevel(name)):
			continue
		case verdict == "PANIC":
			return out + "\x16=== RUN   " + name + "\npanic: boom\n", 2
		case verdict == testFail:
			status = 1
		}
		out += fmt.Sprintf("\x16=== RUN   %s\n    guest %d\n\x16--- %s: %s (0.00s)\n", name, n+1, verdict, name)
	}
	return out, status
}

// TestRetries lets tests fail in fake guests: only what is seen to pass by name
// may be forgiven.
func TestRetries(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		retries      int
		want         string // verdicts of all tests
		guests       int
		fails        string // part of the error; "": none
	}{
		{"passes", "TestA=PASS TestB=SKIP", 1, "TestA=PASS TestB=SKIP", 1, ""},
		{"flaky", "TestA=PASS TestB=FAIL,PASS TestC=SKIP", 1, "TestA=PASS TestB=FLAKY TestC=SKIP", 2, ""},
		{"fails twice", "TestA=FAIL TestB=FAIL,PASS", 1, "TestA=FAIL TestB=FLAKY", 2, "status 1"},
		{"no retries", "TestA=FAIL,PASS", 0, "TestA=FAIL", 1, "status 1"},
		{"two retries", "TestA=FAIL,FAIL,PASS TestB=FAIL,PASS,FAIL", 2, "TestA=FLAKY TestB=FLAKY", 3, ""},
		{"a name that starts another's", "TestA=PASS TestAB=FAIL", 1, "TestA=PASS TestAB=FAIL", 2, "status 1"},
		{"what passed is not asked again", "TestA=PASS,FAIL TestB=FAIL,PASS", 1, "TestA=PASS TestB=FLAKY", 2, ""},
		{"failed, then skipped", "TestA=FAIL,SKIP", 1, "TestA=FAIL", 2, errNotProved.Error()},
		{"failed, then missing", "TestA=FAIL,- TestB=PASS", 1, "TestA=FAIL TestB=PASS", 2, errNotProved.Error()},
		{"a subtest", "TestA/x=FAIL,PASS TestA/y=PASS,FAIL TestA=FAIL", 1, "TestA/x=FLAKY TestA/y=FAIL TestA=FAIL", 2, "status 1"},
		{"a subtest fails, then is skipped", "TestA/x=FAIL,SKIP TestA=FAIL,PASS", 1, "TestA/x=FAIL TestA=FLAKY", 2, errNotProved.Error()},
		{"panic, then what it kept from running", "TestA=PASS TestB=PANIC,PASS TestC=PASS", 1, "TestA=PASS TestB=FLAKY TestC=PASS", 2, ""},
		{"panic, then another failure", "TestA=PANIC,PASS TestB=FAIL", 1, "TestA=FLAKY TestB=FAIL", 2, "status 1"},
		{"panics twice", "TestA=PANIC TestB=PASS", 1, "TestA=FAIL", 2, "status 2"},
		{"a status without a failed test", "TestA=PASS STATUS=3", 1, "TestA=PASS", 1, "status 3"},
		{"a status that stays", "TestA=FAIL,PASS STATUS=4", 1, "TestA=FLAKY", 2, "status 4"},
		{"failed, with status 0", "TestA=FAIL,PASS STATUS=0", 1, "TestA=FAIL", 1, "but the exit status is 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := runFakeTests(t, "tests "+tt.script, tt.retries, tt.guests)
			if diff := cmp.Diff(strings.Fields(tt.want), verdicts(p)); diff != "" {
				t.Errorf("verdicts (-want +got):\n%s", diff)
			}
			if p.Retries != tt.guests-1 || p.Died != 0 {
				t.Errorf("%d retries, %d guests died", p.Retries, p.Died)
			}
			if (p.Err == nil) != (tt.fails == "") || p.Err != nil && !strings.Contains(p.Err.Error(), tt.fails) {
				t.Errorf("%v, want %q", p.Err, tt.fails)
			}
		})
	}
}

// TestNoRetryOfDeadGuests: that the kernel dies each time is no test's fault.
func TestNoRetryOfDeadGuests(t *testing.T) {
	if p := runFakeTests(t, "panic", 1, 1); !errors.Is(p.Err, ErrPanic) || p.Retries != 0 {
		t.Errorf("%d retries, %v", p.Retries, p.Err)
	}
	if p := runFakeTests(t, "oops", 1, 2); !errors.Is(p.Err, ErrOops) || p.Retries != 0 || p.Died != 1 {
		t.Errorf("%d retries, %d died, %v", p.Retries, p.Died, p.Err)
	}
}

// TestFlakyKeepsItsFailure: what the test said when it failed is still shown.
func TestFlakyKeepsItsFailure(t *testing.T) {
	p := runFakeTests(t, "tests TestA=FAIL,PASS", 1, 2)
	if diff := cmp.Diff([]TestOutcome{{Name: "TestA", Verdict: testFlaky, Log: []string{"guest 1"}}}, p.Tests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func runFakeTests(t *testing.T, play string, retries, guests int) Package {
	t.Helper()
	state := playFake(t, play)
	s := Suite{
		Guest: Config{Shape: Shape{1, 1, 1, 1}, Init: "/etc/hostname"}, Tries: 2, Retries: retries, Logs: t.TempDir(),
	}
	p, err := s.one(t.Context(), Kernel{Release: "6.12-fake"}, "fake", []File{{Host: "/etc/hostname", Guest: "/bin/fake.test"}})
	if err != nil {
		t.Fatal(err)
	}
	checkGone(t, state, guests)
	return p
}

// As many guests run at once as are asked for: each of these waits for another.
func TestGuestsAtOnce(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":      "module fake\n",
		"mlp/x":       "",
		"features/x":  "",
		"a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	state := playFake(t, "wait for another")
	t.Setenv("PATH", os.Getenv("PATH")+":"+filepath.Dir(goTool))
	var reported []string
	suite := Suite{
		Root: root, Cache: t.TempDir(), Packages: []string{"a"}, Kernels: []Kernel{{Release: "6.12-fake"}, {Release: "7.2-fake"}},
		Guest:  Config{Shape: Shape{1, 1, 1, 1}, Init: "/etc/hostname"},
		Guests: 2, Tries: 1, Logs: t.TempDir(),
		Report: func(p Package) { reported = append(reported, p.Kernel) },
	}
	all, err := suite.All(t.Context())
	if err != nil || len(all) != 2 || len(reported) != 2 {
		t.Fatalf("%d packages, %d reported, %v", len(all), len(reported), err)
	}
	for _, p := range all {
		if p.Err != nil {
			t.Errorf("%s: %v", p.Kernel, p.Err)
		}
	}
	checkGone(t, state, 2)
}

// playFake makes this binary the only QEMU and returns the file that counts
// its guests.
func playFake(t *testing.T, play string) (state string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, qemuBinary)); err != nil {
		t.Fatal(err)
	}
	state = filepath.Join(t.TempDir(), "state")
	t.Setenv("PATH", bin)
	t.Setenv("FAKE_QEMU", play)
	t.Setenv("FAKE_QEMU_STATE", state)
	return state
}

func verdicts(p Package) (all []string) {
	for _, t := range p.Tests {
		all = append(all, t.Name+"="+t.Verdict)
	}
	return all
}
