# What people do here; `make` alone lists it. Everything it sets up stays in this folder.

PYTHON ?= python3
# Functions run as plain processes on the local AWS, so `build` builds them for this machine.
TARGET := $(shell rustc --version --verbose | sed -n 's/^host: //p')
ARCHITECTURE := $(if $(filter arm64 aarch64,$(shell uname -m)),arm64,x86_64)

VENV := .venv/installed
NODE := node_modules/.package-lock.json
# Beside .aws-sam/build, which is the user's own `sam build` for the architecture of the account's functions.
BUILT := .aws-sam/local/template.yaml
SOURCES := template.yaml Cargo.toml Cargo.lock build.rs $(shell find src functions statemachine -type f)

# The SAM CLI finds cargo-lambda and zig there.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help demo test unit one fuzz worlds crash-matrix fleet bench bench-build local-aws build lint clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20

demo: build ## Provision and tear down on the local AWS; DOMAIN=… and INPUT=file.json are yours
	@.venv/bin/python -m harness.demo $(if $(DOMAIN),--domain '$(DOMAIN)') $(if $(INPUT),--input '$(INPUT)')

# A core each, and a local AWS each.
test: build lint $(NODE) ## Run everything: lints, unit tests, each function, end to end
	cargo test --lib --target $(TARGET)
	.venv/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

unit: ## Run the unit tests of the Rust code alone: seconds, once it is compiled
	cargo test --lib --target $(TARGET)

one: $(VENV) ## Run the tests with TEST=… in their names, in Rust and in Python
	$(if $(TEST),,$(error TEST=… is a part of the test's name))
	cargo test --quiet --lib --target $(TARGET) '$(TEST)'
	.venv/bin/pytest -k '$(TEST)' || [ $$? = 5 ] # 5: it has none of that name

fuzz: ## Give the input parsers a million random inputs each; CASES=… is yours
	PROPTEST_CASES=$(or $(CASES),1000000) cargo test --lib --target $(TARGET) input_fuzz -- --nocapture

worlds: build ## Test 10,000 random worlds of somebody else's things; SEED=… and WORLDS=… are yours
	SEED=$(or $(SEED),0) WORLDS=$(or $(WORLDS),10000) .venv/bin/pytest tests/test_foreign_worlds.py

crash-matrix: build ## Run every API call with every fault, and a teardown's denied for good; make test runs samples. ONLY='create-alb' chooses
	@.venv/bin/python -m harness.crash_matrix $(if $(ONLY),--only '$(ONLY)'); crashes=$$?; \
	.venv/bin/python -m harness.denial_matrix $(if $(ONLY),--only '$(ONLY)') && exit $$crashes

fleet: build ## Let a night take down 10, 100 and 1,000 environments at AWS's rates, for an hour and a half; SIZES='10 100' is yours
	@.venv/bin/python -m harness.fleet $(or $(SIZES),10 100 1000)

bench: build ## Measure it all into BENCHMARKS.md, for an hour and a quarter; PART=no-waits, waits, startup or growth alone
	cargo build --release --target $(TARGET) --bins --example hello
	@.venv/bin/python -m benches $(if $(PART),--only-part $(PART))

bench-build: $(VENV) ## Measure cold and warm builds in fresh clones, for an hour and a half, into benches/builds.json
	@.venv/bin/python -m benches.builds

local-aws: $(VENV) ## Keep the local AWS running, and print what a shell needs to use it
	@.venv/bin/python -m local_aws

build: $(BUILT) ## Build the functions with the SAM CLI for the local AWS

lint: $(VENV) ## Check formats and code; the template's and state machines' lints are tests
	cargo fmt --check
	cargo clippy --quiet --all-targets --target $(TARGET) -- --deny warnings
	.venv/bin/ruff check
	.venv/bin/ruff format --check

clean: ## Remove all that the other targets made
	rm -rf .venv node_modules .aws-sam target

# In debug mode: minutes less to compile, and nobody waits for a cold start here. With this machine's own linker, as the
# unit tests are built: with another the dependencies would be compiled once more.
$(BUILT): $(VENV) $(SOURCES)
	SAM_BUILD_MODE=debug CARGO_LAMBDA_COMPILER=cargo .venv/bin/sam build --template template.yaml --build-dir $(@D) --parameter-overrides Architecture=$(ARCHITECTURE)
	@touch $@

$(VENV): tests/requirements.txt
	$(PYTHON) -m venv --clear $(@D)
	.venv/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

$(NODE): package-lock.json
	npm ci --no-fund --no-audit
	@touch $@
