// SPDX-License-Identifier: Apache-2.0

package manual

import (
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Do struct {
		Mode string        `help:"What to do." enum:"a,b" default:"a"`
		Wait time.Duration `help:"How long (1s)." default:"1s"`
		View bool          `short:"v" negatable:"" help:"Draw."`
		Old  string        `hidden:""`
		File string        `arg:"" optional:"" help:"A .file, or C:\\file."`
	} `cmd:"" help:"Do it."`
	Group struct {
		One struct {
			N int `help:"How many." placeholder:"N"`
		} `cmd:"" help:"The one."`
	} `cmd:"" help:"Several."`
	Gone struct{} `cmd:"" hidden:""`
	Man  Flag     `name:"man-pages" hidden:""`
}

func TestPages(t *testing.T) {
	var out strings.Builder
	exited := false
	k, err := kong.New(&sample{}, kong.Name("prog"), kong.Description("A program."), kong.Vars{"man_section": "8"},
		kong.Writers(&out, &out), kong.Exit(func(int) { exited = true }), kong.DefaultEnvars("PROG"),
		Texts(map[string]string{"": "Files:\n\n  /run/prog  state", "do": "First.\n\n.second line\nExamples here are text.\n\nExit status: 0, or\n\n    1  it failed\n       twice\n\nExamples:\n\n  prog do -v"}))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = k.Parse([]string{"--man-pages"})
	if !exited {
		t.Error("--man-pages goes on")
	}
	pages := strings.Split(out.String(), `.\" page `)
	var names []string
	for _, p := range pages[1:] {
		name, _, _ := strings.Cut(p, "\n")
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"prog.8", "prog-do.8", "prog-group.8"}, names); diff != "" {
		t.Fatal(diff)
	}
	_, body, _ := strings.Cut(pages[2], ".SH NAME\n")
	const want = `prog\-do \- Do it
.SH SYNOPSIS
.B prog do [<file>] [flags]
.SH DESCRIPTION
Do it.
.PP
First.
.PP
\&.second line
Examples here are text.
.SH ARGUMENTS
.TP
\fI[<file>]\fR
A .file, or C:\efile.
.SH OPTIONS
.TP
\fB\-\-mode\fR=\fIa|b\fR
What to do. Default: a.
.TP
\fB\-\-wait\fR=\fIDURATION\fR
How long (1s).
.TP
\fB\-v\fR, \fB\-\-[no\-]view\fR
Draw.
.SH ENVIRONMENT
Each option but \-\-help can also be set by a variable: PROG_ and its name in capitals, such as PROG_MODE for \-\-mode. An option of the command line comes first.
.SH EXIT STATUS
0, or
.PP
.RS 2
.nf
1  it failed
   twice
.fi
.RE
.SH FILES
.RS 2
.nf
/run/prog  state
.fi
.RE
.SH EXAMPLES
.RS 2
.nf
prog do \-v
.fi
.RE
.SH SEE ALSO
.BR prog (8)
`
	if diff := cmp.Diff(want, body); diff != "" {
		t.Error(diff)
	}
	if group := pages[3]; !strings.Contains(group, ".SS prog group one [flags]\nThe one.\n.TP\n\\fB\\-\\-n\\fR=\\fIN\\fR\nHow many.\n") {
		t.Error(group)
	}
}

// TestTextsOfNoCommand wants a command that was renamed to take its text along.
func TestTextsOfNoCommand(t *testing.T) {
	if _, err := kong.New(&sample{}, Texts(map[string]string{"dont": "x"})); err == nil {
		t.Error("a text for no command is taken")
	}
}
