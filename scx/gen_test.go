// SPDX-License-Identifier: Apache-2.0

package scx

//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_facts -type mllb_case -type mllb_cases -type mllb_net judge net.bpf.c -- -mcpu=v3 -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
