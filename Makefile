# `make` or `make help` lists the targets.
SHELL := bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One machine has a GPU build of FAISS or a CPU build, never both.
FAISS ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
STAMP := $(VENV)/.installed-$(FAISS)
# What the wheel is tried with.
EXTRAS ?= all,$(FAISS)

.PHONY: help setup demo serve test test-slow test-gpu test-browser test-wheel lint format types imports docs check clean bench-simulate bench-size bench-quickstart \
	peers bench-peers bench-models bench-models-full bench-ml-20m bench-train bench-service bench-reliability bench-reliability-service bench-cold-start bench-images \
	bench-ingest bench-scale bench-logs bench-logs-long fuzz-readers fuzz-logs bench-lifecycle bench-append bench-signals bench-ui

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt hatch_build.py $(wildcard $(addprefix recsys_vae/native/,*.cpp *.h build.py))
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (FAISS build: $(FAISS)); the first time takes some minutes ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,$(FAISS),dev]'
	@rm -f $(VENV)/.installed-*
	@touch $@

setup: $(STAMP) ## Make .venv and install everything into it (the gpu extra where nvidia-smi answers)

demo: setup ## The main job end to end on MovieLens 100K: log to served recommendations
	RECSYS_HOME=$${RECSYS_HOME:-$(CURDIR)/.recsys} $(BIN)/python -m pipelines.demo

serve: setup ## Serve what the demo published (BUNDLE=... for another bundle) at port 8000
	RECSYS_HOME=$${RECSYS_HOME:-$(CURDIR)/.recsys} $(BIN)/recsys serve $(or $(BUNDLE),$(CURDIR)/.recsys/bundles/shipped)

# On a disk tests wait for it: their files are kept in memory, those of one run, where 4 GiB of it are lent as files.
IN_MEMORY := $(shell test "$$(df --output=avail -k /dev/shm 2>/dev/null | tail -1)" -gt 4194304 2>/dev/null && echo /dev/shm)

test: setup ## Run the tests (under 8 minutes on two cores)
	PYTEST_DEBUG_TEMPROOT=$(IN_MEMORY) $(BIN)/pytest -n auto --dist worksteal -o tmp_path_retention_count=1

test-slow: setup ## Run the tests that take minutes each
	$(BIN)/pytest -m slow

test-gpu: setup ## Run the tests that need a CUDA device
	$(BIN)/pytest -m gpu

CHROMIUM := $(shell command -v chromium || command -v chromium-browser)

$(VENV)/.installed-browser: $(STAMP)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[browser]'
	@touch $@

test-browser: $(VENV)/.installed-browser ## Open the pages in Chromium (apt-get install chromium), in both themes and widths; pictures in .screenshots/
	@test -n "$(CHROMIUM)" || { echo "There is no Chromium here. Install it: sudo apt-get install chromium"; exit 1; }
	$(BIN)/pytest -m browser tests/browser

format: setup ## Rewrite the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## Check format and lint rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## Check types (strict on the library)
	$(BIN)/mypy

imports: setup ## Check that imports run downward only
	$(BIN)/lint-imports

# The tools of the site alone: they read the source and import none of it.
$(VENV)/.installed-docs: pyproject.toml constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' \
		| $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r /dev/stdin
	@touch $@

docs: $(VENV)/.installed-docs ## Make the site of docs/, reference and search included: site/index.html; warnings are errors
	@# Not --quiet: mkdocs then counts no warnings, and strict is none.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site: $(CURDIR)/site/index.html"

bench-quickstart: setup ## What the main job gives on three public datasets; prints kept results, measures missing ones
	$(BIN)/python -m tests.benchmarks.quickstart

PEERS := .venv-peers-recbole/.installed .venv-peers-implicit/.installed .venv-peers-lightfm/.installed

.venv-peers-%/.installed: tests/benchmarks/peers/requirements-%.txt
	@test -d .venv-peers-$* || $(PYTHON) -m venv .venv-peers-$*
	@echo "Installing $* into .venv-peers-$* ..."
	@.venv-peers-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

peers: $(PEERS) ## Make the environments of the peers that benchmarks compare with (Python 3.11)

bench-peers: setup $(PEERS) ## RecBole's models and implicit's iALS on MovieLens 1M; prints kept results, measures missing ones
	$(BIN)/python -m tests.benchmarks.peers.measure

bench-models: setup ## Accuracy of every model on Gowalla and MovieLens 1M; prints kept results, measures missing ones of one seed
	$(BIN)/python -m tests.benchmarks.models

bench-models-full: setup ## The same, all seeds
	$(BIN)/python -m tests.benchmarks.models --full

bench-ml-20m: setup ## Mult-VAE, RecVAE and EASE on MovieLens 20M beside their published figures (hours)
	$(BIN)/python -m tests.benchmarks.ml20m

bench-train: setup $(PEERS) ## Speed of training, bulk lists and evaluation beside a dense port, RecBole and implicit
	$(BIN)/python -m tests.benchmarks.train

bench-cold-start: setup .venv-peers-lightfm/.installed ## What each tier of the fallback chain gives newcomers of MovieLens 1M, by length of history; prints kept results
	$(BIN)/python -m tests.benchmarks.cold_start

bench-images: setup ## Every image model on MNIST and generated shapes; prints kept results, measures missing ones (two hours)
	$(BIN)/python -m tests.benchmarks.images

bench-service: setup ## Speed and steadiness of the service on two cores (wrk, if installed); prints kept results, measures missing ones
	$(BIN)/python -m tests.benchmarks.service

bench-reliability: setup ## Damaged logs (FILES=20000), formats, kills and strange requests: nothing unaccounted, no error
	$(BIN)/python -m tests.benchmarks.reliability --files $(or $(FILES),20000)

bench-reliability-service: setup ## 20,000 requests of schemathesis to the service, all checks: gaps and server errors (some minutes)
	$(BIN)/python -m tests.benchmarks.reliability_service

bench-ingest: setup ## Speed and memory of ingest beside plain scripts with pandas and polars, 1 to 10 million rows; prints kept results
	$(BIN)/python -m tests.benchmarks.ingest

bench-simulate: setup ## Speed of simulated logs, their law, their dirt as ingest counts it, and what models learn of them; prints kept results
	$(BIN)/python -m tests.benchmarks.simulate

bench-size: setup ## What `recsys size` says beside what is measured, in eight cases; prints kept results, measures missing ones
	$(BIN)/python -m tests.benchmarks.size

bench-scale: setup ## Ingest of 1 and 10 million rows; a local Ray cluster beside one machine, nodes killed; the exact top 100 of 10 million items from disk; training by 1, 2 and 4 workers, item tables shared out among them; prints kept results
	$(BIN)/python -m tests.benchmarks.scale
	$(BIN)/python -m tests.benchmarks.scale_training --ray
	$(BIN)/python -m tests.benchmarks.scale_sharded
	$(BIN)/python -m tests.benchmarks.paper_model

bench-lifecycle: setup ## Updates, warm starts, gate, live tests and items, appended days, kills of the weekly job (an hour)
	$(BIN)/python -m tests.benchmarks.lifecycle

bench-signals: setup $(PEERS) ## Weights, dislikes, iALS, repeats, order, similar items, compare; prints kept results, measures missing ones
	$(BIN)/python -m tests.benchmarks.signals

bench-ui: setup ## Lists that were shown, made again, and the pages beside the API at half load; prints kept results, measures missing ones
	$(BIN)/python -m tests.benchmarks.ui

bench-append: setup ## One day appended to 10 million rows against one ingest of all, with and without a k-core
	$(BIN)/python -m tests.benchmarks.append

bench-logs: setup ## Read damaged logs (FILES=20000): no traceback, every line accounted for
	$(BIN)/python -m tests.benchmarks.reliability_logs --files $(or $(FILES),20000)

bench-logs-long: setup ## The same and files of every format, up to FILES=1000000 in all; goes on from the record, counts native crashes
	$(BIN)/python -m tests.benchmarks.reliability_long --files $(or $(FILES),1000000)

CLANG ?= $(or $(shell command -v clang++),clang++-14)

fuzz-readers: ## Coverage-guided fuzzing of the compiled readers, for SECONDS=1200; needs clang with its sanitizers
	@mkdir -p build/fuzz/corpus
	$(CLANG) -std=c++20 -O2 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
		tests/fuzz/tables.cpp recsys_vae/native/tables*.cpp -o build/fuzz/tables
	build/fuzz/tables -max_total_time=$(or $(SECONDS),1200) -max_len=1024 -dict=tests/fuzz/tables.dict -print_final_stats=1 \
		-artifact_prefix=build/fuzz/ build/fuzz/corpus tests/formats

fuzz-logs: setup ## Coverage-guided fuzzing of what Python does of reading logs, for SECONDS=1200; brings atheris
	@mkdir -p build/fuzz/logs
	@test -d build/fuzz/site/atheris || $(BIN)/python -m pip install --quiet --target build/fuzz/site atheris==3.0.0
	PYTHONPATH=$(CURDIR):build/fuzz/site POLARS_MAX_THREADS=1 $(BIN)/python -m tests.fuzz.logs -max_total_time=$(or $(SECONDS),1200) \
		-max_len=2048 -dict=tests/fuzz/logs.dict -rss_limit_mb=4096 -print_final_stats=1 -artifact_prefix=build/fuzz/ build/fuzz/logs

test-wheel: setup ## Build the wheel, install it into a bare environment and do the main job there (JOB=... for another)
	PYTHON=$(CURDIR)/$(BIN)/python EXTRAS=$(EXTRAS) .ci/wheel

check: lint types imports docs test test-wheel ## What continuous integration runs

# .recsys stays: beside what the demo left there may be datasets and runs of one's own.
clean: ## Remove caches and built packages; keeps .venv, and .recsys with what the demo made
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -path './.venv*' -prune -o -path ./.recsys -prune -o -name __pycache__ -prune -exec rm -rf {} +
	@if test -e .recsys; then echo "Kept: .recsys, with datasets, bundles and runs. Remove it by hand: rm -r .recsys"; fi
