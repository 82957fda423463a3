# SPDX-License-Identifier: Apache-2.0
# What make -j does with CPUs, without a compiler: 32 jobs, one with up to eight
# times the work of another, each a process that ends. SCALE is the work of the
# shortest in steps of the shell.
SCALE := 500
JOBS := $(shell seq 32)

.PHONY: all $(JOBS)
all: $(JOBS)
$(JOBS):
	@i=0; while [ $$i -lt $$(( ($@ * 5 % 8 + 1) * $(SCALE) )) ]; do i=$$((i+1)); done
