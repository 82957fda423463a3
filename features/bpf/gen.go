// SPDX-License-Identifier: Apache-2.0

// Package bpf reads host snapshots, follows forks and watches for idle CPUs by
// eBPF: one pass of an iter/task program for all threads and runqueues, and
// tracepoints for the children of held threads and for CPUs that those could
// run on. The C side is mllb.h (the contract), kernel.h and *.bpf.c; its
// objects are generated and committed, for little endian 64-bit.
package bpf

// Debian keeps asm/types.h in a folder of the architecture, which clang does
// not search for the target bpf; the one that does not exist is ignored. A compare
// and swap is of BPF's third version of instructions (Linux 5.12).
//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_thread -type mllb_rq -type mllb_awake threads threads.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_fork forks forks.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_given pins pins.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel idle idle.bpf.c -- -mcpu=v3 -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
