# SPDX-License-Identifier: Apache-2.0
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO    ?= go
BIN   := bin
# Where `make install` puts things: DESTDIR/PREFIX, and DESTDIR/etc.
PREFIX  ?= /usr/local
DESTDIR ?=
# What the programs say they are, and when what is packaged was made.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null)
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null)
# What `make package` builds for, and where the packages go.
ARCHES   ?= amd64 arm64
PACKAGED ?= $(BIN)/packages
# What `make run` runs under mllbd: any command. It ends when the command does.
RUN   ?= ./$(BIN)/mllbd run --mode own --hold busy --view -- sh cmd/mllbd/demo.sh
BENCH ?= .
# What `make test` tests beside cmd/mllbd.
PACKAGES ?= ./...
# Where `make data` keeps the runs.
RECORDINGS ?= recordings
# Where `make reproduce` keeps results and recordings.
REPRODUCTION ?= reproduction
SUDO  := $(if $(filter 0,$(shell id -u)),,sudo)
# Static, without symbols of the debugger; `make build LDFLAGS=` has them.
LDFLAGS ?= -s -w
compile = CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS) $(stamp)'
stamp   = -X mllb/internal/version.Version=$(VERSION) -X mllb/internal/version.Date=$(shell date -u -d @$(SOURCE_DATE_EPOCH) +%F 2>/dev/null)

##@ Use

run: build ## Balance a demo load on this machine with the learned policy, and undo everything at the end
	$(SUDO) $(RUN)

build: need-go ## Build bin/mllbd, bin/mllb and bin/fibo, static
	$(compile) -o $(BIN)/ ./cmd/mllbd ./cmd/mllb ./cmd/fibo

install: build ## Install programs, manual pages, completions and units; DESTDIR, PREFIX=/usr/local
	GO='$(GO)' sh deploy/stage.sh $(BIN)/stage $(PREFIX) $(BIN) $(BIN)
	$(if $(DESTDIR),,$(SUDO)) sh deploy/install.sh install $(BIN)/stage $(DESTDIR)

uninstall: build ## Remove what install put there, but no configuration that was changed
	GO='$(GO)' sh deploy/stage.sh $(BIN)/stage $(PREFIX) $(BIN) $(BIN)
	$(if $(DESTDIR),,$(SUDO)) sh deploy/install.sh uninstall $(BIN)/stage $(DESTDIR)

package: build ## Build a .deb and a .rpm for amd64 and arm64 in bin/packages
	GO='$(GO)' VERSION='$(VERSION)' SOURCE_DATE_EPOCH='$(SOURCE_DATE_EPOCH)' sh deploy/package.sh $(BIN) $(PACKAGED) $(ARCHES)

data: build need-qemu ## Record the datasets of data/ again in guests: hours, resumable
	MLLB=./$(BIN)/mllb sh data/record.sh $(RECORDINGS)

reproduce: build need-qemu need-stress-ng ## Repeat the paper and write docs/REPRODUCTION.md: hours, resumable; QUICK=1 for a quarter of one
	./$(BIN)/mllb reproduce --dir $(REPRODUCTION) $(if $(QUICK),--quick --report $(REPRODUCTION)/QUICK.md) $(REPRODUCEFLAGS)

##@ Develop

test: need-go need-cc ## Run every test that this machine can run; as root they include the real kernel
	$(GO) test -timeout 20m $(TESTFLAGS) $$($(GO) list $(PACKAGES) | grep -v /cmd/mllbd$$)
	@# Alone: what they balance is this machine, and others would be in the way.
	$(GO) test -timeout 20m $(TESTFLAGS) ./cmd/mllbd

.PHONY: test-short picture
test-short: need-go ## Run what needs neither root nor this machine's kernel: no daemon, guest, kernel patch, long fuzz or property test
	$(GO) test -short $$($(GO) list ./... | grep -v -e /cmd/mllbd$$ -e /lab/ -e /kernel)

test-lab: build need-qemu ## Run the tests that need a kernel in guests of Debian's 6.12 and 7.2 (half an hour; LABFLAGS=--short: less)
	./$(BIN)/mllb lab test --topology 2x2x2 --fetch $(LABFLAGS)

kernel: ## Build Linux 6.12 with the patch series from Debian's source package: long, resumable
	sh kernel/build.sh patched

peers: need-clang ## Build the sched_ext schedulers of Linux's tools/sched_ext, to compare with: long, resumable
	sh kernel/build.sh peers

test-kernel: build need-qemu ## Build stock, patched and debug kernels, and prove docs/KERNEL.md in guests: hours, resumable
	sh kernel/test.sh $(STEPS)

lint: need-go ## gofmt, go vet, staticcheck, deadcode
	@test -z "$$(gofmt -l .)" || { echo "gofmt would change:"; gofmt -l .; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@dead="$$($(GO) tool deadcode ./cmd/...)"; test -z "$$dead" || { echo "unused, or used by tests only:"; echo "$$dead"; exit 1; }

generate: need-go need-clang ## Rebuild the committed eBPF objects from their C sources
	$(GO) generate ./features/... ./scx/... ./bench/measure/...

model: build ## Train the built-in model again from data/: the same bits
	./$(BIN)/mllb train data/6.12-diverse.parquet --class-weight balanced --scale --force --out mlp/default.json

picture: build ## Draw docs/view.svg, the picture of the live view in README.md, from the demo
	$(SUDO) sh cmd/mllbd/picture.sh 17 >docs/view.svg.new
	mv docs/view.svg.new docs/view.svg

bench: need-go ## Run the benchmarks behind docs/PERFORMANCE.md
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./mlp ./scheduler ./features/... ./affinity ./cmd/mllbd

clean: ## Remove what the build made
	rm -rf $(BIN)

help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# $(call install,WHAT IS MISSING,PACKAGES)
install = echo "$(1); installing Debian's $(2)" >&2; \
  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null

need-go:
	@command -v $(GO) >/dev/null || { echo "mllb is built with Go 1.26 or newer: install it from https://go.dev/dl and try again" >&2; exit 1; }

need-qemu:
	@{ command -v qemu-system-x86_64 && command -v busybox; } >/dev/null || { $(call install,QEMU or busybox is missing,qemu-system-x86 busybox-static); }

need-stress-ng:
	@command -v stress-ng >/dev/null || { $(call install,stress-ng is missing,stress-ng); }

# As internal/cc: a compiler is there if it links. Without one its tests are skipped, and all others run.
need-cc:
	@program=$$(mktemp); trap 'rm -f "$$program"' EXIT; \
	for cc in clang-19 gcc cc; do \
	  echo 'int main(void) { return 0; }' | "$$cc" -fsanitize=undefined,address -x c -o "$$program" - 2>/dev/null && exit; \
	done; \
	{ $(call install,no C compiler links with sanitizers,gcc libc6-dev); } || echo "the tests of what is in C are skipped" >&2

# bpf2go asks for the clang named in features/bpf, its llvm-strip and libbpf's headers.
need-clang:
	@command -v llvm-strip-19 >/dev/null && clang-19 -E -include bpf/bpf_helpers.h -x c /dev/null &>/dev/null || { \
	  $(call install,clang-19 for eBPF is missing,clang-19 llvm-19 libbpf-dev); }

.PHONY: install uninstall package kernel peers test-kernel run build data reproduce test test-lab lint generate model bench clean help need-go need-cc need-clang need-qemu need-stress-ng
