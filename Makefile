# Two words for a newcomer: `make demo` and `make test`. Python 3.11+ and make are all they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := dev
.PHONY: dev test demo demo-cloud cloud-tools e2e lint types check fmt docs lock interop interop-tools infra closed-region bench clean

# Locks serve as constraints too: to older pips `x[extra]` and `x` are two packages, and a pin of one
# leaves the other at its newest version, whose hash no lock has.
dev: $(STAMP) ## everything in .venv, `.venv/bin/petra` among it
	@$(BIN)/python -m compileall -q layers/petra/python/petra

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Petra needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt -c requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

test: dev ## all tests that need nothing outside this machine
	$(BIN)/pytest -m "not interop and not e2e"

demo: dev ## the main job on an embedded registry
	$(BIN)/python -m demo.run

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: dev
	$(BIN)/mypy

check: lint types test interop ## all of it

fmt: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: dev ## docs/cli.md from the commands themselves
	$(BIN)/python -m tests.support.cli_reference

lock: ## resolve the dependencies anew (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --all-extras --group dev pyproject.toml -o requirements/dev.txt --quiet
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra aws pyproject.toml -c requirements/dev.txt -o requirements/runtime.txt --quiet
	uv pip compile --universal --python-version 3.11 --generate-hashes --extra lambda pyproject.toml -c requirements/dev.txt -o requirements/lambda.txt --quiet
	uv pip compile --universal --python-version 3.11 --generate-hashes --group pyproject.toml:infra -c requirements/dev.txt -o requirements/infra.txt --quiet
	uv pip compile --universal --python-version 3.11 --generate-hashes --group pyproject.toml:cloud -o requirements/cloud.txt --quiet
	uv pip compile --universal --python-version 3.11 --generate-hashes --group pyproject.toml:node -o requirements/node.txt --quiet

cloud-tools: dev ## the embedded cloud and the CDK CLI, pinned, in .cache/cloud
	$(BIN)/python -m demo.cloud.tools

demo-cloud: cloud-tools $(VENV)/.infra ## the whole pipeline, on the embedded cloud
	$(BIN)/python -m demo.cloud.run

e2e: cloud-tools $(VENV)/.infra ## the pipeline on the embedded cloud
	$(BIN)/pytest -m e2e

interop-tools: dev ## the real peers, pinned
	bash tests/interop/install-tools.sh

interop: dev ## both ways against the real peers
	$(BIN)/pytest -m interop

infra: dev $(VENV)/.infra ## the stacks on AWS: types, and properties of their templates (needs node)
	$(BIN)/mypy stacks app.py tests/infra/synthesize.py
	PETRA_INFRA=1 $(BIN)/pytest tests/infra

closed-region: dev $(VENV)/.infra ## dist/petra-classified.tar.gz: templates and assets, for CloudFormation alone
	$(BIN)/python -m stacks.closed_region dist $(SETTINGS)

$(VENV)/.infra: requirements/infra.txt $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/infra.txt -c requirements/infra.txt
	touch $@

bench: dev ## against crane and the others, in pairs
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache
