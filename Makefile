# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO    ?= go
BIN   := bin
# What `make run` runs under mllbd: any command. It ends when the command does.
RUN   ?= ./$(BIN)/mllbd run --mode own --view -- sh scripts/demo.sh
BENCH ?= .
# Where `make data` keeps the runs.
RECORDINGS ?= recordings
# Where `make reproduce` keeps results and recordings.
REPRODUCTION ?= reproduction
SUDO  := $(if $(filter 0,$(shell id -u)),,sudo)

##@ Use

run: build ## Balance a demo load on this machine with the learned policy, and undo everything at the end
	$(SUDO) $(RUN)

build: need-go ## Build bin/mllbd, bin/mllb and bin/fibo, static
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN)/ ./cmd/mllbd ./cmd/mllb ./cmd/fibo

data: build need-qemu ## Record the datasets of data/ again in guests: hours, resumable, goes on where it stopped
	MLLB=./$(BIN)/mllb sh scripts/record.sh $(RECORDINGS)

reproduce: build need-qemu ## Repeat the paper and write docs/REPRODUCTION.md: hours, resumable; QUICK=1 for a quarter of one
	@command -v stress-ng >/dev/null || { echo "stress-ng is missing; installing Debian's package" >&2; $(SUDO) apt-get install -y -qq --no-install-recommends stress-ng; }
	./$(BIN)/mllb reproduce --dir $(REPRODUCTION) $(if $(QUICK),--quick --report $(REPRODUCTION)/QUICK.md) $(REPRODUCEFLAGS)

##@ Develop

test: need-go ## Run every test that this machine can run; as root they include the real kernel
	$(GO) test -timeout 20m $(TESTFLAGS) $$($(GO) list ./... | grep -v /cmd/mllbd$$)
	@# Alone: what they balance is this machine, and others would be in the way.
	$(GO) test -timeout 20m $(TESTFLAGS) ./cmd/mllbd

test-lab: build need-qemu ## Run the tests that need a kernel in guests of Debian's 6.12 and 7.2 (half an hour; LABFLAGS=--short: less)
	./$(BIN)/mllb lab test --topology 2x2x2 --fetch $(LABFLAGS)

kernel: ## Build Linux 6.12 with the patch series from Debian's source package: long, resumable
	sh kernel/build.sh patched

test-kernel: build need-qemu ## Build stock, patched and debug kernels, and prove docs/KERNEL.md in guests: hours, resumable
	sh kernel/test.sh $(STEPS)

lint: need-go ## gofmt, go vet, staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

generate: need-go need-clang ## Rebuild the committed eBPF objects from their C sources
	$(GO) generate ./features/... ./measure/...

model: build ## Train the built-in model again from data/: the same bits
	./$(BIN)/mllb train data/6.12-diverse.parquet --class-weight balanced --scale --out mlp/default.json

bench: need-go ## Run the benchmarks behind docs/PERFORMANCE.md
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./mlp ./scheduler ./features/... ./affinity ./cmd/mllbd

clean: ## Remove what the build made
	rm -rf $(BIN)

help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

need-qemu:
	@command -v qemu-system-x86_64 >/dev/null && command -v busybox >/dev/null || { \
	  echo "QEMU or busybox is missing; installing Debian's qemu-system-x86 and busybox-static" >&2; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends qemu-system-x86 busybox-static; }

need-go:
	@command -v $(GO) >/dev/null || { echo "mllb is built with Go 1.26 or newer: install it from https://go.dev/dl and try again" >&2; exit 1; }

# bpf2go asks for the clang named in features/bpf; Debian's package is clang-19.
need-clang:
	@command -v clang-19 >/dev/null || { \
	  echo "clang-19 is missing; installing Debian's clang-19, llvm-19 and libbpf-dev" >&2; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends clang-19 llvm-19 libbpf-dev; }

.PHONY: kernel test-kernel run build data reproduce test test-lab lint generate model bench clean help need-go need-clang need-qemu
