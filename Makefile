# Two commands do all their own set-up on a fresh Debian 12+ or Ubuntu 24.04+ machine, as root or with sudo:
#   make demo    a sandbox cloud, a federation on it, three rounds of training, a report
#   make test    the tests
SHELL := /bin/bash
.PHONY: demo test test-quick test-full bench lint clean setup-run setup-test

demo: setup-run
	@tools/demo

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
