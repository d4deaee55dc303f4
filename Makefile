# Everything a person or CI needs. PYTHON may name another interpreter (3.11 or newer).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST = set -e; url=$$(scripts/postgres.sh start); trap 'scripts/postgres.sh stop' EXIT; \
	CDI_TEST_POSTGRES="$$url" $(BIN)/python -m pytest -n 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all test-duckdb lint format bench lock postgres-start postgres-stop clean

help:  ## Show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: $(READY) profiles.yml  ## Install everything into .venv

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

profiles.yml:
	cp profiles.yml.example $@

demo: setup  ## Make a shop's raw data, run the whole job on it and show the result
	$(BIN)/cdi demo

test: setup lint  ## Lint, and the tests on DuckDB and on a PostgreSQL server of its own
	@$(PYTEST) -m "not slow"

test-all: setup lint  ## The same with the tests that are slow by nature in place of their smaller forms
	@$(PYTEST) -m "not small"

test-duckdb: setup  ## The tests that need no server
	$(BIN)/python -m pytest -n 2 -m "not slow" -k "not postgres"

lint: setup  ## ruff and sqlfluff
	$(BIN)/ruff check scripts tests
	$(BIN)/ruff format --check scripts tests
	@# against an empty warehouse: what incremental models compile to depends on what is there
	@mkdir -p target && rm -f target/lint.duckdb
	CDI_DUCKDB_PATH=target/lint.duckdb $(BIN)/sqlfluff lint --processes 2 models analyses tests

format: setup  ## Let ruff and sqlfluff mend what they can
	$(BIN)/ruff check --fix scripts tests
	$(BIN)/ruff format scripts tests
	@mkdir -p target && rm -f target/lint.duckdb
	CDI_DUCKDB_PATH=target/lint.duckdb $(BIN)/sqlfluff fix models analyses tests

bench: setup  ## Time and memory at 10 million events, beside plain copies (about half an hour, 40 GB of disk)
	@set -e; url=$$(scripts/postgres.sh start); trap 'scripts/postgres.sh stop' EXIT; \
	CDI_TEST_POSTGRES="$$url" $(BIN)/python scripts/bench.py; \
	CDI_TEST_POSTGRES="$$url" $(BIN)/python scripts/bench_identity.py; \
	$(BIN)/python scripts/bench_traits.py; \
	$(BIN)/python scripts/bench_sync.py; \
	$(BIN)/python scripts/bench_predictions.py

lock: setup  ## Resolve the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-emit-find-links --extra dev --upgrade --output-file requirements.lock pyproject.toml

postgres-start: setup  ## Start the PostgreSQL server of the tests and print its address
	@scripts/postgres.sh start

postgres-stop:  ## Stop it
	@scripts/postgres.sh stop

clean:  ## Remove what was built; keeps .venv
	rm -rf target logs data output warehouse.duckdb warehouse.duckdb.wal
