// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"mllb/internal/screen"
)

// viewer draws the live view on mllbd's own terminal, from a goroutine of its own. It
// sets no mode of the terminal, so that nothing is to be undone however mllbd ends, and
// reads no keys: what is typed there is for CMD or the shell.
type viewer struct {
	watcher *watcher
	screen  screen.Screen
	setup   *screen.Setup
	version uint64
	out     io.Writer // keeps one frame at most
	size    func() (width, height int)

	width, height int // of the last frame
	lines         int // of it
	stop          chan struct{}
	done          chan struct{}
}

// viewEvery is how often the live view is drawn.
const viewEvery = screen.Slot

func startViewer(w *watcher, out io.Writer, size func() (int, int)) *viewer {
	v := &viewer{watcher: w, out: out, size: size, stop: make(chan struct{}), done: make(chan struct{})}
	v.screen.Style, v.screen.Keys = screen.StyleOf(os.Getenv), "choose and ask why: mllb top"
	w.lookers.Add(1)
	go v.run()
	return v
}

func (v *viewer) run() {
	defer close(v.done)
	defer v.watcher.lookers.Add(-1)
	due := time.NewTicker(viewEvery)
	defer due.Stop()
	for {
		select {
		case <-due.C:
			v.draw(time.Now())
		case <-v.stop:
			v.draw(time.Now())
			return
		}
	}
}

// close draws how it ended.
func (v *viewer) close() {
	close(v.stop)
	<-v.done
}

// draw writes a frame over the one before.
func (v *viewer) draw(now time.Time) {
	width, height := v.size()
	if height <= 1 {
		return
	}
	var st screen.State
	st, v.setup, v.version = v.watcher.look(v.setup, v.version)
	v.screen.Take(st)
	lines := v.screen.Frame(width, height-1, now) // the cursor is below it
	var b strings.Builder
	switch {
	case v.lines > 0 && width == v.width && height == v.height:
		fmt.Fprintf(&b, "\x1b[%dA", v.lines)
	case v.lines > 0: // the terminal has moved the lines
		b.WriteString("\x1b[H\x1b[2J")
	}
	for _, line := range lines {
		b.WriteString("\r" + line + "\x1b[K\n")
	}
	// A terminal that went away is no reason to end.
	if _, err := io.WriteString(v.out, b.String()); !errors.Is(err, errDropped) {
		v.width, v.height, v.lines = width, height, len(lines)
	}
}

// viewOutput says where the live view goes: nowhere, unless --view says so or stdout is a
// terminal that mllbd has to itself. size is nil where it is no terminal.
func (s *session) viewOutput() (out io.Writer, size func() (width, height int)) {
	f, _ := s.stdout.(*os.File)
	terminal := drawable(s.stdout)
	want := terminal && len(s.cfg.Command) == 0
	if s.cfg.View != nil {
		want = *s.cfg.View
	}
	if !want {
		return nil, nil
	}
	if !terminal {
		return s.stdout, nil
	}
	return s.stdout, func() (int, int) {
		width, height, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0, 0
		}
		return width, height
	}
}
