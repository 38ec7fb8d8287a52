# Needs Python 3.11 to 3.13 with pip, and make; no root, no Docker, no Node.
PYTHON ?= python3
FILES ?= examples
OUT ?= out
BIN := .venv/bin
# pip from outside the environment: Debian's Python has no ensurepip to put one inside.
PIP := $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check format bench bench-corpus examples schema lock check-lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: .venv/.runtime ## make .venv with what escriba needs

setup-dev: .venv/.dev ## add what its tests need

.venv/.runtime: requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "Escriba needs Python 3.11 to 3.13; say make PYTHON=python3.12"; exit 1; }
	@echo "Installing into .venv (about a minute the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	@$(PIP) --require-hashes -r requirements/runtime.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	@echo "Installing what the tests need ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

run: setup ## read FILES (default: examples) with the whole pipeline, results in OUT (default: out)
	@$(BIN)/escriba run $(FILES) --out $(OUT)

test: setup-dev check ## every check and every test
	@$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered

check: setup-dev ## what pre-commit and CI check: ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log

format: setup-dev ## format the code
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: setup-dev ## speed and memory beside the bare engines, as ratios in one run
	@$(BIN)/python -m bench.speed

bench-corpus: setup-dev ## every document of ../shared/data/scans and born_digital through the pipeline
	@$(BIN)/python -m bench.corpus

examples: setup ## make examples/ again
	@$(BIN)/python examples/make_examples.py

schema: setup ## write docs/document.schema.json again
	@$(BIN)/python -m escriba.formats.outputs > docs/document.schema.json

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --override requirements/overrides.txt
lock: setup-dev ## resolve and pin requirements again (needs uv in .venv)
	@test -x $(BIN)/uv || $(PYTHON) -m pip --python $(BIN)/python install --quiet uv
	@$(LOCK) pyproject.toml requirements/build.in -o requirements/runtime.txt
	@$(LOCK) --extra dev -c requirements/runtime.txt pyproject.toml requirements/build.in -o requirements/dev.txt

check-lock: setup-dev ## the locks resolve to wheels on Linux x86-64, Linux arm64 and macOS arm64
	@test -x $(BIN)/uv || $(PYTHON) -m pip --python $(BIN)/python install --quiet uv
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do for python in 3.11 3.12 3.13; do \
	  MACOSX_DEPLOYMENT_TARGET=14.0 $(BIN)/uv pip install --quiet --dry-run --no-deps --only-binary :all: --target .lock-check \
	    --python-platform $$platform --python-version $$python -r requirements/dev.txt && echo "resolves: $$platform, Python $$python" || exit 1; done; done

clean: ## remove what these targets made
	@rm -rf .venv out build *.egg-info .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .hypothesis .lock-check
