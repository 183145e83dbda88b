# The only list of commands. `make` alone prints it. Everything is installed into .venv from hash-pinned locks.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
MEMBERS := libs/contracts libs/chassis libs/asgi-isr libs/embedded services/api services/frontend-bff services/revalidator cli
SYNCED := .venv/.synced
# The tests start our programs a hundred times: what they import is compiled once.
unexport PYTHONDONTWRITEBYTECODE

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# -- start -----------------------------------------------------------------------------------------
setup: $(SYNCED) ## install everything into .venv (the other targets do it when needed)

$(SYNCED): locks/bootstrap.lock locks/dev.lock pyproject.toml $(MEMBERS:=/pyproject.toml)
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "perfcheck needs Python 3.11 or later: install it, or name it with 'make PYTHON=/path/to/python3 …'" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "perfcheck needs Python 3.11 or later, $(PYTHON) is older: name another with 'make PYTHON=python3.13 …'" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "perfcheck needs Python's venv and pip: on Debian and Ubuntu 'apt-get install python3-venv python3-pip'" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/bootstrap.lock
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes locks/dev.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation $(addprefix -e ,$(MEMBERS))
	@touch $@

up: $(SYNCED) ## run the whole system until Ctrl-C; prints the addresses of pages and dashboard
	@$(BIN)/perfcheck up

# -- check -----------------------------------------------------------------------------------------
check: $(SYNCED) ## bring the system up, measure it, print the verdict, stop it
	@$(BIN)/perfcheck check

# Tests wait most of the time, so there are more processes than processors.
test: $(SYNCED) ## run all tests, in JOBS=4 processes
	@$(BIN)/python -m pytest -m quiet
	@$(BIN)/python -m pytest -n $(or $(JOBS),4) -m 'not quiet'

test-unit: $(SYNCED) ## run the tests that need no server
	@$(BIN)/python -m pytest libs services cli architecture -m 'not integration'

test-integration: $(SYNCED) ## run the tests against real servers
	@$(BIN)/python -m pytest libs services cli -m integration

e2e: $(SYNCED) ## run the tests of the whole system
	@$(BIN)/python -m pytest e2e

simulate: $(SYNCED) ## coherence under random trouble; SECONDS=120, SEEDS=5000, JOBS=2, or SEED=17 / FAULT=lease to replay
	@PYTHONPATH=libs/asgi-isr $(BIN)/python -m simulation $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(FIRST),--first $(FIRST)) $(if $(JOBS),--jobs $(JOBS)) $(if $(SEED),--seed $(SEED)) $(if $(FAULT),--fault $(FAULT))

attack: $(SYNCED) ## everything that a thief can try: every right of every credential at NATS, forged tokens (1 min)
	@$(BIN)/python -m pytest -n $(or $(JOBS),2) attack e2e/test_forged_tokens.py

lint: $(SYNCED) ## style, types and architecture
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m architecture

fmt: $(SYNCED) ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# -- measure ---------------------------------------------------------------------------------------
BENCHMARKS := cd libs/asgi-isr && $(CURDIR)/$(BIN)/python -m benchmarks

bench: $(SYNCED) ## all benchmarks of the page cache, beside its peers (3 min)
	@$(BENCHMARKS)

bench-hit: $(SYNCED) ## CPU per cached hit beside a bare server, nginx and Varnish, in one run
	@$(BENCHMARKS) hit

bench-events: $(SYNCED) ## from the commit to every task: latency, throughput, waiting; and what the log costs the cache (6 min)
	@$(BIN)/python -m e2e.benchmarks
	@$(BENCHMARKS) events invalidate largest

bench-memory: $(SYNCED) ## what the index and the pages take in memory
	@$(BENCHMARKS) memory

# -- docs ------------------------------------------------------------------------------------------
docs: $(SYNCED) ## write docs/events.md and docs/schemas from the messages; refuses what would break a release
	@PYTHONPATH=docs $(BIN)/python -m catalogue

# -- pins ------------------------------------------------------------------------------------------
lock: $(SYNCED) ## resolve again and write locks/ (hash-pinned, naming no host)
	@$(BIN)/uv lock --quiet --upgrade
	@$(BIN)/uv export --quiet --no-header --no-annotate --no-emit-workspace --all-groups -o locks/dev.lock

uv-lock: $(SYNCED) ## recreate the git-ignored uv.lock from the pins in locks/
	@$(BIN)/python locks/uv_lock.py $(BIN)/uv

clean: ## remove what was installed and generated, but no data (that is .perfcheck)
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache uv.lock

.PHONY: help setup up check test test-unit test-integration e2e simulate attack lint fmt bench bench-hit bench-events bench-memory docs lock uv-lock clean
