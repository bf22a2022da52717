# Each target sets up .venv when it is missing or older than what it is made from.
PYTHON ?= python3
BIN := .venv/bin
DIR ?= campaigns/quickstart
export PYTHONSAFEPATH := 1
export OMP_NUM_THREADS := 1

.PHONY: campaign test check format slow docs

campaign: .venv/ready
	$(BIN)/janus-al campaign run examples/quickstart.toml --dir $(DIR)

test: .venv/ready
	$(BIN)/pytest

check: .venv/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory test

slow: .venv/ready
	$(BIN)/pytest -m slow

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Janus-AL needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@
