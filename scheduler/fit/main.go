// SPDX-License-Identifier: Apache-2.0

// Fit makes the model that is built into mllb until one learned from a kernel
// replaces it: a network fitted to the answers of the cfs policy on simulated
// hosts. The same seed makes the same file.
//
//	go run ./scheduler/fit -out mlp/default.json -seed 1
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"

	"mllb/features"
	"mllb/mlp"
)

// config says how much to simulate and how long to learn.
type config struct {
	seed     uint64
	ticks    int // per run
	limit    int // questions per run
	variants int // of each question
	epochs   int
	log      io.Writer
}

func main() {
	out := flag.String("out", "", "file to write the model to; empty: standard output")
	cfg := config{log: os.Stderr}
	flag.Uint64Var(&cfg.seed, "seed", 1, "seed of the hosts, the variants and the training")
	flag.IntVar(&cfg.ticks, "ticks", 300, "ticks of 100 ms to simulate on each host")
	flag.IntVar(&cfg.limit, "limit", 1500, "decisions to record of each host")
	flag.IntVar(&cfg.variants, "variants", 8, "variants of each decision to learn from")
	flag.IntVar(&cfg.epochs, "epochs", 100, "passes over the data")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := write(ctx, cfg, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fit:", err)
		os.Exit(1)
	}
}

func write(ctx context.Context, cfg config, path string) error {
	m, err := fit(ctx, cfg)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		return err
	}
	if path == "" {
		_, err = os.Stdout.Write(b.Bytes())
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// fit records, trains and judges.
func fit(ctx context.Context, cfg config) (*mlp.Model, error) {
	set, err := features.Lookup("locality17")
	if err != nil {
		return nil, err
	}
	train := runs(learned, 0, cfg.seed)
	judge := append(runs(learned, 1000, cfg.seed), runs(unseen, 2000, cfg.seed)...)
	seen, err := recordAll(ctx, cfg, set, train)
	if err != nil {
		return nil, err
	}
	held, err := recordAll(ctx, cfg, set, judge)
	if err != nil {
		return nil, err
	}
	data := join(seen.asked, seen.varied)
	t := mlp.PaperConfig()
	// The paper's rate is for noisy labels; a rule without noise can be learned
	// faster, with more decay to settle.
	t.LearningRate, t.Decay, t.Epochs, t.Patience = 3e-3, 2e-5, cfg.epochs, 20
	t.Scale, t.Seed, t.ClassWeights = true, cfg.seed, mlp.BalancedWeights(data)
	t.Progress = func(e mlp.Epoch) {
		fmt.Fprintf(cfg.log, "epoch %3d  loss %.5f  validation %.5f  balanced %.4f\n", e.Number, e.Loss, e.Validation.Loss, e.Validation.Balanced())
	}
	m, _, err := mlp.Train(ctx, t, data)
	if err != nil {
		return nil, err
	}
	m.Provenance = provenance(cfg, data)
	return m, measure(cfg, m, held)
}

func recordAll(ctx context.Context, cfg config, set *features.Set, list []run) (*recorder, error) {
	r := &recorder{variants: cfg.variants, limit: cfg.limit, asked: &mlp.Data{Set: set}, varied: &mlp.Data{Set: set}}
	for i := range list {
		if err := r.record(ctx, &list[i], cfg.ticks); err != nil {
			return nil, err
		}
	}
	a, v := r.asked.Count(), r.varied.Count()
	fmt.Fprintf(cfg.log, "%d runs: asked %d stay, %d migrate; variants %d stay, %d migrate\n", len(list), a[0], a[1], v[0], v[1])
	if r.asked.Rows() == 0 {
		return nil, fmt.Errorf("the policy was asked nothing on %d simulated hosts", len(list))
	}
	return r, nil
}

func join(a, b *mlp.Data) *mlp.Data {
	return &mlp.Data{Set: a.Set, X: slices.Concat(a.X, b.X), Y: slices.Concat(a.Y, b.Y), Group: slices.Concat(a.Group, b.Group)}
}

func provenance(cfg config, data *mlp.Data) mlp.Provenance {
	return mlp.Provenance{
		Source:   "interim: fitted to the answers of the cfs policy on simulated hosts, not to a kernel",
		Dataset:  data.Digest(),
		Kernel:   "none; the cfs policy replays the rule of 6.12",
		Topology: strings.Join(learned, " "),
		Seed:     cfg.seed,
		Command:  fmt.Sprintf("go run ./scheduler/fit -out mlp/default.json -seed %d", cfg.seed),
		Note: fmt.Sprintf("Simulated hosts ask about few of the situations that the rule tells apart, so each decision is joined by %d variants "+
			"of it with idleness, failures, hotness, queues and NUMA faults drawn at random. Metrics are from other runs: of the same "+
			"topologies, and of %s, which were not learned from. sim_*: decisions as the hosts put them; variant_*: variants of those.",
			cfg.variants, strings.Join(unseen, ", ")),
		Metrics: map[string]float64{},
	}
}

// measure judges the model on runs that it has not seen, and writes the figures
// into its provenance.
func measure(cfg config, m *mlp.Model, held *recorder) error {
	for _, part := range []struct {
		name string
		data *mlp.Data
	}{{"sim_", held.asked}, {"variant_", held.varied}} {
		e, err := mlp.Evaluate(m, part.data)
		if err != nil {
			return err
		}
		agreement, err := mlp.Agreement(m, part.data)
		if err != nil {
			return err
		}
		for name, x := range e.Metrics() {
			m.Provenance.Metrics[part.name+name] = x
		}
		m.Provenance.Metrics[part.name+"fixed_float_agreement"] = agreement
	}
	for _, name := range slices.Sorted(maps.Keys(m.Provenance.Metrics)) {
		fmt.Fprintf(cfg.log, "%-30s %.6g\n", name, m.Provenance.Metrics[name])
	}
	return nil
}
