# Every target prepares what it needs (tools/setup.sh): a fresh clone needs nothing else.

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long check format docs docs-serve bench lock clean

PY := .venv/bin/python
TESTS ?= tests
PYTEST_ARGS ?=

export NO_MKDOCS_2_WARNING := 1

help:  ## Show the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup:  ## Make .venv from requirements.lock
	@tools/setup.sh

demo: setup  ## Train, continue and evaluate a model of handwritten digits, from an empty store
	@$(PY) examples/demo/demo.py

test: setup  ## Run the tests
	$(PY) -m pytest -n 2 -m "not long" $(PYTEST_ARGS) $(TESTS)

test-long: setup  ## Run the tests, the long ones too
	$(PY) -m pytest -n 2 $(PYTEST_ARGS) $(TESTS)

check: setup  ## Lint, format, types, floors, documentation
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-cache --no-logo
	$(PY) -m mkdocs build --strict

format: setup  ## Format the code
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

docs: setup  ## Build the documentation into site/
	$(PY) -m mkdocs build --strict

docs-serve: setup  ## Show the documentation at http://127.0.0.1:8000
	$(PY) -m mkdocs serve

bench: setup  ## Run the benchmarks
	$(PY) -m benchmarks $(ARGS)

lock:  ## Write requirements.lock anew (needs uv)
	uv pip compile pyproject.toml --no-config --group dev --extra examples --extra s3 --extra diff --universal --python-version 3.10 \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --upgrade -o requirements.lock

clean:  ## Remove what the targets made, .venv too
	rm -rf .venv site build dist benchmarks/results .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
