// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"mllb/internal/number"
	"mllb/mlp"
)

// Report is what Run found. Shares are of 1; a number that the data cannot give
// is NaN, which JSON has as null.
type Report struct {
	Version    string       `json:"version,omitempty"` // of mllb
	Model      Model        `json:"model"`
	Data       Data         `json:"data"`
	Verdict    Verdict      `json:"verdict"`
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

// Confusion counts decisions by what the kernel did and what was answered.
type Confusion struct {
	StayStay       int `json:"stay_answered_stay"`
	StayMigrate    int `json:"stay_answered_migrate"`
	MigrateStay    int `json:"migrate_answered_stay"`
	MigrateMigrate int `json:"migrate_answered_migrate"`
}

// PerLabel is how well one label was answered.
type PerLabel struct {
	Precision number.Num `json:"precision"` // of the answers that say it, how many are right
	Recall    number.Num `json:"recall"`    // of the decisions that are it, how many were answered so
}

// Answers is how well one judge answered.
type Answers struct {
	Judge     string     `json:"judge"`
	Accuracy  number.Num `json:"accuracy"`
	Balanced  number.Num `json:"balanced_accuracy"` // mean of both recalls
	Stay      PerLabel   `json:"stay"`
	Migrate   PerLabel   `json:"migrate"`
	Confusion Confusion  `json:"confusion"`
}

func answers(judge string, c *mlp.Confusion) Answers {
	n := &c.N
	a := Answers{
		Judge: judge, Accuracy: number.Num(c.Accuracy()), Balanced: number.Num(c.Balanced()),
		Confusion: Confusion{n[mlp.Stay][mlp.Stay], n[mlp.Stay][mlp.Migrate], n[mlp.Migrate][mlp.Stay], n[mlp.Migrate][mlp.Migrate]},
	}
	for y, l := range [2]*PerLabel{&a.Stay, &a.Migrate} {
		l.Precision = number.Share(n[y][y], n[0][y]+n[1][y])
		l.Recall = number.Num(c.Recall(uint8(y)))
	}
	return a
}
