# Two commands are enough to begin with: `make demo` and `make test`.

PYTHON ?= python3
BIN := .venv/bin
DEMO := $(BIN)/samloop --home .demo --config examples/recipes/demo.toml
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal

# One thread per test process: many small models run side by side.
test test-all: export OMP_NUM_THREADS = 1

.PHONY: help install demo test test-all check format bench clean

help:
	@echo "make demo      install into .venv and take one whole turn of the loop, offline"
	@echo "make test      install and run the tests that take seconds (all of them where CI is set)"
	@echo "make test-all  install and run all tests"
	@echo "make check     ruff and mypy"
	@echo "make format    let ruff mend what it can"
	@echo "make bench     run every script in benchmarks/ and keep what it prints"
	@echo "make bench-NAME  those of one folder: curation, training, evaluation, gate, registry, erasure, life"
	@echo "make clean     remove .venv and .demo"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "samloop needs Python 3.11 or newer, and there is no $(PYTHON): install it, or name another with PYTHON=…"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "samloop needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) -V 2>&1): name another with PYTHON=…"; exit 1; }
	@command -v git >/dev/null || { echo "samloop reads histories with git, and there is none: install git"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing into .venv; the first time this takes some minutes."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: install
	@rm -rf .demo
	$(DEMO) turn
	@echo
	$(DEMO) chat "Route this task to claude-code, chatgpt, ollama or local: convert 12 miles to kilometres"

test: install
	$(PYTEST) $(if $(CI),,-m "not slow")

test-all: install
	$(PYTEST)

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: install
	@for script in benchmarks/*.py; do \
		[ $$script = benchmarks/common.py ] || { echo "== $$script"; $(BIN)/python $$script || exit 1; }; \
	done

bench-%: install
	@[ -d benchmarks/$* ] || { echo "there is no folder benchmarks/$*; name one of: $$(cd benchmarks && ls -d */ | tr -d /)"; exit 1; }
	@for script in benchmarks/$*/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv .demo
