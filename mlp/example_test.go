// SPDX-License-Identifier: Apache-2.0

package mlp_test

import (
	"context"
	"fmt"
	"log"

	"mllb/features"
	"mllb/mlp"
)

// candidate is a task that last ran on CPU 0 delta nanoseconds ago, and may go to CPU 1,
// which shares a cache with it but not a core.
func candidate(delta int64) *features.Decision {
	return &features.Decision{
		DstCPU: 1, SameLLC: true, PreferredNode: features.NoNode,
		Idle: features.Idle, Fair: true,
		SrcNrRunning: 2, SrcLen: 2, SrcLoad: 2048,
		Delta: delta, MigrationCost: 500_000,
	}
}

// The built-in network, in integers: a task that has just run stays in its cache.
func ExampleFixed() {
	model, err := mlp.Default()
	if err != nil {
		log.Fatal(err)
	}
	net, err := mlp.NewFixed(model)
	if err != nil {
		log.Fatal(err)
	}
	for _, delta := range []int64{50_000, 20_000_000} {
		var v features.Vector
		model.Set.Fill(&v, candidate(delta))
		fmt.Printf("ran %v us ago: migrate %v\n", delta/1000, net.Migrate(net.Logit(&v)))
	}
	// Output:
	// ran 50 us ago: migrate false
	// ran 20000 us ago: migrate true
}

// A network learns one rule: what ran less than the migration cost ago stays.
func ExampleTrain() {
	set, err := features.Lookup("locality17")
	if err != nil {
		log.Fatal(err)
	}
	data := &mlp.Data{Set: set}
	for i := range int64(2000) {
		d := candidate(i * 1000)
		label := uint8(mlp.Migrate)
		if d.Delta < d.MigrationCost {
			label = mlp.Stay
		}
		data.Append(d, label, 0)
	}
	cfg := mlp.PaperConfig()
	cfg.LearningRate, cfg.Epochs = 0.01, 20
	model, _, err := mlp.Train(context.Background(), cfg, data)
	if err != nil {
		log.Fatal(err)
	}
	result, err := mlp.Evaluate(model, data)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("always \"migrate\" is right in %.0f %%, the network in %.0f %%\n",
		100*result.Majority(), 100*result.Accuracy())
	// Output:
	// always "migrate" is right in 75 %, the network in 100 %
}
