// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mllb/features"
	"mllb/mlp"
)

var update = flag.Bool("update", false, "rewrite src/mllb_test_data.h from the golden vectors, and src/mllb_default.h from the built-in model")

const headerTop = "/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */\n"

// words writes a blob as C that no byte order changes.
func words(b *bytes.Buffer, name string, blob []byte) {
	fmt.Fprintf(b, "static const u32 %s[] = {", name)
	for i := 0; i < len(blob); i += 4 {
		b.WriteString(map[bool]string{true: "\n\t", false: " "}[i%24 == 0])
		fmt.Fprintf(b, "0x%08x,", binary.LittleEndian.Uint32(blob[i:]))
	}
	b.WriteString("\n};\n")
}

// comment folds a text into lines of a comment.
func comment(text string) string {
	var b strings.Builder
	line := " *"
	for _, word := range strings.Fields(strings.ReplaceAll(text, "*/", "* /")) {
		if len(line)+len(word) > 80 {
			b.WriteString(line + "\n")
			line = " *"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// TestDefaultModel holds the model that the kernel is built with against the
// parser, and its comment against what it is. It may be older than package mlp's.
func TestDefaultModel(t *testing.T) {
	const path = "src/mllb_default.h"
	if *update {
		m, err := mlp.Default()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		b.WriteString(headerTop)
		fmt.Fprintf(&b, "/*\n * A model as mllb export --kernel writes it, in words. Learned from\n%s * Dataset %s.\n */\n", comment(m.Provenance.Source+"."), m.Provenance.Dataset)
		words(&b, "mllb_default", blobOf(t, m))
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blob []byte
	for _, m := range regexp.MustCompile(`0x([0-9a-f]{8}),`).FindAllSubmatch(text, -1) {
		x, err := strconv.ParseUint(string(m[1]), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		blob = binary.LittleEndian.AppendUint32(blob, uint32(x))
	}
	d := startDriver(t)
	got, why := d.parse(t, blob)
	if got.Result != 0 || got.Limit == 0 || got.Small == 0 {
		t.Errorf("result %d, %q; limit of pairs: %d, ranges are within: %d", got.Result, why, got.Limit, got.Small)
	}
}

// inKernel are the golden networks that the kernel's own test carries.
var inKernel = map[string]int{"ordinary weights": 24, "saturating weights": 12, "wider than any fast one": 8}

// TestData holds the data of the KUnit suite against the golden vectors.
func TestData(t *testing.T) {
	var b, networks bytes.Buffer
	b.WriteString(headerTop)
	b.WriteString("/* Made of mlp/testdata/golden.json by the tests of package kernel; not to be edited. */\n\n")
	for i, n := range golden(t) {
		keep := inKernel[n.Note]
		if keep == 0 {
			continue
		}
		m := modelOf(t, &n)
		words(&b, fmt.Sprintf("blob_%d", i), blobOf(t, m))
		fmt.Fprintf(&b, "\nstatic const struct mllb_test_case cases_%d[] = {\n", i)
		for _, c := range n.Cases[:keep] {
			var v features.Vector
			if err := m.Set.Pack(&v, c.Inputs); err != nil {
				t.Fatal(err)
			}
			b.WriteString("\t{\n")
			vector(&b, vectorOf(&v))
			fmt.Fprintf(&b, "\t\t%s,\n\t\t{", literal(c.Output))
			list(&b, c.Hidden)
			b.WriteString(" },\n\t},\n")
		}
		b.WriteString("};\n\n")
		fmt.Fprintf(&networks, "\t{\n\t\t\"%s, %s\",\n\t\tblob_%d, ARRAY_SIZE(blob_%d), cases_%d, ARRAY_SIZE(cases_%d),\n\t},\n", n.FeatureSet, n.Note, i, i, i, i)
	}
	fmt.Fprintf(&b, "static const struct mllb_test_network networks[] = {\n%s};\n\n", networks.Bytes())
	facts(t, &b)
	const path = "src/mllb_test_data.h"
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, b.Bytes()) {
		t.Errorf("%s is not what the golden vectors give: go test ./kernel -run TestData -update", path)
	}
}

// facts writes decisions with their features.
func facts(t *testing.T, b *bytes.Buffer) {
	set, err := features.Lookup("locality17")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(8, 9))
	b.WriteString("static const struct mllb_test_facts facts[] = {\n")
	for i := range 24 {
		d := &features.Decision{
			SrcNode: rng.Int32N(2), DstNode: rng.Int32N(2), PreferredNode: rng.Int32N(3) - 1,
			Idle:         features.IdleType(rng.IntN(3)),
			SrcNrRunning: rng.Uint32N(5), SrcNrPreferredRunning: rng.Uint32N(5), DstNrRunning: rng.Uint32N(2),
			SrcLen: rng.Uint32N(9), DstLen: rng.Uint32N(4), SrcLoad: rng.Uint64N(9000), DstLoad: rng.Uint64N(3000),
			NrBalanceFailed: rng.Uint32N(4), CacheNiceTries: rng.Uint32N(3),
			NextBuddy: rng.IntN(2) == 0, HasFaults: rng.IntN(2) == 0, Delta: rng.Int64N(1_000_000),
			MigrationCost: []int64{500_000, 500_000, 0, -1}[rng.IntN(4)],
			TaskFaults:    []uint64{rng.Uint64N(50), rng.Uint64N(50)}, TaskTotalFaults: rng.Uint64N(3) * 49,
		}
		d.Domain = features.DomainFlags(rng.IntN(2))
		if i%8 == 7 { // what only an attack or a bug would bring
			d.SrcLoad, d.SrcLen, d.TaskFaults[0], d.TaskTotalFaults = 1<<63, 1<<31, 1<<63, 1
		}
		var v features.Vector
		set.Fill(&v, d)
		c := factsOf(d)
		fmt.Fprintf(b, "\t{\n\t\t{\n\t\t\t.src_load = %dULL, .dst_load = %d,\n", c.SrcLoad, c.DstLoad)
		fmt.Fprintf(b, "\t\t\t.delta = %d, .migration_cost = %d,\n", c.Delta, c.MigrationCost)
		fmt.Fprintf(b, "\t\t\t.src_faults = %dULL, .dst_faults = %dULL,\n\t\t\t.total_faults = %d,\n", c.SrcFaults, c.DstFaults, c.Total)
		fmt.Fprintf(b, "\t\t\t.src_nr_running = %d, .dst_nr_running = %d, .src_nr_preferred = %d,\n", c.SrcNrRunning, c.DstNrRunning, c.SrcNrPreferred)
		fmt.Fprintf(b, "\t\t\t.src_len = %dU, .dst_len = %d,\n", c.SrcLen, c.DstLen)
		fmt.Fprintf(b, "\t\t\t.nr_balance_failed = %d, .cache_nice_tries = %d,\n", c.NrBalanceFailed, c.NiceTries)
		fmt.Fprintf(b, "\t\t\t.src_nid = %d, .dst_nid = %d, .preferred_nid = %d,\n", c.SrcNode, c.DstNode, c.Preferred)
		fmt.Fprintf(b, "\t\t\t.idle = %d, .same_smt = %d, .has_faults = %d, .next_buddy = %d,\n\t\t},\n", c.Idle, c.SameSMT, c.HasFaults, c.NextBuddy)
		vector(b, vectorOf(&v))
		b.WriteString("\t},\n")
	}
	b.WriteString("};\n")
}

func vector(b *bytes.Buffer, v cVector) {
	fmt.Fprintf(b, "\t\t{ 0x%03x, {", v.Bits)
	list(b, v.Ratio[:])
	b.WriteString(" } },\n")
}

func list(b *bytes.Buffer, xs []int32) {
	for i, x := range xs {
		if i > 0 {
			b.WriteString(",")
		}
		if i%6 == 0 && len(xs) > 6 {
			b.WriteString("\n\t\t\t")
		}
		if i%6 != 0 || len(xs) <= 6 {
			b.WriteString(" ")
		}
		b.WriteString(literal(x))
	}
}

// literal is a number in C, where -2147483648 is none.
func literal(x int32) string {
	if x == -1<<31 {
		return "S32_MIN"
	}
	return fmt.Sprint(x)
}
