# Every target sets itself up: a virtual environment, the locked packages, the generated contracts.
SHELL := /bin/bash
FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(FITS)' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
GENERATED := libs/hardpoint/.generated
INSTALLED := $(VENV)/.installed
PACKAGES := $(wildcard libs/hardpoint_*/__init__.py services/*/__init__.py)
PROTOS := $(shell find protos -name '*.proto') protos/generate.py
CODE := libs/hardpoint_* services tests bench deploy/seccomp examples/demo protos/generate.py

# Tests and demonstrations start Python dozens of times: what is compiled once is kept, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test oci cgroups check bench corpus standard fuzz lock contracts format clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

setup: $(INSTALLED) $(GENERATED) ## Install the locked packages and generate the contracts

$(READY): requirements/dev.txt pyproject.toml
	@$(or $(PYTHON),false) -c '$(FITS)' 2>/dev/null || { echo "Hardpoint needs Python 3.11 or newer with venv;\
	found: $$(python3 --version 2>&1). On Debian: apt-get install python3-venv. Or: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) (about a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

$(GENERATED): $(PROTOS) | $(READY)
	@$(BIN)/python protos/generate.py >/dev/null 2>$(VENV)/generate.log || { cat $(VENV)/generate.log; exit 1; }
	@touch $@

# After the generated code: an editable install knows the packages that are there when it is made.
$(INSTALLED): $(READY) $(PACKAGES) pyproject.toml setup.py | $(GENERATED)
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## The main job on real input: files become actions, a call's trace, a workflow that outlives kill -9
	@PYTHONPATH=examples $(BIN)/python -m demo

up: setup ## Serve all units on this machine, with an embedded PostgreSQL
	@$(BIN)/hardpointd serve

test: setup ## Run all tests (embedded PostgreSQL, real nsjail)
	@$(BIN)/pytest -q -n 3 -m "not oci"

oci: setup ## Run the executor in a container as its Kubernetes manifest says (needs root and runc)
	@$(BIN)/pytest -q -m oci tests/deploy

cgroups: setup ## Run tests of the jail on a kernel with control groups of version 2 (needs Debian's user-mode-linux)
	@tests/jail/uml/run

check: setup ## Lint, types, import rules, contracts
	@$(BIN)/ruff check --quiet $(CODE)
	@$(BIN)/ruff format --check --quiet $(CODE)
	@$(BIN)/mypy libs/hardpoint_kit libs/hardpoint_manifest libs/hardpoint_client libs/hardpoint_cli libs/hardpoint_sdk/python libs/hardpoint_standard/__init__.py services
	@$(BIN)/lint-imports
	@$(BIN)/python protos/generate.py --check
	@$(BIN)/pytest -q tests/contracts

bench: setup ## Print the figures, as ratios in one run, and write bench/out/latest.json
	@$(BIN)/python bench/run.py

corpus: setup ## Run every hostile program alone and write what came of it into docs/jail.md
	@$(BIN)/python tests/jail/corpus.py

standard: setup ## Read the headers of the standard capabilities in a jail and write them beside their code
	@PYTHONPATH=tests $(BIN)/python tests/standard/headers.py

fuzz: setup ## Feed what strangers send us to its readers, each for TIME seconds (60)
	@for target in frames urls headers; do \
		$(BIN)/python tests/fuzz/run.py $$target -max_total_time=$(or $(TIME),60) -print_final_stats=1 || exit 1; done

contracts: setup ## Accept the contracts as they stand as the released ones
	@$(BIN)/python protos/generate.py --release

format: setup ## Format the code
	@$(BIN)/ruff check --quiet --fix $(CODE)
	@$(BIN)/ruff format --quiet $(CODE)

lock: setup ## Lock the packages again (needs uv)
	@uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
		--extra dev -o requirements/dev.txt pyproject.toml
	@uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --no-annotate --python-version 3.11 \
		--extra embedded --extra executor --extra standard -c requirements/dev.txt -o requirements/run.txt pyproject.toml

clean: ## Remove what the targets made
	@rm -rf $(VENV) libs/hardpoint libs/buf build dist *.egg-info
