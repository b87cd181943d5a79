# A machine with Python 3.11+ and make is enough: everything else comes hash-checked from the lock files.
#   make run      start the console (ARGS="serve" and so on are passed on)
#   make check    formatting, lint, types, import rules and the unit tests
#   make test     every test; the real-browser ones skip themselves where no Chromium is found
#                 (`make check test` runs the unit tests once, with all the others)
#   make bench    measured figures        make samples   write the generated sample configs anew
#   make scorecard   the 25 checks of the console, from tests and measurements (calm machine)
#   make clients  real SDKs and coding agents, from npm and PyPI into a cache, against an engine: a table
#   make lock     write the lock files anew (needs uv)

PYTHON ?=
VENV ?= .venv
ARGS ?=
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
LOCK := uv pip compile pyproject.toml --group build --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command "make lock" --quiet --upgrade
CHECKED := atp_engine atp_console tests

.PHONY: run test check static unit bench scorecard clients samples lock clean help

help:
	@sed -n '2,10s/^#  *//p' Makefile

run: $(VENV)/.run-ready
	@exec $(BIN)/atp-console $(ARGS)

test: $(VENV)/.test-ready
	@$(BIN)/python -m tests.all $(PYTEST_ARGS)

check: static $(if $(filter test,$(MAKECMDGOALS)),,unit)

static: $(VENV)/.test-ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

unit: $(VENV)/.test-ready
	$(BIN)/python -m pytest tests/unit tests/arch $(PYTEST_ARGS)

bench: $(VENV)/.test-ready
	$(BIN)/python -m tests.bench $(ARGS)

scorecard: $(VENV)/.test-ready
	@$(BIN)/python -m tests.scorecard $(ARGS)

clients: $(VENV)/.test-ready
	@$(BIN)/python -m tests.clients $(ARGS)

samples: $(VENV)/.test-ready
	$(BIN)/python -m tests.support.full_sample

lock:
	$(LOCK) -o requirements.lock
	$(LOCK) --extra test -c requirements.lock -o requirements-test.lock

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# The first interpreter that is new enough; PYTHON=... overrides the search.
$(BIN)/python:
	@for python in $(PYTHON) $(if $(PYTHON),,python3 python3.14 python3.13 python3.12 python3.11); do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		echo "making $(VENV) with $$($$python --version)"; \
		$$python -m venv --clear $(VENV) && exit 0; \
		echo "cannot make a virtual environment (on Debian: apt install python3-venv)" >&2; rm -rf $(VENV); exit 1; \
	done; \
	echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3" >&2; exit 1

$(VENV)/.run-ready: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing the locked packages into $(VENV)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test-ready: requirements-test.lock $(VENV)/.run-ready
	@echo "installing the locked test packages into $(VENV)"
	@$(PIP) install --require-hashes -r requirements-test.lock
	@touch $@
