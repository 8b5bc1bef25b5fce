# The two commands of the README are `make run` and `make test`; both do all the set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TARGET := target
RUNTIME := $(TARGET)/onnxruntime/VERSION
TESTING := $(TARGET)/venv-test/installed
NODE_TESTING := $(TARGET)/node-test/installed
OIDC_TESTING := $(TARGET)/oidc-test/installed
TRAINING := $(TARGET)/venv-model/installed
REAL := $(TARGET)/venv-real/installed
DATA ?= ../shared/data
CORPUS ?= classifier/corpus
UPSTREAM ?=
SECONDS ?= 600

.PHONY: help run test lint bench model evaluate real fuzz clean

help: ## Say what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

run: $(RUNTIME) ## Start the proxy; UPSTREAM=http://host:port/v1 puts it before a real LLM server
	cargo build --release --locked
	NONNOCERE_UPSTREAM__URL="$(UPSTREAM)" $(TARGET)/release/nonnocere serve

test: $(RUNTIME) $(TESTING) $(NODE_TESTING) $(OIDC_TESTING) ## Run all tests
	if cargo nextest --version >/dev/null 2>&1; then \
	    cargo nextest run --locked; \
	else \
	    cargo test --locked --lib --bins --tests; \
	fi
	cargo test --locked --doc
	$(TARGET)/venv-test/bin/python -m unittest discover --start-directory classifier/tests --top-level-directory .

lint: $(TESTING) ## Run the linters, of the corpus too
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items
	$(TARGET)/venv-test/bin/python -m classifier.lint_corpus --corpus $(CORPUS) --data $(DATA)

$(RUNTIME): deploy/fetch-onnxruntime.sh
	PYTHON=$(PYTHON) deploy/fetch-onnxruntime.sh $(TARGET)/onnxruntime
	touch $@

$(TESTING): tests/requirements.txt
	$(PYTHON) -m venv $(TARGET)/venv-test
	$(TARGET)/venv-test/bin/pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

# Without npm there is no stamp, and the tests in node are skipped.
$(NODE_TESTING): tests/sdk/package.json tests/sdk/package-lock.json
$(OIDC_TESTING): tests/oidc/package.json tests/oidc/package-lock.json
$(NODE_TESTING) $(OIDC_TESTING):
	mkdir -p $(@D)
	cp $^ $(@D)
	if npm --version >/dev/null 2>&1; then \
	    npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; \
	else \
	    echo "SKIPPED: npm is not installed, so nothing in node is tried" >&2; \
	fi

$(TRAINING): classifier/requirements.txt
	$(PYTHON) -m venv $(TARGET)/venv-model
	$(TARGET)/venv-model/bin/pip install --quiet --disable-pip-version-check -r classifier/requirements.txt
	touch $@

$(REAL): tests/real/requirements.txt
	$(PYTHON) -m venv $(TARGET)/venv-real
	$(TARGET)/venv-real/bin/pip install --quiet --disable-pip-version-check -r tests/real/requirements.txt
	touch $@

bench: $(RUNTIME) ## Measure what the guard adds, to an answer and to a stream, against a direct call in the same run, reading a text, and a backtest
	cargo bench --locked --bench added_latency --bench streams --bench readings --bench backtest

model: $(TRAINING) ## Train, calibrate and export the model from CORPUS and DATA (under two hours on two cores)
	$(TARGET)/venv-model/bin/python -m classifier.train --data $(DATA) --corpus $(CORPUS) --minutes 100
	$(TARGET)/venv-model/bin/python -m classifier.calibrate --data $(DATA) --corpus $(CORPUS)
	$(TARGET)/venv-model/bin/python -m classifier.export --data $(DATA) --corpus $(CORPUS)

evaluate: $(RUNTIME) $(TRAINING) ## Measure the shipped model through `nonnocere check --jsonl` and through the proxy
	cargo build --release --locked
	$(TARGET)/venv-model/bin/python -m classifier.evaluate --data $(DATA) --corpus $(CORPUS)
	$(TARGET)/venv-model/bin/python -m classifier.acceptance --data $(DATA)

real: $(RUNTIME) $(REAL) ## Compare a real LLM server through the proxy and direct
	cargo build --release --locked
	$(TARGET)/venv-real/bin/python -m tests.real.compare

fuzz: ## Fuzz each parser for SECONDS (needs a nightly toolchain and cargo-fuzz)
	for target in $$(cargo +nightly fuzz list); do \
	    cargo +nightly fuzz run --sanitizer none $$target -- -max_total_time=$(SECONDS) -max_len=16384 -timeout=10; \
	done

clean: ## Delete what was built
	rm -rf $(TARGET)
