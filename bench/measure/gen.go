// SPDX-License-Identifier: Apache-2.0

package measure

//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_place -type mllb_member -type mllb_sums -type mllb_starved -type mllb_reaction sampler sampler.bpf.c -- -Wall -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
//go:generate go tool bpf2go -cc clang-19 -no-global-types -target bpfel -type mllb_latency latency latency.bpf.c -- -Wall -Werror -I/usr/include/x86_64-linux-gnu -I/usr/include/aarch64-linux-gnu
