# Two commands matter: `make demo` (install, then the main job) and `make test` (all checks and quick tests).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO ?= demo
TIME_LIMIT ?= 60s

# An installation is good for as long as what it was made from is the same.
KEY := $(shell cat pyproject.toml constraints.txt | sha256sum | cut -c1-12)
READY := $(VENV)/.ready-$(KEY)
READY_DEV := $(VENV)/.ready-dev-$(KEY)

.PHONY: help install install-dev demo test check format stress wheel screens clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(READY): | $(BIN)/python
	@echo "Installing into $(VENV). The first time this compiles llama.cpp, which takes some minutes."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[boost]"
	@rm -f $(VENV)/.ready-*; touch $@

$(READY_DEV): | $(BIN)/python
	@echo "Installing into $(VENV). The first time this compiles llama.cpp, which takes some minutes."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[boost,finetune]" --group dev
	-$(BIN)/python scripts/fetch_llm_fixtures.py
	@rm -f $(VENV)/.ready-*; touch $(READY) $@

install: $(READY)  ## the product in .venv

install-dev: $(READY_DEV)  ## the product and what its tests need in .venv

demo: $(READY)  ## install, then train on a bundled table with the embedded model
	@[ -f "$(DEMO)/data/shop.csv" ] || $(BIN)/automlgpt example shop "$(DEMO)/data" >/dev/null 2>&1
	@out="$(DEMO)/run-$$(date +%Y%m%d-%H%M%S)"; \
	echo "Which orders come back? $(TIME_LIMIT) on $(DEMO)/data/shop.csv, with the embedded model."; \
	$(BIN)/automlgpt run "$(DEMO)/data/shop.csv" --target returned --leaks drop --time-limit $(TIME_LIMIT) --out "$$out"; \
	echo; \
	echo "The report:       $$out/report.html  (as text: $(BIN)/automlgpt report $$out)"; \
	echo "The code:         $$out/pipeline.py, or $$out/pipeline/ for an ensemble"; \
	echo "Predict with it:  $(BIN)/automlgpt predict $$out $(DEMO)/data/shop.csv -o predictions.csv"

test: check  ## format, lint, types, layers, then every quick test, two files at a time
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(READY_DEV)  ## format, lint, types and layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY_DEV)  ## put the code into the form that `check` wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stress: $(READY_DEV)  ## what takes long: kills, large tables, long fuzzing
	$(BIN)/python scripts/stress_kill.py
	$(BIN)/python scripts/bench_scale.py
	AUTOMLGPT_FUZZ_S=120 $(BIN)/python -m pytest tests/security

screens: $(READY_DEV)  ## the screens of the docs, drawn anew
	$(BIN)/python scripts/make_screens.py

wheel: $(READY_DEV)  ## a wheel in dist/, with the embedded model in it
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist/*.whl

clean:  ## remove what building left behind
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
