// SPDX-License-Identifier: Apache-2.0

// Package export writes a model for programs that are not this one: as a C
// header of integer weights, and as ONNX. Golden vectors to test such programs
// with are mlp.NewGolden's.
package export

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"mllb/features"
	"mllb/mlp"
)

// Header writes a C header of the model in Q21.11, for the kernel, for BPF
// programs and for user space. It holds data alone: how to compute with it is
// in its first comment, and to the bit in a Golden.
func Header(w io.Writer, m *mlp.Model) error {
	q, err := m.Quantise()
	if err != nil {
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, headerTop, comment(m.Set.Name), len(m.Set.Features), m.Hidden(), comment(origin(&m.Provenance)))
	fmt.Fprintf(&b, "#define MLLB_MODEL_FEATURE_SET \"%s\"\n#define MLLB_MODEL_FRAC_BITS %d\n", m.Set.Name, features.FracBits)
	fmt.Fprintf(&b, "#define MLLB_MODEL_INPUTS %d\n#define MLLB_MODEL_HIDDEN %d\n", len(m.Set.Features), m.Hidden())
	fmt.Fprintf(&b, "#define MLLB_MODEL_THRESHOLD %s /* migrate if the output is at least this */\n", literal(q.Threshold))
	fmt.Fprintf(&b, "#define MLLB_MODEL_BINARY 0x%xULL /* bit k: input k is 0 or 1 << 11 */\n\n", binaries(m.Set))
	b.WriteString("/* Inputs, in order. */\nenum mllb_model_input {\n")
	for _, f := range m.Set.Features {
		fmt.Fprintf(&b, "\tMLLB_INPUT_%s, /* %s; %s */\n", strings.ToUpper(f.Name), f.Unit, comment(f.Doc))
	}
	b.WriteString("};\n\n")
	matrix(&b, "mllb_model_weights1[MLLB_MODEL_HIDDEN][MLLB_MODEL_INPUTS]", q.Weights[0])
	row(&b, "mllb_model_biases1[MLLB_MODEL_HIDDEN]", q.Biases[0])
	row(&b, "mllb_model_weights2[MLLB_MODEL_HIDDEN]", q.Weights[1][0])
	row(&b, "mllb_model_biases2[1]", q.Biases[1])
	if low, high := m.Limits(); low != nil {
		b.WriteString("\n/* What the inputs were in training. Outside, ask the kernel's rule instead. */\n#define MLLB_MODEL_RANGES 1\n")
		row(&b, "mllb_model_low[MLLB_MODEL_INPUTS]", low)
		row(&b, "mllb_model_high[MLLB_MODEL_INPUTS]", high)
	}
	b.WriteString("\n#endif\n")
	_, err = w.Write(b.Bytes())
	return err
}

const headerTop = `/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */

/*
 * Made by mllb export; not to be edited.
 *
 * A network of feature set %s, %d - %d - 1.
%s *
 * Everything is Q21.11. For each neuron of the hidden layer, then for the output,
 *
 *	__s64 acc = ((__s64)bias << 11) + (1 << 10);
 *	for each input: acc += (__s64)weight * input;
 *	acc >>= 11;			arithmetic
 *	acc is saturated to __s32;
 *	hidden layer only: max(acc, 0)
 *
 * No sum leaves __s64, whatever the inputs are.
 */
#ifndef MLLB_MODEL_H
#define MLLB_MODEL_H

#include <linux/types.h>

`

// origin is the provenance as lines of a comment.
func origin(p *mlp.Provenance) string {
	var b strings.Builder
	for _, line := range []struct{ name, text string }{
		{"learned from", p.Source}, {"kernel", p.Kernel}, {"dataset", p.Dataset}, {"made by", p.Command},
	} {
		if line.text != "" {
			fmt.Fprintf(&b, " * %s: %s\n", line.name, strings.Join(strings.Fields(line.text), " "))
		}
	}
	return b.String()
}

// comment makes text that no comment ends in.
func comment(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "*/", "* /"), "/*", "/ *")
}

func binaries(set *features.Set) (mask uint64) {
	for k, f := range set.Features {
		if f.Kind == features.Binary {
			mask |= 1 << k
		}
	}
	return mask
}

// literal is a number in C, where -2147483648 is none: it is the negative of
// one that does not fit int.
func literal(x int32) string {
	if x == -1<<31 {
		return "(-2147483647 - 1)"
	}
	return fmt.Sprint(x)
}

func row(b *bytes.Buffer, name string, xs []int32) {
	fmt.Fprintf(b, "static const __s32 %s = {%s};\n", name, list(xs))
}

func matrix(b *bytes.Buffer, name string, rows [][]int32) {
	fmt.Fprintf(b, "static const __s32 %s = {\n", name)
	for _, xs := range rows {
		fmt.Fprintf(b, "\t{%s},\n", list(xs))
	}
	b.WriteString("};\n")
}

func list(xs []int32) string {
	text := make([]string, len(xs))
	for i, x := range xs {
		text[i] = literal(x)
	}
	return strings.Join(text, ", ")
}
