// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func tarOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if _, _, err := writeTar(&b, dir); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestProtocol plays guests to the host's side: what becomes of each end.
func TestProtocol(t *testing.T) {
	files := tarOf(t, map[string]string{"a": "A", "sub/b": "B"})
	exitError := func(status int) func(error) bool {
		return func(err error) bool {
			var e *ExitError
			return errors.As(err, &e) && e.ExitCode() == status
		}
	}
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	says := func(text string) func(error) bool {
		return func(err error) bool { return err != nil && strings.Contains(err.Error(), text) }
	}
	ready := `R{"release":"6.12"}`
	tests := []struct {
		name    string
		frames  []string
		console string
		out     bool
		want    func(error) bool
	}{
		{name: "success", frames: []string{ready, "B", "1out", "2err", `E{"status":0}`}, want: is(nil)},
		{name: "failure", frames: []string{ready, `E{"status":42}`}, want: exitError(42)},
		{name: "signal", frames: []string{ready, `E{"status":137}`}, want: exitError(137)},
		{name: "files", frames: []string{ready, "F" + files, `E{"status":0,"files":2}`}, out: true, want: is(nil)},
		{name: "files and failure", frames: []string{ready, "F" + files, `E{"status":3,"files":2}`}, out: true, want: exitError(3)},
		{name: "files missing", frames: []string{ready, "F" + files, `E{"status":0,"files":3}`}, out: true, want: says("2 of 3 arrived")},
		{name: "files cut", frames: []string{ready, "F" + files[:700], `E{"status":0,"files":2}`}, out: true, want: says("1 of 2 arrived")},
		{name: "no files at all", frames: []string{ready, `E{"status":0,"files":1}`}, out: true, want: says("0 of 1 arrived")},
		{name: "files unasked", frames: []string{ready, "F" + files, `E{"status":0}`}, want: says("unexpected files")},
		{name: "init failed", frames: []string{ready, "Xmount /proc: no"}, want: says("mount /proc: no")},
		{name: "lost", frames: []string{ready, "1out"}, want: is(ErrLost)},
		{name: "lost at boot", want: func(err error) bool { return is(ErrLost)(err) && says("at boot")(err) }},
		{name: "oops", frames: []string{ready}, console: "Oops: int3: 0000 [#1] SMP\n", want: is(ErrOops)},
		{name: "oops, then an answer", frames: []string{ready, `E{"status":0}`}, console: "Oops: int3: 0000 [#1] SMP\n", want: is(ErrOops)},
		{name: "panic", console: "Kernel panic - not syncing: no init\n", want: is(ErrPanic)},
		{name: "unknown frame", frames: []string{"?"}, want: is(errFrame)},
		{name: "bad greeting", frames: []string{"R{"}, want: says("greeting")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cfg := Config{Stdout: &stdout, Stderr: &stderr}
			if tt.out {
				cfg.OutDir = filepath.Join(t.TempDir(), "out")
			}
			s := newSession(cfg)
			r, w := io.Pipe()
			answer := make(chan outcome, 1)
			go func() { answer <- s.receive(r) }()
			if _, err := io.WriteString(s.con, tt.console); err != nil {
				t.Fatal(err)
			}
			go func() {
				defer w.Close()
				frames := &frameWriter{w: w}
				for _, f := range tt.frames {
					if frames.send(kind(f[0]), []byte(f[1:])) != nil {
						return // the host has read enough
					}
				}
			}()
			ended := make(chan struct{})
			close(ended)
			_, err := s.await(context.Background(), answer, ended)
			r.CloseWithError(io.ErrClosedPipe)
			if !tt.want(err) {
				t.Errorf("got %v", err)
			}
			if tt.name == "success" && stdout.String()+"|"+stderr.String() != "out|err" {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
			if tt.out && is(nil)(err) {
				if b, err := os.ReadFile(filepath.Join(cfg.OutDir, "sub/b")); err != nil || string(b) != "B" {
					t.Errorf("sub/b: %q, %v", b, err)
				}
			}
		})
	}
}

func TestAwaitLimits(t *testing.T) {
	never := make(chan struct{})
	s := newSession(Config{Timeout: time.Millisecond})
	if _, err := io.WriteString(s.con, "watchdog: BUG: soft lockup - CPU#3 stuck\n"); err != nil {
		t.Fatal(err)
	}
	_, err := s.await(context.Background(), nil, never)
	if !errors.Is(err, ErrTimeLimit) || !strings.Contains(err.Error(), "1ms; the console reports 1 stall") {
		t.Errorf("time limit: %v", err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(io.ErrNoProgress)
	s.cfg.Timeout = 0
	if _, err := s.await(ctx, nil, never); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("cancelled: %v", err)
	}
	s.started = s.started.Add(-bootLimit)
	if got := s.silence(); !strings.Contains(got, "not up after") {
		t.Errorf("boot that takes long: %q", got)
	}
	release := "6.12"
	s.release.Store(&release)
	if got := s.silence(); !strings.Contains(got, "silent for") {
		t.Errorf("silent guest: %q", got)
	}
	s.busy.Store(true)
	if got := s.silence(); got != "" {
		t.Errorf("our own reader blocks: %q", got)
	}
}

func TestReadTarHostile(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "victim")
	if err := os.WriteFile(outside, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, headers := range hostileTars {
		t.Run(name, func(t *testing.T) {
			n, err := readTar(bytes.NewReader(tarHeaders(t, headers)), filepath.Join(dir, "out"))
			if err == nil {
				t.Errorf("unpacked %d files", n)
			}
			if b, err := os.ReadFile(outside); err != nil || string(b) != "mine" {
				t.Errorf("outside the directory: %q, %v", b, err)
			}
		})
	}
}
