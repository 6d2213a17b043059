# `make` alone lists what there is. VENV=.venv-other uses another environment.
VENV ?= .venv
# Paddle 3.3 has wheels up to Python 3.13. A shim that cannot run its interpreter does not count.
PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$name && break; done)

BIN := $(VENV)/bin
PACKAGES := $(VENV)/.packages
CLIENT := $(VENV)/.client
MODELS := .paddlewheel/models/.installed
PHOTOGRAPHS := .paddlewheel/photographs/.taken
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo up down status test coverage lint reference docs bench lock release-check

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(CLIENT) $(MODELS) $(PHOTOGRAPHS) ## Create the environment, install everything, copy the default models

demo: setup ## Start everything on this machine and run the demo
	$(BIN)/python -m local demo

up: setup ## Start Valkey, Postgres, a worker, Flower and the HTTP gateway in the background
	$(BIN)/python -m local up

down: ## Stop what is running
	$(BIN)/python -m local down

status: ## Show what is running
	$(BIN)/python -m local status

test: coverage ## Run every test; the unit tests have a floor of coverage
	$(BIN)/python -m pytest tests/integration tests/acceptance

coverage: setup ## Run the unit tests and fail below the floor of coverage in pyproject.toml
	$(BIN)/python -m pytest tests/unit --cov --cov-report=term:skip-covered

lint: $(CLIENT) ## Check style, formatting, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

reference: $(CLIENT) ## Write docs/reference from the code
	$(BIN)/python -m docs.generate

docs: $(CLIENT) ## Build the site of the documentation into output/site; every warning is an error
	$(BIN)/mkdocs build --strict --quiet

bench: setup ## Run the benchmarks
	$(BIN)/python -m benchmarks

release-check: $(CLIENT) ## Build the wheel and the source archive, and check them and the changelog
	@rm -rf output/dist
	$(BIN)/python -m build --no-isolation --outdir output/dist . >/dev/null
	$(BIN)/python .ci/release_check.py output/dist

lock: $(PACKAGES) ## Update the lock files from pyproject.toml, keeping versions that still fit
	$(LOCK) --group dev --output-file requirements/dev.txt
	$(LOCK) --constraint requirements/dev.txt --output-file requirements/client.txt
	$(LOCK) --constraint requirements/dev.txt --all-extras --group client-test --output-file requirements/client-test.txt
	$(LOCK) --constraint requirements/dev.txt --group worker --group gateway --group flower --output-file requirements/worker.txt
	$(LOCK) --constraint requirements/dev.txt --group object-stores --output-file requirements/object-stores.txt

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "Paddlewheel needs Python 3.11, 3.12 or 3.13, and none was found." >&2; \
		echo "Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; fi
	$(PYTHON) -m venv $(VENV)

# uv installs ten times faster where it is set up; pip works everywhere.
$(PACKAGES): requirements/dev.txt | $(VENV)/bin/python
	@echo "Installing the packages of $<"
	@uv pip install --quiet --python $(BIN)/python --require-hashes --requirement $< 2>/dev/null \
		|| $(BIN)/python -m pip install --quiet --require-hashes --requirement $<
	@touch $@

# In place, without its dependencies: the lock file installs them.
$(CLIENT): pyproject.toml $(PACKAGES)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(MODELS): workers/models/home/catalog.py workers/models/home/packages.py | $(CLIENT)
	$(BIN)/python -m workers.models.home.install --home $(@D)
	@touch $@

$(PHOTOGRAPHS): local/photographs.py | $(CLIENT)
	@echo "Taking the demo's photographs"
	@$(BIN)/python -m local.photographs
	@touch $@
