// SPDX-License-Identifier: Apache-2.0

package export

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"mllb/features"
	"mllb/mlp"
)

// The blob that mllb_parse() of kernel/src reads, in little endian: ten words,
// then the weights. kernel/src/mllb.h (struct mllb_blob) describes it.
const (
	kernelMagic   = 0x424c4c4d // "MLLB"
	kernelVersion = 1
	kernelRanges  = 1 << 0 // flags
	kernelFloats  = 1 << 1
	kernelCRC     = 12 // offset of the checksum, which covers what follows it

	// KernelMaxHidden is the largest hidden layer that the kernel takes.
	KernelMaxHidden = 16
)

// kernelSets are the numbers of the feature sets that the kernel can derive.
var kernelSets = map[string]uint32{"paper15": 1, "locality17": 2}

// Kernel writes a model as /sys/kernel/debug/sched/mllb/model takes it: the
// weights in Q21.11, the ranges of training if the model has them, and the
// weights as float32.
func Kernel(w io.Writer, m *mlp.Model) error {
	q, err := m.Quantise()
	if err != nil {
		return err
	}
	set, ok := kernelSets[m.Set.Name]
	if !ok {
		return fmt.Errorf("feature_set: the kernel cannot derive %s", m.Set.Name)
	}
	if m.Hidden() > KernelMaxHidden {
		return fmt.Errorf("layers: %d hidden neurons, the kernel takes at most %d", m.Hidden(), KernelMaxHidden)
	}
	flags := uint32(kernelFloats)
	low, high := m.Limits()
	if low != nil {
		flags |= kernelRanges
	}
	words := []uint32{kernelMagic, kernelVersion, 0, 0, set, uint32(len(m.Set.Features)), uint32(m.Hidden()), features.FracBits, uint32(q.Threshold), flags}
	words = append(words, layers(q.Weights, q.Biases, func(x int32) uint32 { return uint32(x) })...)
	for _, x := range append(low, high...) {
		words = append(words, uint32(x))
	}
	words = append(words, layers(m.Weights, m.Biases, float)...)
	words = append(words, float(m.Cut()))

	b := make([]byte, 0, 4*len(words))
	for _, x := range words {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	binary.LittleEndian.PutUint32(b[kernelCRC:], crc32.ChecksumIEEE(b[kernelCRC+4:]))
	_, err = io.Copy(w, bytes.NewReader(b))
	return err
}

// layers are the parameters in the order of the blob: hidden layer, its biases,
// output, its bias.
func layers[T any](weights [2][][]T, biases [2][]T, word func(T) uint32) (words []uint32) {
	for l := range weights {
		for _, row := range append(weights[l][:len(weights[l]):len(weights[l])], biases[l]) {
			for _, x := range row {
				words = append(words, word(x))
			}
		}
	}
	return words
}

func float(x float64) uint32 { return math.Float32bits(float32(x)) }
