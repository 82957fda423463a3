// SPDX-License-Identifier: Apache-2.0

// Package bench says whether mllb helps: it runs workloads under the stock
// scheduler and under others, in turns drawn at random, and compares them.
//
// An [Arm] is one way to have threads scheduled. A [Config] names arms and
// workloads; its slots are the runs that are due, and each ends as one [Record]
// in runs.jsonl of the result directory, so that whatever stops a benchmark, the
// same command goes on with what is missing. A [Report] is made of records alone.
package bench
