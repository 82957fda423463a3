// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"mllb/internal/number"
	"mllb/lab/record"
)

// recording is a record.Report: it turns what runs tell into progress.
type recording struct {
	p    *stepsProgress
	runs int
}

func (r *recording) Skipped(record.Run) {}

func (r *recording) Started(run record.Run) { r.p.tell(0, "%s: booting", run.Name()) }

func (r *recording) Progress(run record.Run, n record.Progress) {
	r.p.tell(-1, "%s: %s, %d of them stay", run.Name(), number.Of(n.Usable, "record"), n.Stay)
}

func (r *recording) Ended(run record.Run, _ record.Outcome, err error) {
	if err != nil {
		r.p.Say("%s: %v", run.Name(), err)
	}
}

func (r *recording) Notice(run record.Run, what string) { r.p.Say("%s: %s", run.Name(), what) }

func (r *recording) Output(run record.Run, stderr string) {
	r.p.Say("stderr of %s:\n%s", run.Name(), stderr)
}

func (r *recording) Remaining(runs int, took []record.Took) {
	r.p.tell(float64(len(took))/float64(len(took)+runs), "%s left", number.Of(runs, "run"))
}
