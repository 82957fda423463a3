// SPDX-License-Identifier: Apache-2.0

// Package version says what a program was built from.
package version

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Version is what `git describe` says of the sources, and Date that of the commit. The
// Makefile sets them by -ldflags -X; a program built by go install has its module's
// version instead.
var Version, Date string

// Info is what a program was built from.
type Info struct {
	Version  string // v1.2.3, v1.2.3-4-g5e0c1d2, or a commit if there is no tag
	Revision string // commit, with "+dirty" if files differed; "" where go build saw no repository
	Date     string // of the commit, such as 2026-11-29
	Go       string
}

// Read returns it of the running program.
func Read() Info {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return read(Info{Version: Version, Date: Date}, info)
}

func read(i Info, info *debug.BuildInfo) Info {
	i.Go = runtime.Version()
	if i.Version == "" {
		i.Version = info.Main.Version
	}
	if i.Version == "" {
		i.Version = "(devel)"
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			i.Revision = s.Value
		case s.Key == "vcs.time" && i.Date == "":
			i.Date, _, _ = strings.Cut(s.Value, "T")
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if i.Revision != "" {
		i.Revision += dirty
	}
	return i
}

// String is one line, as --version prints it.
func (i Info) String() string {
	return strings.Join(strings.Fields(i.Version+" "+i.Revision+" "+i.Go), " ")
}
