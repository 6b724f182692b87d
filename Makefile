# Every target makes what it needs first: on a fresh machine `make demo` or `make test` is the only line to type.
.DEFAULT_GOAL := help
.PHONY: help setup demo test hil soak check format bench proto packages train-setup clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.pledgewatch-setup
PAGES := server/web/static/vendor/.complete
SOURCES := wire edge_agent firmware_sim server models_onnx tests benchmarks

help: ## What can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## .venv with all but torch, and the page libraries

$(STAMP): pyproject.toml server/web/package-lock.json deploy/debian-packages
	@./deploy/debian-packages venv
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Pledgewatch needs Python 3.11 or newer; type: make PYTHON=python3.13 $(MAKECMDGOALS)" >&2; rm -rf $(VENV); exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[agent,server,sim,dev]'
	$(BIN)/python -m server.web.javascript
	$(BIN)/python -m server.web.i18n compile
	@touch $@

packages:
	@./deploy/debian-packages mosquitto browser

demo: setup ## Broker, server and three simulated vehicles on this machine
	@./deploy/debian-packages mosquitto || echo "(without Mosquitto the embedded broker is used)" >&2
	@$(BIN)/pledgewatch demo $(DEMO)

test: setup packages ## The everyday suite; TEST="-k words" chooses
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal $(TEST)

hil: setup packages ## Every story with the real agent, broker and server; HIL="first_drive tag:theft" chooses
	@mkdir -p reports
	$(BIN)/pledgewatch-sim run $(or $(HIL),all) --jobs $(or $(JOBS),8) --junit reports/hil.xml --html reports/hil.html

soak: setup packages ## 2,000 faults in 45 minutes; SOAK="--seed 7 --from 300" plays a failure again
	$(BIN)/python -m tests.soak $(SOAK)

check: setup ## Format, lint, types, import rules, docs
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup ## Put the code into its form
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench: setup packages ## Each benchmark, one JSON object a line; DATA="--data DIR" for other recordings
	@./deploy/debian-packages gpsd || echo "(without gpsd the peer of benchmarks.edge has no figures)" >&2
	@for name in $(basename $(notdir $(shell grep -l '^if __name__' benchmarks/*.py))); do \
	  echo "== $$name" >&2; $(BIN)/python -m benchmarks.$$name --json $(DATA) | tail -n 1 || exit 1; done

proto: setup ## wire/telemetry_pb2.py from wire/telemetry.proto
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I. --python_out=. --mypy_out=. wire/telemetry.proto

train-setup: setup ## torch (CPU) for training; nothing else needs it
	$(BIN)/python -m pip install --quiet torch --index-url https://download.pytorch.org/whl/cpu || \
	  $(BIN)/python -m pip install --quiet '.[train]'

clean: ## Everything that was made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis server/web/static/vendor server/web/node_modules
