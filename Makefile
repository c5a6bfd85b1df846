# `make demo` and `make test` set up whatever they need and run; see README.md.

.PHONY: demo test setup-demo setup-test gates

export PATH := $(CURDIR)/.tools/bin:$(PATH):/usr/sbin:/sbin

demo: setup-demo
	cargo build --package swarm-cli
	target/debug/swarm demo $(ARGS)

test: setup-test
	.ci/test

# What a release must hold besides the tests: needs cargo-hack and cargo-deny (cargo install).
gates: setup-test
	.ci/gates

setup-demo:
	@.ci/setup demo

setup-test:
	@.ci/setup test
