# The only list of commands: `make help` prints it. What needs more than two lines is a script.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup build wasm wasm-image fmt lint doc deny break-rules check-wasm verify test demo bench bench-quick bench-bridge bench-filter bench-probe bench-reconciler clean ci

# Programs that `make setup` puts below the checkout or where cargo puts them.
export PATH := $(CURDIR)/.tools/bin:$(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin:/usr/sbin:/sbin
# Your own Envoy: `make demo ENVOY=/usr/local/bin/envoy`.
export ENVOY ?= $(CURDIR)/.tools/venv/bin/envoy
export SYNTRACE_WASM ?= $(CURDIR)/target/wasm/syntrace_filter.wasm

# Crates without input, output, clock or chance.
PURE := syntrace-ebpf-common syntrace-model syntrace-proto syntrace-core syntrace-filter-core
# The crates for other targets, which have no host build.
CROSS := syntrace-ebpf syntrace-wasm-filter

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install everything that is missing, and say what
	@scripts/setup

build: ## build the bridge, the probe with its eBPF programs, and the filter
	@scripts/setup ebpf wasm
	cargo build --locked --bins
	@$(MAKE) --no-print-directory wasm

wasm: ## build the filter's module, target/wasm/syntrace_filter.wasm
	scripts/build-wasm $(SYNTRACE_WASM)

wasm-image: wasm ## the module as an OCI image layout, target/wasm/image, and its digest
	scripts/wasm-image $(SYNTRACE_WASM) target/wasm/image

fmt: ## format all Rust code
	cargo fmt --all

lint: ## formatting and clippy, for the host and both other targets; any warning fails
	@scripts/setup ebpf wasm lint
	scripts/lint

doc: ## the crates' documentation; a broken link fails
	@scripts/setup ebpf
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace $(addprefix --exclude ,$(CROSS))

deny: ## import rules, licences and sources of all crates
	@scripts/setup lint
	scripts/deny

break-rules: ## break each import rule in a copy, to see that it is kept
	@scripts/setup lint
	scripts/break-import-rules

check-wasm: ## the pure crates build for wasm32, where there is nothing to do input and output with
	@scripts/setup wasm
	scripts/cargo-for wasm32-unknown-unknown check --locked --target-dir target/cross $(addprefix -p ,$(PURE))

verify: ## the eBPF programs pass this kernel's verifier; says what it allows; none has grown unseen
	@scripts/setup ebpf kernel
	cargo run --locked -q --bin syntrace-probe -- check
	cargo run --locked -q --bin syntrace-probe -- manifest --compare kernel-probe/manifest.json

test: ## install what is missing, build, and run all tests
	@scripts/setup kernel envoy bridge page
	@$(MAKE) --no-print-directory build
	scripts/build-wasm $(dir $(SYNTRACE_WASM))trap.wasm trap
	cargo test --locked

demo: ## install what is missing, build, and show one trace per connection (DEMO_ONCE=1: once, then exit)
	@scripts/setup kernel envoy
	@$(MAKE) --no-print-directory build
	cargo run --locked -q --bin demo

bench: ## measure everything beside what one would use instead, and write docs/BENCHMARKS.md (some 25 minutes)
	@scripts/setup ebpf wasm kernel envoy bench
	scripts/bench

bench-quick: ## the exact counts of the whole chain, and a rough picture (under 3 minutes); a count that is off fails
	@scripts/setup kernel envoy
	@$(MAKE) --no-print-directory build
	cargo test --locked -q -p syntrace-integration --bench chain -- quick

bench-bridge: ## what a report costs from its arrival to its spans, and to keep: target/bench/bridge.json
	cargo bench --locked -q -p syntrace-bridge --bench bridge

bench-filter: ## what the filter adds to a request, beside Envoy's tracer, access log, Lua and an empty filter
	@scripts/setup ebpf wasm kernel envoy
	scripts/build-wasm $(dir $(SYNTRACE_WASM))empty.wasm empty
	@$(MAKE) --no-print-directory wasm
	cargo build --locked --release --bins
	cargo bench --locked -p syntrace-integration --bench filter

bench-probe: ## what the eBPF programs cost beside an empty one, exactly and in time: target/bench/probe.json
	@scripts/setup ebpf kernel
	cargo bench --locked -q -p syntrace-probe --bench probe

bench-reconciler: ## what a fact costs beside a bare hash join, and what a connection weighs: target/bench/reconciler.json
	cargo bench --locked -q -p syntrace-core --bench reconciler

clean: ## remove what was built; .tools/ and the caches stay
	cargo clean

ci: ## what every change must pass
	.ci/run
