// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"mllb/features"
	"mllb/mlp"
)

// TestKernel reads every word of a blob by the places that mllb.h gives it. That
// the kernel's C understands blobs is tested in package kernel.
func TestKernel(t *testing.T) {
	set, err := features.Lookup("paper15")
	if err != nil {
		t.Fatal(err)
	}
	m := mlp.NewModel(set, 2)
	m.Weights[0][0][0], m.Weights[0][1][14] = 1, -0.5
	m.Biases[0][1], m.Weights[1][0][1], m.Biases[1][0] = 2, 3, 4
	m.Threshold = 0.75
	for range set.Features {
		m.Ranges = append(m.Ranges, mlp.Range{0, 1})
	}
	var b bytes.Buffer
	if err := Kernel(&b, m); err != nil {
		t.Fatal(err)
	}
	blob := b.Bytes()
	const weights, ranges, floats, size = 10, 10 + 35, 10 + 35 + 30, 10 + 35 + 30 + 36
	if len(blob) != 4*size {
		t.Fatalf("%d bytes, want %d", len(blob), 4*size)
	}
	for place, want := range map[int]uint32{
		0: binary.LittleEndian.Uint32([]byte("MLLB")), 1: 1, 2: 4 * size, 3: crc32.ChecksumIEEE(blob[16:]),
		4: 1, 5: 15, 6: 2, 7: 11, 8: 2250, 9: 3,
		weights: 2048, weights + 29: 1<<32 - 1024, weights + 31: 4096, weights + 33: 3 * 2048, weights + 34: 4 * 2048,
		ranges: 0, ranges + 15: 2048,
		floats: math.Float32bits(1), floats + 29: math.Float32bits(-0.5), floats + 34: math.Float32bits(4),
		size - 1: math.Float32bits(1.0986123),
	} {
		if got := binary.LittleEndian.Uint32(blob[4*place:]); got != want {
			t.Errorf("word %d is %#x, want %#x", place, got, want)
		}
	}
}

// TestKernelRefuses has models that are sound, but not for the kernel.
func TestKernelRefuses(t *testing.T) {
	set, err := features.Lookup("paper15")
	if err != nil {
		t.Fatal(err)
	}
	other := *set
	other.Name = "another"
	for want, m := range map[string]*mlp.Model{
		"layers: 17 hidden neurons, the kernel takes at most 16": mlp.NewModel(set, 17),
		"feature_set: the kernel cannot derive another":          mlp.NewModel(&other, 1),
		"feature_set: missing":                                   {},
	} {
		var b bytes.Buffer
		if err := Kernel(&b, m); err == nil || !strings.Contains(err.Error(), want) || b.Len() > 0 {
			t.Errorf("%v and %d bytes, want %q", err, b.Len(), want)
		}
	}
}
