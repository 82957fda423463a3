// SPDX-License-Identifier: Apache-2.0

package trace

//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_cost cost cost.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
