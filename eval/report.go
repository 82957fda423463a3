// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"mllb/mlp"
)

// Report is what Run found. Shares are of 1; a Figure that the data cannot give
// is NaN, which JSON has as null.
type Report struct {
	Model      Model        `json:"model"`
	Data       Data         `json:"data"`
	Notes      []string     `json:"notes,omitempty"` // what the reader must know of the figures
	Scores     []Score      `json:"judges"`
	Agreement  Agreement    `json:"fixed_against_float"`
	Groups     []Breakdown  `json:"groups"`
	Widths     []Width      `json:"fraction_bits"`
	Matrix     *Matrix      `json:"load_matrix,omitempty"`
	Importance *Importances `json:"importance,omitempty"`
	Mistakes   []*Mistake   `json:"mistakes,omitempty"` // of the network in integers, the most costly first
}

// Model names what was judged.
type Model struct {
	Name       string         `json:"name"` // its file, or "built-in"
	Set        string         `json:"feature_set"`
	Layers     []int          `json:"layers"`
	Threshold  float64        `json:"threshold"`
	Provenance mlp.Provenance `json:"provenance"`
}

// Data counts what it was judged on.
type Data struct {
	Files   []string `json:"files"`
	Records int64    `json:"records"`
	Usable  int      `json:"usable"` // decided by the locality rule
	Stay    int      `json:"stay"`
	Migrate int      `json:"migrate"`
}

// Figure is a number that may be undefined: NaN.
type Figure float64

// MarshalJSON writes null for what JSON has no number for.
func (f Figure) MarshalJSON() ([]byte, error) {
	if !f.defined() {
		return []byte("null"), nil
	}
	return strconv.AppendFloat(nil, float64(f), 'g', -1, 64), nil
}

func (f Figure) defined() bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }

// String writes a figure that is no share.
func (f Figure) String() string {
	if !f.defined() {
		return "-"
	}
	return positiveZero(strconv.FormatFloat(float64(f), 'f', 4, 64))
}

// Brief writes three digits of a figure, however small.
func (f Figure) Brief() string {
	if !f.defined() {
		return "-"
	}
	return strconv.FormatFloat(float64(f), 'g', 3, 64)
}

// Percent writes a share. What is not all does not read "100.000".
func (f Figure) Percent() string {
	if !f.defined() {
		return "-"
	}
	x := 100 * float64(f)
	if x < 100 {
		x = min(x, 99.999)
	}
	return positiveZero(fmt.Sprintf("%.3f", x))
}

// positiveZero takes the sign off what was rounded to zero.
func positiveZero(s string) string {
	if strings.Trim(s, "-0.") == "" {
		return strings.TrimPrefix(s, "-")
	}
	return s
}

func share(a, b int) Figure {
	if b == 0 {
		return Figure(math.NaN())
	}
	return Figure(float64(a) / float64(b))
}

// Confusion counts decisions by what the kernel did and what was answered.
type Confusion struct {
	StayStay       int `json:"stay_answered_stay"`
	StayMigrate    int `json:"stay_answered_migrate"`
	MigrateStay    int `json:"migrate_answered_stay"`
	MigrateMigrate int `json:"migrate_answered_migrate"`
}

// PerLabel is how well one label was answered.
type PerLabel struct {
	Precision Figure `json:"precision"` // of the answers that say it, how many are right
	Recall    Figure `json:"recall"`    // of the decisions that are it, how many were answered so
}

// Answers is how well one judge answered.
type Answers struct {
	Judge     string    `json:"judge"`
	Accuracy  Figure    `json:"accuracy"`
	Balanced  Figure    `json:"balanced_accuracy"` // mean of both recalls
	Stay      PerLabel  `json:"stay"`
	Migrate   PerLabel  `json:"migrate"`
	Confusion Confusion `json:"confusion"`
}

func answers(judge string, c *mlp.Confusion) Answers {
	n := &c.N
	a := Answers{
		Judge: judge, Accuracy: Figure(c.Accuracy()), Balanced: Figure(c.Balanced()),
		Confusion: Confusion{n[mlp.Stay][mlp.Stay], n[mlp.Stay][mlp.Migrate], n[mlp.Migrate][mlp.Stay], n[mlp.Migrate][mlp.Migrate]},
	}
	for y, l := range [2]*PerLabel{&a.Stay, &a.Migrate} {
		l.Precision = share(n[y][y], n[0][y]+n[1][y])
		l.Recall = Figure(c.Recall(uint8(y)))
	}
	return a
}
