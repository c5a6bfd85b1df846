# `make demo` and `make test` set up whatever they need and run; see README.md.

.PHONY: demo test gates rig soak setup-demo setup-test setup-rig

export PATH := $(CURDIR)/.tools/bin:$(PATH):/usr/sbin:/sbin

demo: setup-demo
	cargo build --package swarm-cli
	target/debug/swarm demo $(ARGS)

test: setup-test
	.ci/test

# What a release must hold besides the tests: needs cargo-hack and cargo-deny (cargo install).
gates: setup-test
	.ci/gates

# The tunnel beside its rivals, as root: see benches/rig/README.md.
rig: setup-rig
	cargo build --release --package swarm-cli
	python3 benches/rig $(ARGS)

# The tunnel for hours in place of seconds.
soak: setup-test
	cargo test --release --package swarm-wg --test it -- --ignored soak --nocapture

setup-demo:
	@.ci/setup demo

setup-test:
	@.ci/setup test

setup-rig:
	@.ci/setup rig
