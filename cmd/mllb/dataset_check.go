// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"mllb/features"
	"mllb/internal/number"
	"mllb/learn/dataset"
	"mllb/scheduler"
)

type datasetCheckCmd struct {
	Files     []string `arg:"" name:"file" help:"Datasets."`
	Max       int      `default:"10" help:"Number of disagreements to print; the rest are counted (${default})."`
	Tolerance float64  `default:"0.001" help:"Maximum share of records of kernels newer than 6.12 that may disagree without a known explanation (${default}). Of 6.12 and older none may."`
	JSON      bool     `name:"json" help:"Print the counts as JSON, without single disagreements."`
}

// Run replays policy cfs. A disagreement that should not be is an error.
func (c *datasetCheckCmd) Run(ctx context.Context, out output) error {
	if !(c.Tolerance >= 0 && c.Tolerance <= 1) {
		return usagef("dataset check: --tolerance %g is not between 0 and 1", c.Tolerance)
	}
	if c.Max < 0 {
		return usagef("dataset check: --max %d is less than 0", c.Max)
	}
	records, most := out.stdout, c.Max
	if c.JSON {
		records, most = io.Discard, 0
	}
	rule := scheduler.CFS{}
	v, err := dataset.Check(ctx, records, func(d *features.Decision) bool { return rule.Decide(d).Migrate }, explain, most, c.Files...)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(out.stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(v)
	} else {
		err = drawVerdict(out.stdout, v, c.Max)
	}
	return errors.Join(err, c.judge(v))
}

// explain tries what is known of the rules after 6.12.
func explain(r *dataset.Row) string {
	if newer(r.Run.Kernel) && (scheduler.CFS{TiesNeutral: true}).Decide(&r.Decision).Migrate == r.Migrate {
		return "explained: equal NUMA weights, which this kernel treats as neutral"
	}
	return ""
}

func drawVerdict(w io.Writer, v *dataset.Verdict, printed int) error {
	var all int64
	for _, c := range v.Classes {
		all += c.Count
	}
	if more := all - int64(printed); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	for _, c := range v.Classes {
		fmt.Fprintf(w, "%8d  %s\n", c.Count, c.Name)
	}
	for _, k := range v.Kernels {
		fmt.Fprintf(w, "kernel %s: %d of %d usable records agree (%s)", k.Kernel, k.Usable-k.Disagree, k.Usable,
			number.Share(k.Usable-k.Disagree, k.Usable).Percent(3))
		if k.Disagree > 0 {
			fmt.Fprintf(w, ", %d disagree, %d of them unexplained: with this kernel's own rule %s agree", k.Disagree, k.Unexplained,
				number.Share(k.Usable-k.Unexplained, k.Usable).Percent(3))
		}
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "%s\n", number.Of(v.Rows, "record"))
	return err
}

// judge says which kernel disagrees more than it may.
func (c *datasetCheckCmd) judge(v *dataset.Verdict) error {
	for _, k := range v.Kernels {
		wrong, allowed := k.Disagree, 0.0
		if newer(k.Kernel) {
			wrong, allowed = k.Unexplained, c.Tolerance
		}
		if float64(wrong) > allowed*float64(k.Usable) {
			return fmt.Errorf("dataset check: %d of %d usable records of kernel %s disagree with policy cfs without an explanation", wrong, k.Usable, k.Kernel)
		}
	}
	return nil
}

// newer reports whether a kernel release is after 6.12, whose rule policy cfs
// is. One that names no version is held to the rule.
func newer(release string) bool {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n != 2 {
		return false
	}
	return major > 6 || major == 6 && minor > 12
}
