# Postlab.  Needs Python 3.11 or newer, make, and the network once, to install what it stands on.
#
#   make demo    a small site over three days
#   make test    style, types, tests, and the scenarios that real Postfix vouches for
#   make bench   how fast it is
#   make clean   forget the virtual environment

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PYTEST ?= $(BIN)/pytest

.PHONY: all demo test lint types bench clean
all: demo

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Postlab needs Python 3.11 or newer; PYTHON=python3.12 make ... names another one' >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'installing into $(VENV) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,cdb]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/postlab run scenarios/demo/small-site.yaml

lint: $(STAMP)
	$(BIN)/ruff check

types: $(STAMP)
	$(BIN)/mypy

test: lint types
	$(PYTEST) -n auto

bench: $(STAMP)
	$(PYTEST) benchmarks -p no:xdist --benchmark-only --benchmark-timer=time.process_time --benchmark-columns=min,median,max,rounds --benchmark-disable-gc

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
