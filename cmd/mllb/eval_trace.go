// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"mllb/internal/namedfile"
	"mllb/internal/number"
	"mllb/kernel"
)

// trace judges decisions that a kernel with mllb's patches traced. It fails if
// one is not what the model gives.
func (c *evalCmd) trace(out output) error {
	if len(c.Files) > 0 || c.Held || c.Explain > 0 || c.Importance || c.LoadMatrix || c.Full || c.HTML != "" {
		return usagef("eval: --trace can be combined only with --model and --json")
	}
	m, err := loadModel(c.Model)
	if err != nil {
		return err
	}
	f, err := namedfile.Open(c.Trace)
	if err != nil {
		return err
	}
	defer f.Close()
	v, err := kernel.Judge(f, m)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Trace, err)
	}
	if c.JSON {
		err = traceJSON(out.stdout, v)
	} else {
		err = drawTrace(out.stdout, v)
	}
	if err == nil && v.Wrong > 0 {
		err = fmt.Errorf("%s: %d of %s not what the model computes, first: %w", c.Trace, v.Wrong, number.Of(v.Decisions, "decision"), v.First)
	}
	return err
}

func drawTrace(w io.Writer, v *kernel.Verdict) error {
	c := &v.Verdicts
	_, err := fmt.Fprintf(w, "decisions              %d (%d outside the ranges of training; %d events lost, %d others)\n"+
		"logits in integers     %d, %d not equal to the bit\n", v.Decisions, v.Outside, v.Lost, v.Other, v.Integers, v.Wrong)
	if v.Floats > 0 {
		_, ferr := fmt.Fprintf(w, "logits in floats       %d, at most %.4g from those in integers\n", v.Floats, v.Largest)
		err = errors.Join(err, ferr)
	}
	percent := func(x float64) string { return number.Num(x).Points(3) }
	_, terr := fmt.Fprintf(w, "agreement %%            %s (majority %s)\nbalanced agreement %%   %s\n\n"+
		"                    network: stay  network: migrate\nrule: stay      %17d %17d\nrule: migrate   %17d %17d\n",
		percent(c.Accuracy()), percent(c.Majority()), percent(c.Balanced()), c.N[0][0], c.N[0][1], c.N[1][0], c.N[1][1])
	return errors.Join(err, terr)
}

func traceJSON(w io.Writer, v *kernel.Verdict) error {
	c := &v.Verdicts
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Decisions int        `json:"decisions"`
		Outside   int        `json:"outside"`
		Lost      uint64     `json:"lost"`
		Integers  int        `json:"integers"`
		Floats    int        `json:"floats"`
		Wrong     int        `json:"wrong"`
		Agreement number.Num `json:"agreement"`
		Majority  number.Num `json:"majority"`
		Balanced  number.Num `json:"balanced_agreement"`
		Confusion [2][2]int  `json:"confusion"` // by the rule, then by the network; stay first
	}{v.Decisions, v.Outside, v.Lost, v.Integers, v.Floats, v.Wrong,
		number.Num(c.Accuracy()), number.Num(c.Majority()), number.Num(c.Balanced()), c.N})
}
