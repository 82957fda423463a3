// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"mllb/bench/measure"
	"mllb/internal/number"
)

func (c *latencyCmd) print(w io.Writer, l *measure.Latency) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(l)
	}
	fmt.Fprintf(w, "kernel %s, %s, %v\n", l.Kernel, number.Of(l.CPUs, "CPU"), l.Wall.Round(time.Millisecond))
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "function\tby\tcalls\tmedian\tp90\tp99\tmax\tmean\tof all CPUs\t")
	for i := range l.Functions {
		share := "-"
		if l.Wall >= time.Second { // of less, a share is chance
			share = number.Num(l.Share(&l.Functions[i])).Percent(4)
		}
		row(tw, &l.Functions[i], share)
	}
	if l.Probe != nil {
		p := *l.Probe
		p.Name = "probe's own"
		row(tw, &p, "-")
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i := range l.Functions {
		if f := &l.Functions[i]; f.Lost > 0 {
			fmt.Fprintf(w, "%s: %s without a duration\n", f.Name, number.Of(f.Lost, "call"))
		}
	}
	for _, m := range l.Missing {
		fmt.Fprintln(w, "not timed:", m)
	}
	return nil
}

func row(w io.Writer, f *measure.Function, share string) {
	if f.Count == 0 {
		fmt.Fprintf(w, "%s\t%s\t0\t-\t-\t-\t-\t-\t-\t\n", f.Name, f.By)
		return
	}
	fmt.Fprintf(w, "%s\t%s\t%d\t%v\t%v\t%v\t%v\t%v\t%s\t\n", f.Name, f.By, f.Count,
		short(f.Quantile(0.5)), short(f.Quantile(0.9)), short(f.Quantile(0.99)), short(f.Max), short(f.Mean()), share)
}

// short is a duration with three digits that count.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
