# Three commands do all their own set-up on a fresh Debian 12+ or Ubuntu 24.04+ machine, as root or with sudo:
#   make demo    a sandbox cloud, a federation on it, three rounds of training, a report
#   make test    the tests
#   make local-sim [DEMO=pytorch] [NODES=3]    a demo on this machine, without any cloud
SHELL := /bin/bash
.PHONY: demo local-sim test test-quick test-full bench lint clean setup-run setup-test

demo: setup-run
	@tools/demo

DEMO ?= sklearn
NODES ?= 2
local-sim: setup-run
	@tools/local-sim "$(DEMO)" --nodes "$(NODES)"

test: setup-test
	@tools/test default

test-quick: setup-test
	@tools/test quick

test-full: setup-test
	@tools/test full

bench: setup-test
	@tools/bench

lint: setup-test
	@tools/test lint

clean:
	@tools/clean

setup-run:
	@tools/setup run

setup-test:
	@tools/setup test
