// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mllb/internal/namedfile"
)

// prepare runs what is to be done before each run, and waits for it.
func (x *executor) prepare(ctx context.Context, g *processGroup) (err error) {
	if x.config.Prepare == "" {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, x.Limit, fmt.Errorf("it took longer than %v", x.Limit))
	defer cancel()
	defer func() {
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.Cause(ctx)
		}
		if err != nil {
			err = fmt.Errorf("--prepare %q: %w", x.config.Prepare, err)
		}
	}()
	p, err := x.launch(ctx, g, spec{argv: []string{"/bin/sh", "-c", x.config.Prepare}, grace: grace, name: "prepare"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	if err := p.begin(); err != nil {
		return err
	}
	u, err := p.wait(ctx)
	if err == nil && u.Status != 0 {
		err = fmt.Errorf("exit status %d%s", u.Status, p.lastWords())
	}
	return err
}

// WarmupError is a run that failed before anything was measured: what is wrong with
// the command is to be put right first.
type WarmupError struct {
	Why    error
	Stderr string // its last lines, fit for a terminal
}

func (e *WarmupError) Error() string {
	return fmt.Sprintf("failed: %v; stopped, since nothing is measured yet", e.Why)
}

func (x *executor) warmupError(why error) error {
	b, err := tail(filepath.Join(x.scratch, "work.err"), 4<<10)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	e := &WarmupError{Why: why}
	if text := strings.TrimSpace(string(b)); text != "" {
		lines := strings.Split(text, "\n")
		e.Stderr = printableLines(strings.Join(lines[max(0, len(lines)-20):], "\n")) + "\n"
	}
	return e
}

// keepOutput saves the end of what a failed run said.
func (x *executor) keepOutput(s Slot) error {
	var text []byte
	for _, name := range []string{"work.err", "work.out", "companion.err", "companion.out"} {
		b, err := tail(filepath.Join(x.scratch, name), 64<<10)
		if err == nil && len(b) > 0 {
			text = append(append(append(text, "==== "+name+"\n"...), b...), '\n')
		}
	}
	dir := filepath.Join(x.dir, failedDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ,/:=", r) {
			return '-'
		}
		return r
	}, s.String())
	return namedfile.Write(context.Background(), filepath.Join(dir, name+".txt"), text)
}
