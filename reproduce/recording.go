// SPDX-License-Identifier: Apache-2.0

package reproduce

import (
	"mllb/lab/record"
)

// recording is a record.Report: it turns what runs tell into progress.
type recording struct {
	p    *progress
	runs int
}

func (r *recording) Skipped(record.Run) {}

func (r *recording) Started(run record.Run) { r.p.tell(0, "%s boots", run.Name()) }

func (r *recording) Progress(run record.Run, n record.Progress) {
	r.p.tell(-1, "%s: %d records, %d of them stay", run.Name(), n.Usable, n.Stay)
}

func (r *recording) Ended(run record.Run, _ record.Outcome, err error) {
	if err != nil {
		r.p.say("%s: %v", run.Name(), err)
	}
}

func (r *recording) Notice(run record.Run, what string) { r.p.say("%s: %s", run.Name(), what) }

func (r *recording) Output(run record.Run, stderr string) {
	r.p.say("%s said:\n%s", run.Name(), stderr)
}

func (r *recording) Remaining(runs int, took []record.Took) {
	r.p.tell(float64(len(took))/float64(len(took)+runs), "%d runs left", runs)
}
