// SPDX-License-Identifier: Apache-2.0

package eval

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	"mllb/features"
	"mllb/internal/number"
	"mllb/mlp"
)

// Importances says what the network in integers loses when a feature is taken
// from another decision, drawn at random (Breiman 2001; Fisher et al. 2019).
// Features that carry the same knowledge hide each other's importance.
type Importances struct {
	Repeats  int          `json:"repeats"`
	Features []Importance `json:"features"`
}

// Importance is the mean change over the repeats, of one feature or of several
// that are permuted together.
type Importance struct {
	Name       string  `json:"name"`
	Loss       Change  `json:"loss_increase"`
	Accuracy   Change  `json:"accuracy_drop"`
	Balanced   Change  `json:"balanced_accuracy_drop"`
	StayRecall Change  `json:"stay_recall_drop"`
	Changed    float64 `json:"answers_changed"` // share
}

// Change is a mean and its standard deviation over the repeats.
type Change struct {
	Mean number.Num `json:"mean"`
	SD   number.Num `json:"sd"`
}

const permutations = 5

// together are features that mean nothing one by one: a one-hot code.
var together = []struct {
	name  string
	parts []string
}{{"idleness", []string{"cpu_idle", "cpu_not_idle", "cpu_newly_idle"}}}

// columns are the decisions as the network sees them.
type columns struct {
	vectors []features.Vector
	labels  []uint8
}

func (c *columns) add(v *features.Vector, label uint8) {
	c.vectors, c.labels = append(c.vectors, *v), append(c.labels, label)
}

// mask is which parts of a vector are taken from another decision.
type mask struct {
	name   string
	bits   uint32
	ratios [features.MaxRatio]bool
}

func (m *mask) mix(v, from *features.Vector) {
	v.Bits = v.Bits&^m.bits | from.Bits&m.bits
	for i, take := range m.ratios {
		if take {
			v.Ratios[i] = from.Ratios[i]
		}
	}
}

func masks(set *features.Set) []mask {
	var all []mask
	byName := make(map[string]mask)
	bit, ratio := 0, 0
	for i := range set.Features {
		m := mask{name: set.Features[i].Name}
		if set.Features[i].Kind == features.Binary {
			m.bits = 1 << bit
			bit++
		} else {
			m.ratios[ratio] = true
			ratio++
		}
		all = append(all, m)
		byName[m.name] = m
	}
	for _, t := range together {
		joint := mask{name: t.name}
		for _, p := range t.parts {
			joint.bits |= byName[p].bits
		}
		if joint.bits != 0 {
			all = append(all, joint)
		}
	}
	return all
}

// permute measures every feature of the set, in parallel. The same seed gives the
// same figures.
func (c *columns) permute(ctx context.Context, net *mlp.Fixed, set *features.Set, seed uint64) (*Importances, error) {
	all := masks(set)
	out := &Importances{Repeats: permutations, Features: make([]Importance, len(all))}
	none := c.judge(net)
	var work sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i := range all {
		work.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if ctx.Err() == nil {
				out.Features[i] = c.importance(net, &all[i], &none, rand.New(rand.NewPCG(seed, uint64(i))))
			}
		})
	}
	work.Wait()
	return out, ctx.Err()
}

func (c *columns) importance(net *mlp.Fixed, m *mask, none *judged, rng *rand.Rand) Importance {
	order := make([]int32, len(c.labels))
	for i := range order {
		order[i] = int32(i)
	}
	var loss, accuracy, balanced, stay [permutations]float64
	changed := 0
	for k := range permutations {
		rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		j := c.permuted(net, m, none, order)
		loss[k] = j.loss - none.loss
		accuracy[k] = none.Accuracy() - j.Accuracy()
		balanced[k] = none.Balanced() - j.Balanced()
		stay[k] = none.Recall(mlp.Stay) - j.Recall(mlp.Stay)
		changed += j.changed
	}
	return Importance{m.name, change(loss), change(accuracy), change(balanced), change(stay),
		float64(changed) / float64(permutations*len(c.labels))}
}

// judged is the answers to all decisions.
type judged struct {
	mlp.Confusion
	loss    float64
	logits  []int32 // without a permutation
	changed int     // by one: how many answers
}

// judge answers the decisions as they are.
func (c *columns) judge(net *mlp.Fixed) (j judged) {
	j.logits = make([]int32, len(c.labels))
	for i, y := range c.labels {
		logit := net.Logit(&c.vectors[i])
		j.logits[i] = logit
		j.Add(y, answer(net.Migrate(logit)))
		j.loss += mlp.CrossEntropy(features.ToFloat(logit), y)
	}
	j.loss /= float64(len(c.labels))
	return j
}

// permuted answers them with the masked part of each taken from another. Most are
// as they were, so it counts what differs from none.
func (c *columns) permuted(net *mlp.Fixed, m *mask, none *judged, order []int32) judged {
	j := judged{Confusion: none.Confusion}
	more := 0.0
	for i, y := range c.labels {
		v := c.vectors[i]
		if m.mix(&v, &c.vectors[order[i]]); v == c.vectors[i] {
			continue
		}
		old, logit := none.logits[i], net.Logit(&v)
		more += mlp.CrossEntropy(features.ToFloat(logit), y) - mlp.CrossEntropy(features.ToFloat(old), y)
		if was, said := answer(net.Migrate(old)), answer(net.Migrate(logit)); was != said {
			j.N[y][was]--
			j.N[y][said]++
			j.changed++
		}
	}
	j.loss = none.loss + more/float64(len(c.labels))
	return j
}

// ranked is the features, those first that raise the loss most.
func (m *Importances) ranked() []Importance {
	if m == nil {
		return nil
	}
	return slices.SortedStableFunc(slices.Values(m.Features), func(a, b Importance) int { return cmp.Compare(b.Loss.Mean, a.Loss.Mean) })
}

func change(x [permutations]float64) Change {
	mean, squares := 0.0, 0.0
	for _, v := range x {
		mean += v / permutations
	}
	for _, v := range x {
		squares += (v - mean) * (v - mean)
	}
	return Change{number.Num(mean), number.Num(math.Sqrt(squares / (permutations - 1)))}
}
