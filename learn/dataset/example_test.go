// SPDX-License-Identifier: Apache-2.0

package dataset_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"mllb/features"
	"mllb/learn/dataset"
	"mllb/scheduler"
)

// The decisions of a stock kernel, and the run that each was recorded in.
func ExampleOpen() {
	r, err := dataset.Open("../../data/sample.parquet")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	fmt.Println(r.NumRows(), "decisions in", len(r.Meta().Runs), "runs")
	for row, err := range r.Rows() {
		if err != nil {
			log.Fatal(err)
		}
		if !row.Migrate {
			fmt.Println("the first \"stay\": from CPU", row.SrcCPU, "to", row.DstCPU, "under load", row.Run.Load)
			break
		}
	}
	// Output:
	// 20023 decisions in 9 runs
	// the first "stay": from CPU 3 to 6 under load 10
}

// The kernel's own rule, replayed on every record, gives the answer that the kernel gave.
func ExampleCheck() {
	var rule scheduler.CFS
	verdict, err := dataset.Check(context.Background(), io.Discard,
		func(d *features.Decision) bool { return rule.Decide(d).Migrate },
		func(*dataset.Row) string { return "" },
		0, "../../data/sample.parquet")
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range verdict.Kernels {
		fmt.Println(k.Kernel, "differs in", k.Disagree, "of", k.Usable)
	}
	// Output:
	// 6.12.117+deb12-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1~deb12u1 (2026-11-14) differs in 0 of 20023
}
