// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/gdamore/tcell/v2"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"mllb/internal/namedfile"
	"mllb/internal/screen"
)

type topCmd struct {
	StateDir string `placeholder:"DIR" default:"/run/mllb" help:"State directory of the mllbd to look at."`
	Observe  bool   `help:"Do not look at a running mllbd, but observe the host."`
	Once     bool   `help:"Print what is seen in a moment as text, and end; so it does where stdout is no terminal."`
}

// Help documents what flags cannot.
func (topCmd) Help() string {
	return `Shows what a running mllbd does: queues and speeds of all CPUs, how imbalance went, and the last
decisions; enter shows why one was made. It only looks: mllbd reads nothing from it. It has to be
root's, or the user's whose mllbd it is. Where no mllbd runs, it starts one that observes, and ends it.

h shows the keys. NO_COLOR is respected.

Exit status:
` + exitHelp("")
}

// Run shows a screen until a key ends it.
func (c *topCmd) Run(ctx context.Context, out output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from, err := c.source(ctx)
	if err != nil {
		return fmt.Errorf("top: %w", err)
	}
	defer from.close()
	if _, ok := terminal(out.stdout); ok && !c.Once {
		return from.show(ctx)
	}
	return from.print(ctx, out.stdout)
}

// terminal is what is written to, if it knows control sequences.
func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok || f.Fd() != os.Stdout.Fd() {
		return nil, false
	}
	return os.Stdout, namedfile.Drawable(os.Stdout)
}

// source is an mllbd that is looked at.
type source struct {
	stateDir string
	first    *net.UnixConn
	observer *observer // nil: somebody else's
}

// source attaches to an mllbd, or starts one.
func (c *topCmd) source(ctx context.Context) (*source, error) {
	if c.Observe {
		return observe(ctx)
	}
	conn, err := screen.Dial(c.StateDir)
	switch {
	case err == nil:
		return &source{stateDir: c.StateDir, first: conn}, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ECONNREFUSED):
		return observe(ctx)
	case errors.Is(err, fs.ErrPermission):
		err = fmt.Errorf("%w: run it as root, or with --observe", err)
	}
	return nil, err
}

func (s *source) close() {
	s.first.Close()
	if s.observer != nil {
		s.observer.close()
	}
}

// link says what is wrong with the connection; "" if nothing is.
type link string

// follow tells of all states and of the connection, until ctx ends.
func (s *source) follow(ctx context.Context, tell func(any)) {
	for conn := s.first; ctx.Err() == nil; {
		if conn != nil {
			tell(link(""))
			err := states(ctx, conn, func(st screen.State) { tell(st) })
			conn.Close()
			why := "mllbd HAS ENDED"
			if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
				why = err.Error()
			}
			tell(link(why))
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			conn, _ = screen.Dial(s.stateDir)
		}
	}
}

// states reads them until the connection or ctx ends.
func states(ctx context.Context, conn *net.UnixConn, tell func(screen.State)) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for in := json.NewDecoder(conn); ; {
		var st screen.State
		if err := in.Decode(&st); err != nil {
			return err
		}
		tell(st)
	}
}

// onceFor is for how long print looks.
const onceFor = 1500 * time.Millisecond

// print writes one frame as text.
func (s *source) print(ctx context.Context, w io.Writer) error {
	look, cancel := context.WithTimeout(ctx, onceFor)
	defer cancel()
	var view screen.Screen
	view.Style, view.Keys = screen.StyleOf(os.Getenv), " "
	view.Style.Plain = true
	err := states(look, s.first, view.Take)
	if look.Err() == nil {
		return fmt.Errorf("top: %w", err)
	}
	width, height := defaultWidth, 24
	if f, ok := terminal(w); f != nil && (ok || term.IsTerminal(int(f.Fd()))) {
		if columns, rows, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			width, height = columns, rows-1 // the prompt
		}
	}
	lines := view.Frame(width, height, time.Now())
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("top: %w", err)
		}
	}
	return nil
}

// topEvery is how often the screen is drawn if no state comes, to show their age.
const topEvery = time.Second

// show is the screen at a terminal.
func (s *source) show(ctx context.Context) error {
	tcell.SetEncodingFallback(tcell.EncodingFallbackASCII)
	at, err := tcell.NewTerminfoScreen()
	if err == nil {
		err = at.Init()
	}
	if err != nil {
		return fmt.Errorf("top: open the terminal: %w", err)
	}
	defer at.Fini()
	quit := make(chan struct{})
	defer close(quit)
	events, told := make(chan tcell.Event), make(chan any)
	go at.ChannelEvents(events, quit)
	go s.follow(ctx, func(what any) {
		select {
		case told <- what:
		case <-ctx.Done():
		}
	})
	age := time.NewTicker(topEvery)
	defer age.Stop()
	view := screen.Screen{Style: screen.StyleOf(os.Getenv)}
	for end := false; !end; {
		select {
		case <-ctx.Done():
			return nil
		case <-age.C:
		case what := <-told:
			if st, ok := what.(screen.State); ok {
				view.Take(st)
				age.Reset(topEvery)
			} else {
				view.Link = string(what.(link))
			}
		case event := <-events:
			if end, err = obey(at, &view, event); err != nil {
				return fmt.Errorf("top: %w", err)
			}
		}
		draw(at, &view)
	}
	return nil
}

// obey does what an event of the terminal asks for, and says whether that ends the screen.
func obey(at tcell.Screen, view *screen.Screen, event tcell.Event) (end bool, err error) {
	switch event := event.(type) {
	case nil: // the terminal is gone
		return true, nil
	case *tcell.EventResize:
		at.Sync()
	case *tcell.EventKey:
		switch key := event.Key(); {
		case key == tcell.KeyCtrlZ:
			if err := at.Suspend(); err != nil {
				return false, err
			}
			_ = unix.Kill(0, unix.SIGTSTP)
			return false, at.Resume()
		case key == tcell.KeyRune && event.Rune() != ' ':
			return view.Key(string(event.Rune())), nil
		case key == tcell.KeyRune:
			return view.Key("space"), nil
		default:
			return view.Key(keyNames[key]), nil
		}
	}
	return false, nil
}

var keyNames = map[tcell.Key]string{
	tcell.KeyUp: "up", tcell.KeyDown: "down", tcell.KeyPgUp: "pgup", tcell.KeyPgDn: "pgdown", tcell.KeyHome: "home",
	tcell.KeyEnter: "enter", tcell.KeyEscape: "esc", tcell.KeyBackspace: "backspace", tcell.KeyBackspace2: "backspace",
	tcell.KeyCtrlC: "ctrl+c",
}

// draw gives the terminal the cells that are not as they were.
func draw(at tcell.Screen, view *screen.Screen) {
	width, height := at.Size()
	view.Paint(width, height, time.Now(), func(x, y int, r rune, i screen.Ink) {
		bold, dim, under, reverse := i.Attributes()
		style := tcell.StyleDefault.Bold(bold).Dim(dim).Underline(under).Reverse(reverse)
		if n := i.Palette(); n >= 0 {
			style = style.Foreground(tcell.PaletteColor(n))
		}
		at.SetContent(x, y, r, nil, style)
	})
	at.Show()
}
