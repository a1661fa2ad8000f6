# The front door. `make help` lists what there is.
SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
FUZZ := .venv-fuzz
PYTHON ?= $(shell for p in python3.14 python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input install --quiet
FROM ?=
BENCH ?=
TARGET ?=
SECONDS ?= 60
COUNT ?= 1000
OUT ?=
PORT ?= 8440
DATABASE ?= sqlite:///coffret.db

.DEFAULT_GOAL := help
.PHONY: help demo serve test attacks faults check format bench bench-peers fuzz fuzz-keep vectors lock clean setup

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: $(VENV)/.run  ## the main job, end to end; FROM=folder imports your own Markdown or text
	@$(BIN)/python demo/run.py $(if $(FROM),--from "$(FROM)")

serve: $(VENV)/.run  ## run the server on this machine; PORT=8440 DATABASE=sqlite:///coffret.db
	@$(BIN)/python -m coffret_server serve --port $(PORT) --database "$(DATABASE)"

test: $(VENV)/.dev  ## every test
	@$(BIN)/python -m pytest

attacks: $(VENV)/.dev  ## carry out every attack of docs/attacks.md, and write that page anew
	@$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m "attack or control" \
		$$(PYTHONPATH=tests $(BIN)/python -m architecture.attacks_table --files)
	@PYTHONPATH=tests $(BIN)/python -m architecture.attacks_table

faults: $(VENV)/.dev  ## kill a device at COUNT=1000 moments, have two race for as many appends, kill processes and servers
	@COFFRET_FAULTS=$(COUNT) $(BIN)/python -m pytest -q -s tests/integration/test_faults.py tests/integration/test_killed_processes.py \
		tests/integration/test_killed_sharing.py \
		tests/integration/server/test_crash.py tests/server/storage/test_killed_servers.py

check: $(VENV)/.dev  ## lint, format, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy vault sdk server tests bench
	@MYPYPATH=demo $(BIN)/mypy demo/run.py
	@$(BIN)/lint-imports

format: $(VENV)/.dev  ## put the code in form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev  ## measure; prints ratios of one run on this machine; BENCH="--quick remember"
	@$(BIN)/python -m bench $(BENCH)

bench-peers: $(PEERS)/.installed  ## install what bench compares with, in .venv-peers

fuzz: $(FUZZ)/.installed  ## look for inputs that break a parser; TARGET=name SECONDS=3600, or every target in turn
	@PYTHONPATH=tests $(FUZZ)/bin/python -m fuzz --seconds $(SECONDS) $(if $(OUT),--out "$(OUT)") $(TARGET)

fuzz-keep: $(FUZZ)/.installed  ## take the least of what fuzzing found in OUT=folder into tests/fuzz/corpus
	@PYTHONPATH=tests $(FUZZ)/bin/python -m fuzz.keeping "$(OUT)"

vectors: $(VENV)/.dev  ## write the test vectors again
	@$(BIN)/python tests/vectors/generate.py

lock: $(VENV)/.dev  ## resolve the dependencies again into locks/
	@$(PIP) uv
	@locks/compile $(BIN)/uv

clean:  ## remove what the other targets made
	@rm -rf $(VENV) $(PEERS) $(FUZZ) .coffret-demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

setup: $(VENV)/.dev  ## install everything into .venv, and nothing more

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "Coffret needs Python 3.11 or newer."; exit 1; }
	@echo "setting up $(VENV) with $(PYTHON) (once)"
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.run: $(VENV)/.python locks/run.txt pyproject.toml server/pyproject.toml
	@$(PIP) --require-hashes --only-binary :all: -r locks/run.txt
	@$(PIP) --no-deps --no-build-isolation --editable . --editable server
	@$(MAKE) --no-print-directory hnsw
	@touch $@

$(VENV)/.dev: $(VENV)/.run locks/dev.txt
	@$(PIP) --require-hashes --only-binary :all: -r locks/dev.txt
	@touch $@

$(PEERS)/.installed: $(VENV)/.python locks/peers.txt
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --only-binary :all: -r locks/peers.txt
	@touch $@

$(FUZZ)/.installed: $(VENV)/.python locks/run.txt locks/fuzz.txt
	@$(PYTHON) -m venv $(FUZZ)
	@$(FUZZ)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --require-hashes --only-binary :all: \
		-r locks/run.txt -r locks/fuzz.txt || { echo "atheris has wheels for Linux on x86-64, Python 3.11 to 3.14"; exit 1; }
	@$(FUZZ)/bin/python -m pip --disable-pip-version-check --no-input install --quiet --no-deps --no-build-isolation --editable . --editable server
	@$(MAKE) --no-print-directory hnsw BIN=$(FUZZ)/bin VENV=$(FUZZ)
	@touch $@

.PHONY: hnsw
hnsw: locks/hnsw.txt locks/hnsw-build.txt
	@$(BIN)/python -c 'import hnswlib' 2>/dev/null || { \
	$(PIP) --require-hashes --only-binary :all: -r locks/hnsw-build.txt && \
	$(PIP) --require-hashes --no-deps --no-build-isolation -r locks/hnsw.txt; } >$(VENV)/hnsw.log 2>&1 || \
	echo "hnswlib cannot be compiled here ($(VENV)/hnsw.log): search is exact (the same results; slower above 20,000 passages)"
