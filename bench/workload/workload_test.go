// SPDX-License-Identifier: Apache-2.0

package workload

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mllb/bench/workload/fixed"
)

func TestNames(t *testing.T) {
	want := []string{"fibo", "spin", "wakers", "numa", "pipeline", "even", "uneven", "blackscholes", "ferret", "freqmine", "swaptions", "dedup", "stress-ng", "hackbench", "schbench"}
	if got := Names(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for _, w := range Workloads() {
		if w.Help == "" {
			t.Errorf("%s has no help", w.Name)
		}
	}
}

// TestRefused has what Resolve must not take, and what it must call missing.
func TestRefused(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, tt := range []struct {
		name    string
		o       Options
		missing bool
		want    string
	}{
		{"spam", Options{}, false, `workload "spam" is not one of fibo, spin`},
		{"", Options{}, false, `workload "" is not one of`},
		{"cmd: ", Options{}, false, "cmd: needs a command"},
		{"spin", Options{Scale: -1}, false, "workload spin: scale -1 is not in 0..1e6"},
		{"spin", Options{Scale: math.NaN()}, false, "scale NaN"},
		{"spin", Options{Scale: math.Inf(1)}, false, "scale +Inf"},
		{"spin", Options{Threads: -1}, false, "--threads -1 is not in 0..10000"},
		{"spin", Options{Scale: 1e6}, false, "work 1500000000 is not in"},
		{"pipeline", Options{Threads: 4}, false, "--threads 4 is not in 5..10000"},
		{"spin*0", Options{}, false, `"0" is not a number in 1..1000000`},
		{"spin*2*3", Options{}, false, `"2*3" is not a number in 1..1000000`},
		{"even@", Options{}, false, `"" is not a share of the CPUs in 1%..10000%`},
		{"even@50", Options{}, false, `"50" is not a share`},
		{"even@0%", Options{}, false, `"0%" is not a share`},
		{"even@-5%", Options{}, false, `"-5%" is not a share`},
		{"even@50%@50%", Options{}, false, `"50%@50%" is not a share`},
		{"spam@50%", Options{}, false, `"spam" is not one of`},
		{"fibo@50%", Options{}, false, "fibo has no number of threads to choose"},
		{"pipeline@25%", Options{CPUs: 4}, false, "--threads 1 is not in 5..10000"},
		{"spam*2", Options{}, false, `"spam" is not one of`},
		{"stress-ng", Options{}, true, "stress-ng is missing: install the package stress-ng"},
		{"hackbench", Options{}, true, "hackbench is missing: install the package rt-tests, or perf"},
		{"schbench", Options{}, true, "schbench is missing: build it from"},
		{"schbench*2", Options{}, true, "schbench is missing"},
		{"dedup", Options{}, true, "PARSEC is missing: PARSEC 3.0 is at"},
	} {
		c, err := Resolve(tt.name, tt.o)
		var missing *Missing
		if c != nil || err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &missing) != tt.missing {
			t.Errorf("%q: %v, want %q (missing: %v)", tt.name, err, tt.want, tt.missing)
		}
	}
}

// TestBuiltins holds each command line to what it must print.
func TestBuiltins(t *testing.T) {
	for _, tt := range []struct {
		name string
		argv string
	}{
		{"spin", "mllb workload spin --threads 6 --work 750 --seed 1"},
		{"wakers", "mllb workload wakers --threads 6 --work 400 --seed 1"},
		{"numa", "mllb workload numa --threads 6 --work 500 --seed 1"},
		{"pipeline", "mllb workload pipeline --threads 6 --work 350 --seed 1"},
	} {
		c, err := Resolve(tt.name, Options{Threads: 6, Self: "mllb", Scale: 0.5})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Argv, " "); got != tt.argv || c.Threads != 6 || c.Name != tt.name {
			t.Errorf("%s with %d threads: %q, want %q", c.Name, c.Threads, got, tt.argv)
		}
	}
	for name, argv := range map[string]string{
		"even@25%": "mllb workload even --threads 1 --work 1500 --seed 1", "uneven@75%": "mllb workload uneven --threads 3 --work 1500 --seed 1",
		"spin@150%": "mllb workload spin --threads 6 --work 1500 --seed 1", "even@30%": "mllb workload even --threads 1 --work 1500 --seed 1", "even@1%": "mllb workload even --threads 1 --work 1500 --seed 1",
	} {
		c, err := Resolve(name, Options{Self: "mllb", CPUs: 4, Threads: 9})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(c.Argv, " "); got != argv || c.Name != name {
			t.Errorf("%s of 4 CPUs: %q, called %s; want %q", name, got, c.Name, argv)
		}
	}
	c, err := Resolve("fibo", Options{Self: "mllb", Scale: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Argv, " "); got != "mllb workload fibo --work 1" || c.Threads != 3193 {
		t.Errorf("fibo with %d threads: %q", c.Threads, got)
	}
	refuse(t, c, "fibo 16: 987 by 3193 threads, made and joined 1 time\n", "fibo 16: 987 by 3192 threads, made and joined 1 times\n", "fibo 15: 610 by 1973 threads, made and joined 1 times", "")
}

// TestChecksum has Check take the sum of the work, and no other.
func TestChecksum(t *testing.T) {
	c, err := Resolve("spin", Options{Threads: 2, Self: "mllb", Scale: 0.001})
	if err != nil {
		t.Fatal(err)
	}
	s := fixed.Spec{Kind: "spin", Threads: 2, Work: 2, Seed: 1}
	sum, err := fixed.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	more := s
	more.Work++
	refuse(t, c, s.Line(sum)+"\n", s.Line(sum+1), more.Line(sum), s.Line(sum)+"\n"+s.Line(sum), "")
}

// refuse has a command's check take one output and none of the others.
func refuse(t *testing.T, c *Command, good string, bad ...string) {
	t.Helper()
	if err := c.Check([]byte(good)); err != nil {
		t.Errorf("%s: %v", c.Name, err)
	}
	for _, out := range bad {
		if err := c.Check([]byte(out)); err == nil {
			t.Errorf("%s: %q is as good as %q", c.Name, out, good)
		}
	}
}

// stdout runs a command as bench does.
func stdout(t *testing.T, c *Command) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), c.Argv[0], c.Argv[1:]...)
	cmd.Env, cmd.Dir = append(os.Environ(), c.Env...), c.Dir
	return cmd.Output()
}

func TestCommand(t *testing.T) {
	c, err := Resolve("cmd:echo a | tr a b; exit 3", Options{})
	if err != nil {
		t.Fatal(err)
	}
	out, err := stdout(t, c)
	var exit *exec.ExitError
	if string(out) != "b\n" || !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("%q, %v", out, err)
	}
}

// TestTimes counts the runs, and checks each.
func TestTimes(t *testing.T) {
	for _, tt := range []struct {
		line, want string
		exit       bool
	}{
		{"echo x >>" + filepath.Join(t.TempDir(), "f"), "", false},
		{"printf 'no newline'", "", false},
		{"exit 4", "0 of 3 runs ended", true},
		{"echo >> f; test $(wc -l <f) -lt 2", "1 of 3 runs ended", true},
	} {
		c, err := Resolve("cmd:"+tt.line, Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Argv = append([]string{"/bin/sh", "-c", script, "3"}, c.Argv...)
		c.Dir = t.TempDir()
		out, err := stdout(t, c)
		if (err != nil) != tt.exit {
			t.Errorf("%s: %v", tt.line, err)
		}
		err = checkTimes(3, func([]byte) error { return nil })(out)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%s: %v, want %q", tt.line, err, tt.want)
		}
	}
}

func TestTimesChecksEach(t *testing.T) {
	c, err := Resolve("fibo*2", Options{Self: "mllb", Scale: 0.04})
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "fibo*2" || c.Argv[len(c.Argv)-1] != "1" || c.Argv[3] != "2" {
		t.Errorf("%s: %q", c.Name, c.Argv)
	}
	one := "fibo 16: 987 by 3193 threads, made and joined 1 time\n\n" + boundary + "\n"
	wrong := strings.Replace(one, "987", "988", 1)
	refuse(t, c, one+one, one, one+one+one, one+wrong, wrong+one, one+one+"x", "")
}
