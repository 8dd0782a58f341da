# Every target runs the set-up that it needs, in .venv. It repeats the set-up only if pyproject.toml
# or constraints.txt changed.
#   make train SYMBOLS=EURUSD,GBPUSD SOURCE=data/bars INTERVAL=1h
#   make setup PYTHON=python3.12        another interpreter (after `make clean`)

PYTHON   ?= python3
VENV     ?= .venv
SYMBOLS  ?= EURUSD
MODELS   ?= gru,lightgbm,ppo
SOURCE   ?= sample
INTERVAL ?= 1h
UI_PORT  ?= 5000
# Tests start servers and train models, so only three run at a time on any machine. The tests of a
# file share trained models, so a file stays on one worker. Files start in the order of collection:
# pytest-xdist would start those with many quick tests first, and the slow ones last.
PYTEST_ARGS ?= -n 3 --dist loadfile --no-loadscope-reorder

# One store for `mlflow run`, for its commands, and for `make ui`.
MLFLOW_TRACKING_URI ?= sqlite:///mlflow.db
export MLFLOW_TRACKING_URI
# `mlflow run --env-manager local` starts the first `python` on PATH: it must be the one of .venv.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# If this variable is set, every command compiles the modules again: a fifth of its start-up time.
unexport PYTHONDONTWRITEBYTECODE

# pip compiles all files in sequence, also the tests of the libraries: half of the set-up time. So it
# does not compile, and `compileall` does it in parallel, of the files that the last set-up lacks.
INSTALL   = $(VENV)/bin/python -m pip --disable-pip-version-check --quiet install --no-compile -c constraints.txt
COMPILE   = find $(VENV)/lib -name '*.py' -not -path '*/test/*' -not -path '*/tests/*' \
              $$(test ! -e $(INSTALLED) || echo -cnewer $(INSTALLED)) -print0 \
            | xargs -0 -r -n 250 -P 4 $(VENV)/bin/python -m compileall -q >/dev/null || true
INSTALLED = $(VENV)/.installed
DEVELOPED = $(VENV)/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo train test quick check bench ui constraints clean

help:
	@echo "make demo         see a model that works, on SYNTHETIC bars, in a minute: train, promote, decide, report"
	@echo "make train        train SYMBOLS ($(SYMBOLS)) with MODELS ($(MODELS)) from SOURCE ($(SOURCE)), INTERVAL ($(INTERVAL))"
	@echo "make test         run all tests; PYTEST_ARGS are passed to pytest"
	@echo "make quick        run the quick tests: no server, no MLflow store, no whole command, nothing slow"
	@echo "make check        run the steps of CI: format, lint, types, imports, environment files, tests"
	@echo "make bench        run the benchmarks; BENCH_ARGS are passed to them"
	@echo "make ui           start the MLflow UI at http://127.0.0.1:$(UI_PORT), on $(MLFLOW_TRACKING_URI)"
	@echo "make setup        run the set-up only, with the dev tools"
	@echo "make constraints  renew constraints.txt and the environment files"
	@echo "make clean        remove .venv and the caches; data, models and mlflow.db stay"

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Barwright needs Python 3.11, 3.12 or 3.13; PYTHON=$(PYTHON) is: $$($(PYTHON) --version 2>&1). Give another one: make PYTHON=python3.11 ..." >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e ".[sample,deep]"
	@$(COMPILE)
	@touch $@

$(DEVELOPED): pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e ".[sample,deep,postgres,s3,dev]"
	@$(COMPILE)
	@touch $@ $(INSTALLED)

setup: $(DEVELOPED)

# The demo has a store of its own, so that nothing synthetic stands among real models.
demo: $(INSTALLED)
	@scripts/demo.sh

train: $(INSTALLED)
	@MLFLOW_LOGGING_LEVEL=WARNING MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT=true \
	  $(VENV)/bin/mlflow run . --env-manager local --experiment-name barwright \
	  -P symbols="$(SYMBOLS)" -P models="$(MODELS)" -P source="$(SOURCE)" -P interval="$(INTERVAL)"
	@echo "Before you type these commands: . $(VENV)/bin/activate"

test: $(DEVELOPED)
	$(VENV)/bin/python -m pytest $(PYTEST_ARGS)

# Tests that need a server, a browser, an MLflow store or a whole command, and slow ones, are left out.
quick: $(DEVELOPED)
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not server and not slow" $(QUICK_ARGS)

# The tests run last, so the last line of the output is their result.
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
	  http://*|https://*) echo "MLFLOW_TRACKING_URI is a server that has a UI: $(MLFLOW_TRACKING_URI)" ;; \
	  *) MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false exec $(VENV)/bin/mlflow server --host 127.0.0.1 --port $(UI_PORT) --workers 1 \
	       --backend-store-uri "$(MLFLOW_TRACKING_URI)" ;; \
	esac

constraints:
	scripts/constraints.sh $(PYTHON)
	$(PYTHON) scripts/sync_env.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
