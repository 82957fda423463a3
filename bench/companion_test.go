// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// withArm makes the rig's second arm run a companion.
func (x *executor) withArm(words ...string) {
	x.config.Arms[1] = Arm{Name: "with", Kind: With, Command: words}
}

// Another daemon that goes to the background, as numad does, runs with the
// workload and is told to stop after it; SIGINT is enough.
func TestCompanion(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	x := rig(t, "sh", "-c", "echo work >>"+log)
	script := `trap 'echo stopped >>LOG; exit 0' INT; echo up >>LOG; while :; do sleep 0.01; done`
	x.withArm("sh", "-c", "setsid --fork sh -c '"+strings.ReplaceAll(strings.ReplaceAll(script, "LOG", log), "'", `'\''`)+"'")
	rec, err := x.run(t.Context(), slot("with"))
	if err != nil || rec.Failed != "" || rec.Companion == nil || !rec.Companion.Stayed || rec.Wall <= 0 {
		t.Fatalf("%v, %+v", err, rec)
	}
	b, err := os.ReadFile(log)
	if got := strings.Fields(string(b)); err != nil || cmp.Diff([]string{"up", "work", "stopped"}, got) != "" {
		t.Errorf("%v: %v", got, err)
	}
	d := newEffects(&x.config.Arms[1], []*Record{&rec})
	if d.NoOp || !d.Known || d.Changed != 1 || !d.CPU.Known() {
		t.Errorf("%+v", d)
	}
}

func TestCompanionFailures(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
	}{
		{"ends at once", "echo bad flag >&2; exit 2", "sh ended before the workload began: exit status 2: bad flag"},
		{"ends meanwhile", "sleep 1.2; echo died >&2; exit 1", "sh did not run to the end: exit status 1: died"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := rig(t, "sleep", "0.7")
			x.withArm("sh", "-c", tt.script)
			rec, err := x.run(t.Context(), slot("with"))
			if err != nil || !strings.Contains(rec.Failed, tt.want) {
				t.Errorf("%v, %q, want %q", err, rec.Failed, tt.want)
			}
		})
	}
	x := rig(t, "true")
	x.config.Arms = append(x.config.Arms, Arm{Name: "n", Kind: With, Command: []string{"no-such-scheduler", "-x"}})
	if x.leaveOut(); len(x.config.Arms) != 2 || len(x.Skipped) != 1 || x.Skipped[0].What != "n" || !strings.Contains(x.Skipped[0].Why, "not found") {
		t.Errorf("%+v, skipped %+v", x.config.Arms, x.Skipped)
	}
}

// Called off while both run: the other program is still asked to stop first, and
// nothing of either is left, however stubborn.
func TestCompanionCalledOff(t *testing.T) {
	dir := t.TempDir()
	pids, log := filepath.Join(dir, "pids"), filepath.Join(dir, "log")
	x := rig(t, "sh", "-c", strings.ReplaceAll(stubborn, "PIDS", pids))
	x.withArm("sh", "-c", `trap 'echo stopped >>`+log+`; exit 0' INT; echo $$ >>`+pids+`; while :; do sleep 0.01; done`)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := x.run(ctx, slot("with"))
		result <- err
	}()
	all := pidsIn(t, pids, 4)
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	ended(t, all)
	if b, err := os.ReadFile(log); err != nil || string(b) != "stopped\n" {
		t.Errorf("%q, %v", b, err)
	}
}

// A benchmark that was killed with everybody else left running.json: the next one
// ends what runs still, however it is hidden, and removes the cgroup.
func TestCleanUp(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	x := rig(t, "true")
	g := newProcessGroup()
	g.makeCgroup()
	p, err := x.launch(t.Context(), &g, spec{argv: []string{"sh", "-c", strings.ReplaceAll(stubborn, "PIDS", pids)}, grace: time.Hour, name: "work"})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.begin(); err != nil {
		t.Fatal(err)
	}
	all := pidsIn(t, pids, 3)
	if got := g.members(); len(got) < 4 { // the launcher, too
		t.Errorf("the process group has %v of %v", got, all)
	}
	other := t.TempDir() // a file that lies: not below the directory of temporary files, not by its name
	g.Scratch = other
	if err := g.removeScratch(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	g.Scratch, err = os.MkdirTemp("", scratchPrefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(filepath.Join(x.dir, runningFile), g); err != nil {
		t.Fatal(err)
	}
	if err := x.cleanUp(); err != nil {
		t.Fatal(err)
	}
	ended(t, append(all, p.pid))
	if _, err := os.Stat(g.Scratch); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the scratch directory is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(x.dir, runningFile)); !errors.Is(err, os.ErrNotExist) || x.restores() != 1 {
		t.Errorf("%v, %d restores", err, x.restores())
	}
	if err := p.close(); err != nil {
		t.Error(err)
	}
}

func TestSchedExt(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, "sys/kernel/sched_ext", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := schedExtOps(root); got != "" {
		t.Errorf("without sched_ext: %q", got)
	}
	put("state", "disabled")
	if got := schedExtOps(root); got != "" {
		t.Errorf("disabled: %q", got)
	}
	put("state", "enabled")
	if got := schedExtOps(root); got != "unknown" {
		t.Errorf("without a name: %q", got)
	}
	put("root/ops", "rusty")
	if got := schedExtOps(root); got != "rusty" {
		t.Errorf("loaded: %q", got)
	}
	for command, want := range map[string]bool{"scx_rusty": true, "/opt/scx_lavd -x": true, "numad": false, "FOO='a' scx_rusty": false} {
		a, err := ParseArm("with:" + command)
		if err != nil || loadsScheduler(&a) != want {
			t.Errorf("%s: %v, %v", command, loadsScheduler(&a), err)
		}
	}
}
