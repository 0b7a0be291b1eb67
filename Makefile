# The habits of the house. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test unit lab lint types bench docs clean

help:  ## list the habits
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.venv/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "hsorch needs Python 3.11 or newer; found $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "python3-venv is missing: apt-get install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

setup: .venv/.ready  ## make .venv/bin/hsorch
	@echo 'ready: .venv/bin/hsorch'

demo: setup  ## a pair on the embedded lab: apply, crash the active node, compare what clients were told (data: mariadbd, /dev/fuse)
	@$(BIN)/python examples/lab/demo.py

test: setup lint types  ## run all tests, three at a time; those in the lab need root or user namespaces
	@$(BIN)/pytest -n 3

unit: setup  ## run the tests that need no lab, two at a time
	@$(BIN)/pytest -m 'not lab' -n 2

lab: setup  ## run the tests on real processes in network namespaces
	@$(BIN)/pytest -m lab

lint: setup  ## ruff and the layers
	@$(BIN)/ruff check --quiet hsorch tests docs examples
	@$(BIN)/lint-imports

types: setup  ## mypy, strict
	@$(BIN)/mypy

bench: setup  ## figures beside real peers on this machine; ARGS="crash idle" picks some
	@$(BIN)/python -m tests.bench $(ARGS)

docs: setup  ## write the generated pages of docs/reference
	@$(BIN)/python docs/generate.py

clean:  ## remove what setup made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
