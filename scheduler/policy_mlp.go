// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"errors"
	"fmt"
	"strings"

	"mllb/features"
	"mllb/mlp"
)

// MLP asks the network. The kernel's rule is consulted only where a feature is
// out of the range that it had in training: there a network has learned
// nothing, and what it says is chance. A model without ranges is always asked.
type MLP struct {
	set    *features.Set
	net    *mlp.Fixed
	bounds *mlp.Bounds
}

// NewMLP returns the policy of a model, quantised to Q21.11.
func NewMLP(m *mlp.Model) (*MLP, error) {
	if m == nil {
		return nil, errors.New("policy mlp: no model")
	}
	net, err := mlp.NewFixed(m)
	if err != nil {
		return nil, fmt.Errorf("policy mlp: %w", err)
	}
	return &MLP{set: m.Set, net: net, bounds: m.Bounds()}, nil
}

// Name returns "mlp".
func (*MLP) Name() string { return "mlp" }

// Decide returns the network's answer and its logit, or what policy cfs says and
// no logit.
func (p *MLP) Decide(d *features.Decision) Verdict {
	var v features.Vector
	p.set.Fill(&v, d)
	if !p.bounds.InRange(&v) {
		verdict := CFS{}.Decide(d)
		verdict.OutOfDistribution = true
		return verdict
	}
	logit := p.net.Logit(&v)
	return Verdict{Migrate: p.net.Migrate(logit), Logit: logit}
}

// FeatureNames returns the names of what Features returns, in order.
func (p *MLP) FeatureNames() []string { return p.set.Names() }

// Features returns what the network saw of d, in Q21.11 and in the order of
// its feature set. It writes to dst if that is large enough.
func (p *MLP) Features(d *features.Decision, dst []int32) []int32 {
	var v features.Vector
	p.set.Fill(&v, d)
	n := len(p.set.Features)
	if cap(dst) < n {
		dst = make([]int32, n)
	}
	p.set.Unpack(dst[:n], &v)
	return dst[:n]
}

// Explainer is a policy that can show the features behind a verdict.
type Explainer interface {
	FeatureNames() []string
	Features(d *features.Decision, dst []int32) []int32
}

// policies makes each policy by its name; only mlp looks at the model.
var policies = []struct {
	name string
	make func(*mlp.Model) (Policy, error)
}{
	{"mlp", func(m *mlp.Model) (Policy, error) { return NewMLP(m) }},
	{"cfs", func(*mlp.Model) (Policy, error) { return CFS{}, nil }},
	{"always", func(*mlp.Model) (Policy, error) { return Always{}, nil }},
	{"never", func(*mlp.Model) (Policy, error) { return Never{}, nil }},
}

// PolicyNames returns the names that NewPolicy knows, the default first.
func PolicyNames() []string {
	names := make([]string, len(policies))
	for i := range policies {
		names[i] = policies[i].name
	}
	return names
}

// NewPolicy returns the policy of that name. m may be nil for all but "mlp".
func NewPolicy(name string, m *mlp.Model) (Policy, error) {
	for i := range policies {
		if policies[i].name == name {
			return policies[i].make(m)
		}
	}
	return nil, fmt.Errorf("unknown policy %q; known: %s", name, strings.Join(PolicyNames(), ", "))
}
