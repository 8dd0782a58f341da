# Every target does its own set-up, in .venv, and does it again only when pyproject.toml or
# constraints.txt changed.
#   make train SYMBOLS=EURUSD,GBPUSD SOURCE=data/bars INTERVAL=1h
#   make setup PYTHON=python3.12        another interpreter (after `make clean`)

PYTHON   ?= python3
VENV     ?= .venv
SYMBOLS  ?= EURUSD
MODELS   ?= gru,lightgbm,ppo
SOURCE   ?= sample
INTERVAL ?= 1h
UI_PORT  ?= 5000
# Tests start servers and train models: a few at a time, whatever the machine. A file's tests share
# what they train; the slow files come before the many quick ones.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder

# One store for `mlflow run`, for what it starts, and for `make ui`.
MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db
export MLFLOW_TRACKING_URI
# `mlflow run --env-manager local` starts `python`: the first one on PATH must be ours.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# Where it is set, every command compiles this project's modules again: a fifth of its start-up.
unexport PYTHONDONTWRITEBYTECODE

# pip compiles one file after the other, the libraries' own tests too: half of the set-up's time.
INSTALL   = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile -c constraints.txt
COMPILE   = $(VENV)/bin/python -m compileall -q -j 0 -x '/tests?/' $(VENV)/lib >/dev/null || true
INSTALLED = $(VENV)/.installed
DEVELOPED = $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup train test quick check bench ui constraints clean

help:
	@echo "make train        train SYMBOLS ($(SYMBOLS)) with MODELS ($(MODELS)) from SOURCE ($(SOURCE)), INTERVAL ($(INTERVAL))"
	@echo "make test         run the tests; PYTEST_ARGS are handed on"
	@echo "make quick        the tests that need no server and no command of their own: two minutes"
	@echo "make check        all that CI runs: format, lint, types, imports, environment files, tests"
	@echo "make bench        run the benchmarks; BENCH_ARGS are handed on"
	@echo "make ui           the MLflow UI at http://127.0.0.1:$(UI_PORT), on $(MLFLOW_TRACKING_URI)"
	@echo "make setup        only the set-up, dev tools included"
	@echo "make constraints  renew constraints.txt and the environment files"
	@echo "make clean        remove .venv and the caches; data, models and mlflow.db stay"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Barwright needs Python 3.11, 3.12 or 3.13; PYTHON=$(PYTHON) is: $$($(PYTHON) --version 2>&1). Name another one: make PYTHON=python3.11 ..." >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e ".[sample,deep]"
	@$(COMPILE)
	@touch $@

$(DEVELOPED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e ".[sample,deep,postgres,dev]"
	@$(COMPILE)
	@touch $@ $(INSTALLED)

setup: $(DEVELOPED)

train: $(INSTALLED)
	$(VENV)/bin/mlflow run . --env-manager local --experiment-name barwright \
	  -P symbols="$(SYMBOLS)" -P models="$(MODELS)" -P source="$(SOURCE)" -P interval="$(INTERVAL)"

test: $(DEVELOPED)
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

# What needs a server, a browser, an MLflow store or a whole command is left out.
quick: $(DEVELOPED)
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not server and not slow" $(QUICK_ARGS)

# The tests come last: their closing line is the verdict.
check: $(DEVELOPED)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo
	$(VENV)/bin/python scripts/sync_env.py --check
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

bench: $(DEVELOPED)
	$(VENV)/bin/python -m benchmarks $(BENCH_ARGS)

ui: $(INSTALLED)
	@case "$(MLFLOW_TRACKING_URI)" in \
	  http://*|https://*) echo "MLFLOW_TRACKING_URI is a server with its own UI: $(MLFLOW_TRACKING_URI)" ;; \
	  *) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false exec $(VENV)/bin/mlflow server --host 127.0.0.1 --port $(UI_PORT) --workers 1 \
	       --backend-store-uri "$(MLFLOW_TRACKING_URI)" ;; \
	esac

constraints:
	scripts/constraints.sh $(PYTHON)
	$(PYTHON) scripts/sync_env.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
