// SPDX-License-Identifier: Apache-2.0

package mlp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"math"
	"math/rand/v2"

	"mllb/features"
)

// Labels, and answers, of a decision.
const (
	Stay    = 0
	Migrate = 1
)

// Data is labelled decisions as features of one set.
type Data struct {
	Set   *features.Set
	X     []float32 // rows of len(Set.Features), one after the other
	Y     []uint8   // Stay or Migrate, one a row
	Group []int32   // the run that each row is from; nil: not known
}

// Append adds one decision of a run. Only Data that always got a group has
// groups; it may be -1 for all.
func (d *Data) Append(decision *features.Decision, label uint8, group int32) {
	n := len(d.Set.Features)
	at := len(d.X)
	for range n {
		d.X = append(d.X, 0)
	}
	d.Set.Floats(d.X[at:], decision)
	d.Y = append(d.Y, label)
	d.Group = append(d.Group, group)
}

// Rows returns the number of rows.
func (d *Data) Rows() int { return len(d.Y) }

// Row returns the features of row i.
func (d *Data) Row(i int) []float32 {
	n := len(d.Set.Features)
	return d.X[i*n : i*n+n : i*n+n]
}

// Count returns how many rows have each label.
func (d *Data) Count() (n [2]int) {
	for _, y := range d.Y {
		n[y&1]++
	}
	return n
}

// Check says what makes the data unfit to learn from or to judge with.
func (d *Data) Check() error {
	if d.Set == nil {
		return errors.New("data: no feature set")
	}
	n := len(d.Set.Features)
	if d.Rows() == 0 {
		return errors.New("data: no rows")
	}
	if len(d.X) != n*d.Rows() {
		return fmt.Errorf("data: %d numbers for %d rows of %d features", len(d.X), d.Rows(), n)
	}
	if d.Group != nil && len(d.Group) != d.Rows() {
		return fmt.Errorf("data: %d groups for %d rows", len(d.Group), d.Rows())
	}
	for i, y := range d.Y {
		if y > Migrate {
			return fmt.Errorf("data: row %d: label %d is neither 0 nor 1", i, y)
		}
	}
	for i := range d.Y {
		for k, x := range d.Row(i) {
			f := &d.Set.Features[k]
			if x-x != 0 { // NaN or an infinity
				return fmt.Errorf("data: row %d: %s is %g", i, f.Name, x)
			}
			if f.Kind == features.Binary && x != 0 && x != 1 {
				return fmt.Errorf("data: row %d: %s is %g, neither 0 nor 1", i, f.Name, x)
			}
		}
	}
	return nil
}

// Split holds out at least the given fraction of the rows, drawn by seed.
// Where the data has two groups or more, whole groups are held out: rows of one
// run are near copies, and a split between them would flatter the model.
func (d *Data) Split(fraction float64, seed uint64) (rest, held *Data) {
	r, h := d.Divide(d.Group, fraction, seed)
	return d.Subset(r), d.Subset(h)
}

// Divide is Split by another unit than Group: rows of one unit stay together.
// Rows of fewer than two units, or of nil, are drawn one by one. It returns the
// numbers of the rows, in order.
func (d *Data) Divide(unit []int32, fraction float64, seed uint64) (rest, held []int32) {
	want := max(1, int(math.Round(fraction*float64(d.Rows()))))
	number, units := d.numbered(unit)
	out := draw(number, units, want, seed)
	for i, u := range number {
		if out[u] {
			held = append(held, int32(i))
		} else {
			rest = append(rest, int32(i))
		}
	}
	return rest, held
}

// numbered numbers the units from 0 in the order of appearance, or the rows
// where there are not two units, and returns how many there are.
func (d *Data) numbered(unit []int32) ([]int32, int) {
	number := make([]int32, d.Rows())
	ids := make(map[int32]int32)
	for i, g := range unit {
		id, ok := ids[g]
		if !ok {
			id = int32(len(ids))
			ids[g] = id
		}
		number[i] = id
	}
	if len(ids) >= 2 {
		return number, len(ids)
	}
	for i := range number {
		number[i] = int32(i)
	}
	return number, len(number)
}

// draw picks units by seed until they have the wanted rows, but never all.
func draw(unit []int32, units, want int, seed uint64) []bool {
	size := make([]int, units)
	for _, u := range unit {
		size[u]++
	}
	out := make([]bool, units)
	for k, u := range rand.New(rand.NewPCG(seed, streamSplit)).Perm(units) {
		if want <= 0 || k == units-1 {
			break
		}
		out[u] = true
		want -= size[u]
	}
	return out
}

// Subset returns a copy of some rows.
func (d *Data) Subset(rows []int32) *Data {
	n := len(d.Set.Features)
	s := &Data{Set: d.Set, X: make([]float32, 0, n*len(rows)), Y: make([]uint8, 0, len(rows))}
	for _, i := range rows {
		s.X = append(s.X, d.Row(int(i))...)
		s.Y = append(s.Y, d.Y[i])
		if d.Group != nil {
			s.Group = append(s.Group, d.Group[i])
		}
	}
	return s
}

// count returns how many of the rows have each label.
func (d *Data) count(rows []int32) (n [2]int) {
	for _, i := range rows {
		n[d.Y[i]&1]++
	}
	return n
}

// Digest names the data by its contents.
func (d *Data) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %d\n", d.Set.Name, d.Rows())
	writeFloats(h, d.X)
	h.Write(d.Y)
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

func writeFloats(h hash.Hash, x []float32) {
	buf := make([]byte, 0, 4096)
	for _, v := range x {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		if len(buf) == cap(buf) {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
}
