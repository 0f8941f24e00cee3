# Everything runs inside .venv, which is built once from the hash-checked lock file.
.DEFAULT_GOAL := help
.PHONY: help demo test check format bench bench-faults lock clean

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# No telemetry, no version look-ups, and time for a server that starts on a busy machine.
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 15

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "reelroute needs Python 3.11 or newer: make PYTHON=python3.11 …" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## run the whole way on real footage, with no account and no key
	$(BIN)/reelroute demo

test: $(READY) ## run every test but the benchmarks, with coverage
	$(BIN)/python -m tests.emulators.install
	$(BIN)/python -m pytest -m "not bench" --numprocesses 2 --dist loadfile --cov --cov-report=term:skip-covered

check: $(READY) ## formatting, lint, types, import contracts, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m pytest -q tests/architecture

format: $(READY) ## let ruff format and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## benchmarks: ratios measured in one run
	$(BIN)/python -m tests.emulators.install
	$(BIN)/python -m pytest -m bench -s tests/benchmarks tests/services tests/unit/tasks/sinks/labelbox

bench-faults: $(READY) ## kill runs at every step, storms, many runs at once, all of it; prints what it counted
	$(BIN)/python -m pytest -q -s tests/faults

lock: ## resolve pyproject.toml anew into requirements.lock
	$(BIN)/uv pip compile --universal --generate-hashes --extra demo --extra dev --no-header --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml -o requirements.lock
	echo 'setuptools>=77' | $(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --constraint requirements.lock pyproject.toml - -o deployments/docker/requirements.lock
	echo ministack | $(BIN)/uv pip compile --universal --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --upgrade - -o tests/emulators/ministack.lock
	npm install --prefix tests/emulators/azurite --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts

clean: ## remove the environment, caches and the demo's output
	rm -rf .venv .reelroute demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis build ./*.egg-info
