// SPDX-License-Identifier: Apache-2.0

// Package scx enforces from inside: it loads a sched_ext scheduler that asks the
// policies, in BPF, about each thread that a CPU could pull. The C side is scx.h (the
// contract), net.h (one decision, to the bit as packages mlp and scheduler make it),
// ops.h (the kernel's side), state.h, wake.h and pull.h (what the scheduler knows, where
// threads wake, what a CPU pulls) and scx.bpf.c (the scheduler).
package scx

//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_counters -type mllb_place -type mllb_near -type mllb_ended -type mllb_sample scx scx.bpf.c -- -mcpu=v3 -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
