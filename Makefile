# The two commands of the README are `make run` and `make test`; both do all the set-up.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TARGET := target
RUNTIME := $(TARGET)/onnxruntime/VERSION
TESTING := $(TARGET)/venv-test/installed
NODE_TESTING := $(TARGET)/node-test/installed
BROWSER_TESTING := $(TARGET)/browser-test/installed
OIDC_TESTING := $(TARGET)/oidc-test/installed
TRAINING := $(TARGET)/venv-model/installed
TEACHING := $(TARGET)/venv-model/installed-teacher
MODEL := $(TARGET)/model
PYTHON_MODEL := $(TARGET)/venv-model/bin/python
REAL := $(TARGET)/venv-real/installed
REAL_MODEL := $(TARGET)/venv-mlserver/installed
DATA ?= ../shared/data
CORPUS ?= classifier/corpus
UPSTREAM ?=
CHROMIUM ?= /usr/bin/chromium
SECONDS ?= 600

.PHONY: help run test browser-test screenshots lint bench bench-pictures peers instructions model evaluate real real-model fuzz clean
.PHONY: student start control teacher1 teacher2 distilled hybrids

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

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

browser-test: $(RUNTIME) $(BROWSER_TESTING) ## Try the console in a browser (needs npm, and Chromium at CHROMIUM)
	cargo build --locked
	$(call in_browser,node --test --test-concurrency=2 tests/browser/*.test.js)

screenshots: $(RUNTIME) $(BROWSER_TESTING) ## Draw the pictures of the console in docs/console
	cargo build --locked
	$(call in_browser,node tests/browser/screenshots.js)

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

# The same, for what drives a browser; the browser is the system's own.
$(BROWSER_TESTING): tests/browser/package.json tests/browser/package-lock.json
	mkdir -p $(@D)
	cp $^ $(@D)
	if npm --version >/dev/null 2>&1; then \
	    npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error && touch $@; \
	fi

# Runs a command that needs a browser, or says loudly that it does not.
in_browser = if [ ! -f $(BROWSER_TESTING) ]; then \
	    echo "SKIPPED: npm is not installed, so the console is tried in no browser" >&2; \
	elif ! "$(CHROMIUM)" --version >/dev/null 2>&1; then \
	    echo "SKIPPED: there is no Chromium at $(CHROMIUM) (set CHROMIUM), so the console is tried in no browser" >&2; \
	else \
	    CHROMIUM="$(CHROMIUM)" $(1); \
	fi

$(TRAINING): classifier/requirements.txt
	$(PYTHON) -m venv $(TARGET)/venv-model
	$(TARGET)/venv-model/bin/pip install --quiet --disable-pip-version-check -r classifier/requirements.txt
	touch $@

$(TEACHING): classifier/requirements-teacher.txt $(TRAINING)
	$(TARGET)/venv-model/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(REAL): tests/real/requirements.txt
	$(PYTHON) -m venv $(TARGET)/venv-real
	$(TARGET)/venv-real/bin/pip install --quiet --disable-pip-version-check -r tests/real/requirements.txt
	touch $@

$(REAL_MODEL): tests/real/requirements-mlserver.txt
	$(PYTHON) -m venv $(TARGET)/venv-mlserver
	$(TARGET)/venv-mlserver/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

BENCHES = null_proxy added_latency goodput streams peers growth footprint readings backtest console

bench: $(RUNTIME) ## Run all benchmarks (benches/README.md), or those in BENCHES; other guards are compared with once `make peers` installed them
	cargo bench --locked $(addprefix --bench ,$(BENCHES))

bench-pictures: ## Draw what was measured last into docs/bench
	cargo bench --locked --bench pictures

PEERS = fastapi litellm nemo

peers: $(foreach peer,$(PEERS),$(TARGET)/peers/$(peer)/installed) ## Install the other guards that `make bench` compares with
$(TARGET)/peers/%/installed: benches/peers/%/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

instructions: $(RUNTIME) ## Hold the instructions of the pure paths against benches/instructions.json (needs valgrind); UPDATE=1 writes it anew
	cargo bench --locked --profile dev --bench instructions -- $(if $(UPDATE),--update)

TRAIN = $(PYTHON_MODEL) -m classifier.train --data $(DATA) --corpus $(CORPUS)

model: $(TRAINING) ## Train, calibrate and export the model from CORPUS and DATA (by teachers on a GPU, from labels alone on two cores in under two hours)
	if $(PYTHON_MODEL) -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then \
	    $(MAKE) -j2 student; \
	else \
	    $(TRAIN) --minutes 100; \
	fi
	$(PYTHON_MODEL) -m classifier.calibrate --data $(DATA) --corpus $(CORPUS)
	$(PYTHON_MODEL) -m classifier.early --data $(DATA) --corpus $(CORPUS)
	$(PYTHON_MODEL) -m classifier.export --data $(DATA) --corpus $(CORPUS)

# What made the sixth model: two teachers, three students that begin between the base and the model before, and their average.
# Its trainings took an H100 about nine minutes, two of them at a time: teachers 200 s, students 210 s to 260 s each.
student: control distilled hybrids
	$(PYTHON_MODEL) -m classifier.average --out $(MODEL)/network.pt \
	    0.4:$(MODEL)/hybrids/network.pt 0.35:$(MODEL)/distilled/network.pt 0.25:$(MODEL)/control/network.pt
	$(PYTHON_MODEL) -m classifier.validate --data $(DATA) --corpus $(CORPUS) $(MODEL)/network.pt

TEACHER = $(TRAIN) --base mpnet --tokens 16000 --head-rate 3e-4
STUDENT = $(TRAIN) --start $(MODEL)/start.pt --tokens 8000 --rate 2.5e-4 --head-rate 7.5e-4
TAUGHT = --teachers $(MODEL)/teacher1/network.pt $(MODEL)/teacher2/network.pt

teacher1: $(TEACHING)
	$(TEACHER) --out $(MODEL)/$@ --seed 1 --steps 1577 --rate 5e-5

teacher2: $(TEACHING)
	$(TEACHER) --out $(MODEL)/$@ --seed 2 --steps 1563 --rate 4e-5 --dropout 0.12

start: $(TRAINING)
	$(PYTHON_MODEL) -m classifier.restore --out $(MODEL)/restored.pt
	$(PYTHON_MODEL) -m classifier.average --out $(MODEL)/start.pt 0.4:base 0.6:$(MODEL)/restored.pt

control: start
	$(STUDENT) --out $(MODEL)/$@ --seed 3 --steps 3922

distilled: start teacher1 teacher2
	$(STUDENT) $(TAUGHT) --out $(MODEL)/$@ --seed 2 --steps 2975

hybrids: start teacher1 teacher2
	$(STUDENT) $(TAUGHT) --hybrids --hard 0.5 --out $(MODEL)/$@ --seed 1 --steps 1219
	$(STUDENT) $(TAUGHT) --hybrids --hard 0.5 --out $(MODEL)/$@ --seed 4 --steps 802 --start $(MODEL)/$@/network.pt

evaluate: $(RUNTIME) $(TRAINING) ## Measure the shipped model through `nonnocere check --jsonl` and through the proxy
	cargo build --release --locked
	$(PYTHON_MODEL) -m classifier.evaluate --data $(DATA) --corpus $(CORPUS)
	$(PYTHON_MODEL) -m classifier.acceptance --data $(DATA)

real: $(RUNTIME) $(REAL) real-model ## Compare a real LLM server through the proxy and direct, and a real model server with the model inside
	$(TARGET)/venv-real/bin/python -m tests.real.compare

real-model: $(RUNTIME) $(REAL_MODEL) ## Compare a real model server with the model inside
	cargo build --release --locked
	$(TARGET)/venv-mlserver/bin/python -m tests.real.model_server

fuzz: ## Fuzz each parser for SECONDS (needs a nightly toolchain and cargo-fuzz)
	for target in $$(cargo +nightly fuzz list); do \
	    cargo +nightly fuzz run --sanitizer none $$target -- -max_total_time=$(SECONDS) -max_len=16384 -timeout=10; \
	done

clean: ## Delete what was built
	rm -rf $(TARGET)
