// SPDX-License-Identifier: Apache-2.0

package main

// manualTexts is what help and manual pages say beside the flags, by command.
var manualTexts = map[string]string{
	"help": `Examples:

  mllb help train`,
	"version": `Examples:

  mllb version`,
	"": `Files:

  ~/.cache/mllb  kernels and programs of the lab, made by mllb lab; --cache

Examples:

  mllb topology
  mllb dataset check data/sample.parquet
  mllb bench --arms stock,observe,assist --workload fibo --out results`,
	"topology": `Examples:

  mllb topology
  mllb topology 2x14x2 --json
  mllb topology --probe --out profile.json`,
	"top": `Examples:

  mllb top
  mllb top --observe --once`,
	"lab": `Examples:

  mllb lab fetch 6.12
  mllb lab run --topology 2x4x2 -- mllb topology
  mllb lab test features/bpf`,
	"collect": `Examples:

  mllb collect --out host.parquet --usable --records 100000
  mllb collect --out web.parquet --label web --load 100 --duration 10m`,
	"dataset": `Examples:

  mllb dataset info host.parquet
  mllb dataset split --by run --out . host.parquet web.parquet
  mllb dataset export --csv --features paper15 --out host.csv host.parquet`,
	"train": `Examples:

  mllb train host.parquet --class-weight balanced --scale --out model.json
  mllb train host.parquet --features paper15 --cv 10`,
	"eval": `Examples:

  mllb eval host.parquet
  mllb eval --model model.json --held --html report.html host.parquet`,
	"export": `Examples:

  mllb export --header model.h --golden golden.json
  mllb export --model model.json --onnx model.onnx`,
	"stress": `Examples:

  mllb stress --threads 16 mixed
  mllb stress --threads 120 --procs 8 --duration 10m bursts`,
	"reproduce": `Examples:

  mllb reproduce --quick --report QUICK.md`,
	"workload": `Examples:

  mllb workload --threads 8 --work 1000 spin
  mllb workload --work 3 --n 16 fibo`,
	"bench": `Examples:

  mllb bench -- make -j8
  mllb bench --prepare 'make clean' --runs 20 -- make -j8
  mllb bench --runs 20 --out results
  mllb bench --arms stock,again=stock,assist --workload 'cmd:make -j8' --out build`,
	"prove": `Examples:

  mllb prove
  mllb prove --out web --prepare 'make clean' -- make -j8`,
	"report": `Examples:

  mllb report results
  mllb report --html both.html here there`,
	"latency": `Examples:

  mllb latency --duration 30s
  mllb latency --out results/latency.json`,
}
