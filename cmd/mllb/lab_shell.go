// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

type labShellCmd struct {
	labFlags
	kernelFlag
	placeFlags
	Out string `placeholder:"DIR" help:"Copy what is in /out to DIR at the end."`
}

// escape ends the guest, as it ends telnet: Ctrl-].
const escape = 0x1d

// Run connects this terminal, or whatever standard input is, to a shell.
func (c *labShellCmd) Run(ctx context.Context, out output) error {
	return labFailed(ctx, c.run(ctx, out))
}

func (c *labShellCmd) run(ctx context.Context, out output) error {
	if err := checkDir("--out", c.Out); err != nil {
		return err
	}
	cfg, err := c.guest(ctx, out, c.Kernel, c.placeFlags)
	if err != nil {
		return err
	}
	// One try: a fresh guest could not be brought to where the user was.
	cfg.Args, cfg.Env, cfg.OutDir, cfg.Tries, cfg.Stdin = []string{"sh", "-l"}, append(cfg.Env, "PS1=lab:\\w# "), c.Out, 1, os.Stdin
	in, isOut := int(os.Stdin.Fd()), int(os.Stdout.Fd())
	if !term.IsTerminal(in) || !term.IsTerminal(isOut) {
		cfg.Args = cfg.Args[:1]
		return runGuest(ctx, cfg)
	}
	if cols, rows, err := term.GetSize(isOut); err == nil {
		cfg.Cols, cfg.Rows = uint16(cols), uint16(rows)
	}
	cfg.Notice("leave with exit or Ctrl-D; Ctrl-] turns the guest off")
	state, err := term.MakeRaw(in)
	if err != nil {
		return fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	defer func() { _ = term.Restore(in, state) }() // the terminal may be gone
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cfg.TTY, cfg.Env, cfg.Stdin = true, append(cfg.Env, "TERM="+os.Getenv("TERM")), escapable{os.Stdin, cancel}
	say := cfg.Notice
	cfg.Notice = func(s string) { say(string(bytes.ReplaceAll([]byte(s), []byte("\n"), []byte("\r\n"))) + "\r") }
	return runGuest(ctx, cfg)
}

// escapable is the terminal in raw mode, where signals are mere bytes.
type escapable struct {
	io.Reader
	leave context.CancelCauseFunc
}

func (e escapable) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if at := bytes.IndexByte(p[:n], escape); at >= 0 {
		e.leave(fmt.Errorf("turned off by Ctrl-]"))
		return at, io.EOF
	}
	return n, err
}
