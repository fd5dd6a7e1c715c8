# Everything a developer or a newcomer needs; works without a terminal. `make help` lists the targets.
# Python 3.11 or newer and make are all that must be there; the rest goes into .venv.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_DIR ?= .demo
ARGS ?=
# Tests that wait for services leave two cores idle now and then: a third worker uses them.
WORKERS ?= 3

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The interpreter is looked for only when the environment has to be made. NW_PYTHON names another one.
$(STAMP): requirements.lock pyproject.toml
	@python=""; \
	for candidate in "$${NW_PYTHON:-python3.11}" python3.12 python3.13 python3; do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then python="$$candidate"; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "error: no Python 3.11, 3.12 or 3.13 found: install one, or name it with NW_PYTHON=/path/to/python3.11" >&2; exit 2; \
	fi; \
	if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then \
	  echo "error: $$python has no venv module: install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 2; \
	fi; \
	if ! "$(BIN)/python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	  echo "Making $(VENV) with $$("$$python" --version)" >&2; \
	  "$$python" -m venv --clear "$(VENV)"; \
	fi
	@echo "Installing the locked packages into $(VENV) (a few minutes the first time)" >&2
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --no-deps -r requirements.lock
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-input --no-build-isolation --no-deps -e .
	@touch "$@"

.PHONY: install
install: $(STAMP) ## make .venv with everything in it
	@:

.PHONY: demo
demo: $(STAMP) ## the whole platform on this machine with sample logs; ARGS=--once ends after the reports
	@"$(BIN)/nw" demo --dir "$(DEMO_DIR)" $(ARGS)

# The tests start hundreds of processes: without byte code each of them compiles the platform again.
.PHONY: test
test: $(STAMP) ## run the tests; ARGS passes on to pytest
	@unset PYTHONDONTWRITEBYTECODE; PATH="$(BIN):$$PATH" "$(BIN)/python" -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

.PHONY: soak
soak: $(STAMP) ## run the long tests of faults, which `make test` leaves out; ARGS passes on to pytest
	@PATH="$(BIN):$$PATH" "$(BIN)/python" -m pytest -m soak $(ARGS)

.PHONY: check
check: $(STAMP) ## lint, formatting, types, layers, dbt
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/mypy"
	@PATH="$(BIN):$$PATH" "$(BIN)/lint-imports"
	@target=$$(mktemp -d); trap 'rm -rf "$$target"' EXIT; \
	DBT_SEND_ANONYMOUS_USAGE_STATS=false "$(BIN)/dbt" --quiet parse --project-dir dbt_project --profiles-dir dbt_project \
	  --target-path "$$target" --log-path "$$target" --no-partial-parse

.PHONY: format
format: $(STAMP) ## write the formatting that `make check` asks for
	@"$(BIN)/ruff" check --fix .
	@"$(BIN)/ruff" format .

.PHONY: bench
bench: $(STAMP) ## measure, as ratios to plain DuckDB (docs/benchmarks.md); takes some minutes
	@PATH="$(BIN):$$PATH" "$(BIN)/python" -m benchmarks $(ARGS)

.PHONY: lock
lock: ## resolve requirements.lock anew from pyproject.toml (needs uv)
	@command -v uv >/dev/null || { echo "error: uv is not installed: pip install uv" >&2; exit 2; }
	@lock=$$(mktemp); trap 'rm -f "$$lock"' EXIT; cp requirements.lock "$$lock" 2>/dev/null || true; \
	uv pip compile --quiet pyproject.toml --extra platform --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-header --output-file "$$lock" >/dev/null; \
	{ echo "# Every package with its hashes, for Python 3.11 to 3.13. Made by \`make lock\` from pyproject.toml; do not edit."; \
	  grep -v '^# ' "$$lock"; } > requirements.lock
	@echo "requirements.lock: $$(grep -c '==' requirements.lock) packages"

.PHONY: clean
clean: ## remove .venv, the demo and all caches
	@rm -rf "$(VENV)" "$(DEMO_DIR)" .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .grimp_cache dist dbt_project/target dbt_project/logs
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
