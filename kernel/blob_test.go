// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	"mllb/features"
	"mllb/mlp"
)

// enumOf returns the names of an enum of mllb.h, in lower case and without MLLB_.
func enumOf(t *testing.T, name string) (names []string) {
	t.Helper()
	header, err := os.ReadFile("src/mllb.h")
	if err != nil {
		t.Fatal(err)
	}
	_, body, found := strings.Cut(string(header), "enum "+name+" {")
	body, _, _ = strings.Cut(body, "}")
	for _, m := range regexp.MustCompile(`(?m)^\tMLLB_(\w+),`).FindAllStringSubmatch(body, -1) {
		names = append(names, strings.ToLower(m[1]))
	}
	if !found || len(names) == 0 {
		t.Fatalf("no enum %s in src/mllb.h", name)
	}
	return names
}

// sound is a blob with everything in it, and its model.
func sound(t testing.TB) ([]byte, *mlp.Model) {
	t.Helper()
	set, err := features.Lookup("paper15")
	if err != nil {
		t.Fatal(err)
	}
	m := mlp.NewModel(set, 3)
	for range set.Features {
		m.Ranges = append(m.Ranges, mlp.Range{0, 1})
	}
	m.Weights[0][1][2], m.Biases[1][0] = 0.5, -1
	return blobOf(t, m), m
}

// sealed is a blob with its checksum put right.
func sealed(b []byte) []byte {
	binary.LittleEndian.PutUint32(b[12:], crc32.ChecksumIEEE(b[16:]))
	return b
}

// with is a copy of a blob with one word changed, and the checksum put right.
func with(b []byte, offset int, word uint32) []byte {
	b = append([]byte{}, b...)
	binary.LittleEndian.PutUint32(b[offset:], word)
	return sealed(b)
}

// TestBlobRefused gives mllb_parse what it has to refuse, for the right reason.
func TestBlobRefused(t *testing.T) {
	d := startDriver(t)
	good, m := sound(t)
	if got := d.load(t, m); got.Hidden != 3 {
		t.Fatalf("%d hidden neurons", got.Hidden)
	}
	const header = 40
	network := 4 * (3*(15+2) + 1)
	huge := with(append(good, make([]byte, 4096)...), 8, uint32(len(good)+4096))
	longer := with(append(good, 0, 0, 0, 0), 8, uint32(len(good)+4))
	flipped := append([]byte{}, good...)
	flipped[header+5] ^= 1
	overflow := append([]byte{}, good...)
	for i := range 3 {
		binary.LittleEndian.PutUint32(overflow[header+4*i:], math.MaxInt32)
	}
	for _, c := range []struct {
		name string
		blob []byte
		why  string
	}{
		{"empty", nil, "too short for a header"},
		{"less than a header", good[:39], "too short for a header"},
		{"header alone", good[:40], "not as long as it says"},
		{"truncated", good[:len(good)-1], "not as long as it says"},
		{"truncated and sealed", with(good[:len(good)-4], 8, uint32(len(good)-4)), "size does not match the layers"},
		{"longer", longer, "size does not match the layers"},
		{"huge", huge, "too large"},
		{"another file", with(good, 0, 0x464c457f), "not a model"},
		{"later version", with(good, 4, 2), "another version"},
		{"bit flipped", flipped, "checksum is wrong"},
		{"no set", with(good, 16, 0), "unknown feature set"},
		{"unknown set", with(good, 16, 3), "unknown feature set"},
		{"far set", with(good, 16, math.MaxUint32), "unknown feature set"},
		{"another set's inputs", with(good, 20, 17), "not the inputs of its feature set"},
		{"no hidden layer", with(good, 24, 0), "hidden layer has no size that is supported"},
		{"hidden layer too wide", with(good, 24, 17), "hidden layer has no size that is supported"},
		{"hidden layer that wraps around", with(good, 24, 1<<31), "hidden layer has no size that is supported"},
		{"other numbers", with(good, 28, 16), "numbers are not Q21.11"},
		{"unknown flag", with(good, 36, 7), "unknown flags"},
		{"overflow", sealed(overflow), "weights could overflow the accumulator"},
		{"upside-down range", with(good, header+network, 2048+1), "a range of a feature is none"},
		{"range of a 0/1 feature", with(good, header+network, 1), "a range of a feature is none"},
		{"infinite float", with(good, len(good)-4, 0x7f800000), "a weight is not a number"},
		{"NaN", with(good, header+network+4*30, 0xffc00000), "a weight is not a number"},
	} {
		got, why := d.parse(t, c.blob)
		if got.Result == 0 || why != c.why {
			t.Errorf("%s: %d, %q, want %q", c.name, got.Result, why, c.why)
		}
	}
	d.load(t, m)
}

// TestOverflowLikeGo holds the largest weights that the C takes against those
// that Go takes: a weight more, and both refuse.
func TestOverflowLikeGo(t *testing.T) {
	d := startDriver(t)
	set, err := features.Lookup("paper15")
	if err != nil {
		t.Fatal(err)
	}
	m := mlp.NewModel(set, 1)
	m.Weights[0][0][8], m.Weights[0][0][9] = -1<<20, 1<<20-1
	blob := blobOf(t, m) // their sum is 2^32 - 2048, and below 2^32 no product leaves int64
	for _, c := range []struct {
		left int32
		ok   bool
	}{{2047, true}, {2048, false}} {
		m.Weights[0][0][10] = features.ToFloat(c.left)
		_, err := m.Quantise()
		got, why := d.parse(t, with(blob, 40+4*10, uint32(c.left)))
		if (err == nil) != c.ok || (got.Result == 0) != c.ok {
			t.Errorf("%d: Go says %v, C %q", c.left, err, why)
		}
	}
}

// FuzzBlob gives mllb_parse anything: the sanitizers watch what it reads, and
// what it takes must be what Go would have written.
func FuzzBlob(f *testing.F) {
	good, _ := sound(f)
	f.Add(good, true)
	f.Add(good[:50], false)
	f.Add(with(good, 24, 4), true)
	d := startDriver(f)
	f.Fuzz(func(t *testing.T, blob []byte, seal bool) {
		if seal && len(blob) >= 40 {
			blob = append([]byte{}, blob...)
			binary.LittleEndian.PutUint32(blob[0:], 0x424c4c4d)
			binary.LittleEndian.PutUint32(blob[4:], 1)
			binary.LittleEndian.PutUint32(blob[8:], uint32(len(blob)))
			sealed(blob)
		}
		got, why := d.parse(t, blob)
		if (got.Result == 0) != (why == "") {
			t.Fatalf("result %d, %q", got.Result, why)
		}
		if got.Result != 0 {
			return
		}
		inputs, hidden := binary.LittleEndian.Uint32(blob[20:]), binary.LittleEndian.Uint32(blob[24:])
		if inputs != 15 && inputs != 17 || hidden < 1 || hidden > maxHidden || got.Hidden != hidden {
			t.Fatalf("took %d inputs, %d hidden neurons, and has %d", inputs, hidden, got.Hidden)
		}
		for _, x := range edges {
			var answer cInferred
			d.ask(t, 'V', cVector{math.MaxUint32, [5]int32{x, x, -x, x, x}}, &answer)
			if answer.Logit != answer.Wide {
				t.Fatalf("%d: %d in pairs, %d the wide way", x, answer.Logit, answer.Wide)
			}
		}
	})
}
