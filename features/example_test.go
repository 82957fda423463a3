// SPDX-License-Identifier: Apache-2.0

package features_test

import (
	"fmt"
	"log"

	"mllb/features"
)

// What the network sees of one candidate move: 0/1 features and quotients.
func ExampleSet_Floats() {
	set, err := features.Lookup("locality17")
	if err != nil {
		log.Fatal(err)
	}
	d := features.Decision{
		SrcCPU: 0, DstCPU: 8,
		SrcNode: 0, DstNode: 1, PreferredNode: features.NoNode,
		Idle: features.Idle, Fair: true,
		SrcNrRunning: 3, SrcLen: 3,
		Delta: 200_000, MigrationCost: 500_000, // ns: it ran on the source 0.2 ms ago
	}
	values := make([]float32, len(set.Features))
	set.Floats(values, &d)
	for i, name := range set.Names() {
		if values[i] != 0 {
			fmt.Println(name, values[i])
		}
	}
	// Output:
	// src_non_pref_nr 1
	// delta_hot 1
	// cpu_idle 1
	// src_len 1
}
