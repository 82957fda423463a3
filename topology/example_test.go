// SPDX-License-Identifier: Apache-2.0

package topology_test

import (
	"fmt"
	"log"

	"mllb/topology"
)

// A machine of two sockets, each with four cores of two threads.
func ExampleParse() {
	t, err := topology.Parse("2x4x2")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(t)
	fmt.Println("CPUs 0 and 1 share a core:", t.SameCore(0, 1))
	fmt.Println("CPUs 0 and 8 share a cache:", t.SameLLC(0, 8))
	fmt.Println("their nodes are", t.Distance(t.NodeOf(0), t.NodeOf(8)), "apart")
	for _, id := range t.DomainsOf(0) {
		d := &t.Domains[id]
		fmt.Printf("%v: CPUs %v in %d groups\n", d.Level, d.CPUs, len(d.Groups))
	}
	// Output:
	// 16 CPUs, 8 cores, 2 last-level caches, 2 nodes
	// CPUs 0 and 1 share a core: true
	// CPUs 0 and 8 share a cache: false
	// their nodes are 21 apart
	// smt: CPUs 0-1 in 2 groups
	// llc: CPUs 0-7 in 4 groups
	// machine: CPUs 0-15 in 2 groups
}
