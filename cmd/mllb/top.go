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
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
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
	if f, ok := terminal(out.stdout); ok && !c.Once {
		return from.show(ctx, f)
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

// The screen is drawn when a state comes, and at least so often, to show their age.
const topEvery = time.Second

// topFPS bounds how often the terminal is written to: a key is answered within a tenth of a second.
const topFPS = 10

// show is the screen at a terminal.
func (s *source) show(ctx context.Context, out *os.File) error {
	p := tea.NewProgram(&topModel{screen: &screen.Screen{Style: screen.StyleOf(os.Getenv)}},
		tea.WithContext(ctx), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithFPS(topFPS))
	go s.follow(ctx, func(msg any) { p.Send(msg) })
	if _, err := p.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("top: %w", err)
	}
	return nil
}

// topModel has a screen be drawn by bubbletea.
type topModel struct {
	screen        *screen.Screen
	width, height int
}

type topAge struct{}

func (m *topModel) age() tea.Cmd {
	return tea.Tick(topEvery, func(time.Time) tea.Msg { return topAge{} })
}

// Init implements tea.Model.
func (m *topModel) Init() tea.Cmd { return m.age() }

// Update implements tea.Model.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case screen.State:
		m.screen.Take(msg)
	case link:
		m.screen.Link = string(msg)
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topAge:
		return m, m.age()
	case tea.KeyPressMsg:
		if key := msg.String(); key == "ctrl+z" {
			return m, tea.Suspend
		} else if m.screen.Key(key) {
			return m, tea.Quit
		}
	}
	return m, nil
}

// View implements tea.Model.
func (m *topModel) View() tea.View {
	v := tea.NewView("")
	if m.width > 0 {
		v.Content = strings.Join(m.screen.Frame(m.width, m.height, time.Now()), "\n")
	}
	v.AltScreen = true
	return v
}
