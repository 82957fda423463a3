// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"mllb/features"
	"mllb/learn/export"
	"mllb/mlp"
)

// Verdict is what a trace of a kernel's decisions says of a model: whether the
// kernel computed what the model is, and how often the two verdicts agree.
type Verdict struct {
	TraceCounts
	Outside  int           // decisions out of the ranges of training, by the kernel
	Integers int           // judged by the network in integers
	Floats   int           // judged in floating point
	Largest  float64       // difference of a logit in floating point from the model's in integers
	Wrong    int           // decisions in integers with another logit, verdict or range than the model gives
	First    error         // the first of those
	Verdicts mlp.Confusion // the rule's, then the network's
}

// errModel is a decision by another model.
var errModel = errors.New("by another model")

// Judge computes every decision of a trace again from its raw facts. An error is
// a trace that cannot be read, or decisions by another model; that a decision
// differs is in the Verdict.
func Judge(r io.Reader, m *mlp.Model) (*Verdict, error) {
	net, err := mlp.NewFixed(m)
	if err != nil {
		return nil, err
	}
	crc, err := checksum(m)
	if err != nil {
		return nil, err
	}
	j := judge{m.Set, net, m.Bounds(), crc, &Verdict{}}
	j.v.TraceCounts, err = ReadTrace(r, j.add)
	if err == nil && j.v.Decisions == 0 {
		err = errors.New("no decision: was the tracepoint on, and the mode not off?")
	}
	return j.v, err
}

// atChecksum is the offset of crc in struct mllb_blob (src/mllb.h).
const atChecksum = 12

// checksum is what the kernel calls a model by.
func checksum(m *mlp.Model) (uint32, error) {
	var b bytes.Buffer
	if err := export.Kernel(&b, m); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b.Bytes()[atChecksum:]), nil
}

type judge struct {
	set    *features.Set
	net    *mlp.Fixed
	bounds *mlp.Bounds
	crc    uint32
	v      *Verdict
}

func (j *judge) add(t *Traced) error {
	if t.Model != j.crc {
		return fmt.Errorf("%w: the kernel's has checksum %08x, this one %08x", errModel, t.Model, j.crc)
	}
	var x features.Vector
	j.set.Fill(&x, &t.Decision)
	inRange, logit := j.bounds.InRange(&x), j.net.Logit(&x)
	switch {
	case t.Net == Unasked || !inRange:
		if t.Net == Unasked {
			j.v.Outside++
		}
		if inRange == (t.Net == Unasked) {
			j.wrong("the kernel's ranges say %v, the model's %v", t.Net != Unasked, inRange)
		}
		return nil
	case t.Fixed:
		j.v.Integers++
		if t.Logit != logit || (t.Net == 1) != j.net.Migrate(logit) {
			j.wrong("logit %d, verdict %d; the model gives %d", t.Logit, t.Net, logit)
		}
	default:
		j.v.Floats++
		j.v.Largest = max(j.v.Largest, math.Abs(features.ToFloat(t.Logit)-features.ToFloat(logit)))
	}
	j.v.Verdicts.Add(label(t.Rule), label(t.Net == 1))
	return nil
}

func (j *judge) wrong(format string, args ...any) {
	j.v.Wrong++
	if j.v.First == nil {
		j.v.First = fmt.Errorf("decision %d: %w", j.v.Outside+j.v.Integers+j.v.Floats, fmt.Errorf(format, args...))
	}
}

func label(migrate bool) uint8 {
	if migrate {
		return mlp.Migrate
	}
	return mlp.Stay
}
