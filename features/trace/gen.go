// SPDX-License-Identifier: Apache-2.0

// Package trace records what a running kernel decides: every call of
// can_migrate_task(), with all the facts that decide it and the answer, by
// fentry and fexit or else by kprobe and kretprobe. The kernel is not changed;
// hard conditions are told from the locality rule by a counter of schedstats.
// The C side is call.h (the contract), balance.h, facts.h and trace.h.
package trace

//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_call -type mllb_slot fentry fentry.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel kprobe kprobe.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
