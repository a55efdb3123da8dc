# make run    the service on http://127.0.0.1:8000, its documents in ATTEST_HOME or ~/.attest (makes .venv the first time)
# make test   installs what the tests need, then everything that `check` does
# make check  ruff, mypy, import-linter, pytest
# make bench  the figures of the README
# make web    builds the page's assets in app/web/dist; web-check compares them with what is there (Node 20.19 or newer)
# make screens  takes the pictures in docs/screens
# make clean  removes .venv and caches, never your documents
#
# Needs Python 3.11 or 3.12, pip, make and libgomp; everything else comes from constraints.txt.
#
# On Linux the package index's own torch brings several gigabytes of CUDA libraries. A machine without an NVIDIA GPU
# is better served by the CPU build (2.13.0+cpu satisfies the pin): point PIP_EXTRA_INDEX_URL at PyTorch's CPU index, or
# PIP_FIND_LINKS at a folder that holds the wheel, before the first `make`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MADE := $(VENV)/.made
RUN_READY := $(VENV)/.installed-run
TEST_READY := $(VENV)/.installed-test
PINS := pyproject.toml constraints.txt

PYTEST_ARGS ?= -n 2 --dist loadfile
ARGS ?=

.PHONY: help install run test check bench web web-check web-packages client-packages frameworks screens clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# The first interpreter that runs and is new enough; PYTHON=… chooses another.
$(MADE):
	@for candidate in $(or $(PYTHON),python3.11 python3.12 python3); do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then \
	    echo "making $(VENV) with $$("$$candidate" --version)"; \
	    "$$candidate" -m venv $(VENV) || { echo "error: $$candidate has no venv module (Debian: apt-get install python3-venv)" >&2; exit 1; }; \
	    touch $@; exit 0; \
	  fi; \
	done; \
	echo "error: Attest needs Python 3.11 or 3.12; tried: $(or $(PYTHON),python3.11 python3.12 python3)." >&2; \
	echo "       Install one, or name it: make PYTHON=/path/to/python3.11 run" >&2; exit 1

# torch first and alone, so that its pin, not another package's range, chooses the build.
$(RUN_READY): $(PINS) | $(MADE)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e .
	@touch $@

$(TEST_READY): $(PINS) | $(MADE)
	$(PIP) install -q -c constraints.txt torch
	$(PIP) install -q -c constraints.txt -e '.[test]'
	@touch $@ $(RUN_READY)

install: $(RUN_READY)

run: $(RUN_READY)
	@exec $(BIN)/attest serve $(ARGS)

test: $(TEST_READY) client-packages frameworks check

check: | $(TEST_READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(RUN_READY)
	$(PIP) install -q -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks $(ARGS)

web-packages: app/web/node_modules/.package-lock.json

app/web/node_modules/.package-lock.json: app/web/package-lock.json
	cd app/web && npm ci --no-audit --no-fund
	@touch $@

# LangChain's and LlamaIndex' clients for the contract tests, beside the environment and not in it.
frameworks: $(VENV)/frameworks/.installed

$(VENV)/frameworks/.installed: tests/contract/frameworks/requirements.txt | $(TEST_READY)
	$(PIP) install -q --no-deps --no-compile --upgrade --target $(VENV)/frameworks -r $<
	@touch $@

# Clients of other languages for the contract tests; without npm, or without its registry, those tests are skipped.
client-packages:
	@if command -v npm >/dev/null; then \
	  $(MAKE) --no-print-directory tests/contract/npm/node_modules/.package-lock.json \
	    || echo "note: npm could not install OpenAI's client: its tests are skipped" >&2; \
	else \
	  echo "note: no npm here: the tests of OpenAI's client for Node are skipped" >&2; \
	fi

tests/contract/npm/node_modules/.package-lock.json: tests/contract/npm/package-lock.json
	cd tests/contract/npm && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

web: web-packages
	cd app/web && npm run build

web-check: web-packages
	cd app/web && npm run check

screens: $(TEST_READY)
	$(BIN)/python -m tests.e2e.screens

clean:
	rm -rf $(VENV) app/web/node_modules tests/contract/npm/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist *.egg-info
	find app ingestion tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
