# Two commands: `make run` shows the main job, `make test` proves it. Each installs what it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
# Each program that is started would compile zos again.
unexport PYTHONDONTWRITEBYTECODE
UV := uv==0.13.9
LOCK := .cache/lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make lock"

.PHONY: help setup run test unit root sim matrix kills chaos deep fuzz test-peers image test-node lint wheel lock docs proto clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing (Debian packages, .venv); quick when nothing is
	@.ci/setup

run: setup ## a lab of two nodes, a signed contract, two machines that answer over WireGuard
	@.ci/rooted $(PY) -m zos.cli.main lab demo

test: setup ## everything that CI runs; one area of it: make test AREA=networkd (a package, a piece or a path)
	@.ci/rooted $(PY) tests/suite.py $(AREA)

unit: setup ## the tests that need neither root nor network
	@$(PY) -m pytest -q -n auto --dist worksteal

root: setup ## the tests that need root and a kernel
	@.ci/rooted $(PY) tests/suite.py root

sim: setup ## COUNT random histories (1000) of a simulated node, from SEED (1) on
	@$(PY) -m zos.sim --count $(or $(COUNT),1000) --seed $(or $(SEED),1)

matrix: setup ## one fault at every await of six daemons, each in a history of its own
	@$(PY) -m zos.sim.matrix

kills: setup ## a deployment while a daemon is killed, COUNT times for each of 11 daemons (5)
	@.ci/rooted $(PY) tests/suite.py --repeat $(or $(COUNT),5) kills

chaos: setup ## a lab with tenants, kills, cuts of power and lies of the chain for SECONDS (1800) from SEED (1)
	@.ci/rooted $(PY) tests/chaos --seconds $(or $(SECONDS),1800) --seed $(or $(SEED),1)

deep: setup ## the tests that search, DEPTH times as far (10)
	@ZOS_TEST_DEPTH=$(or $(DEPTH),10) $(PY) -m pytest -q -n auto --dist worksteal --timeout 3600 -m "not tools"

fuzz: setup ## search for inputs that cost much time or memory per byte, SECONDS_EACH for each parser (60)
	@$(PY) tests/fuzz/costs.py --seconds $(or $(SECONDS_EACH),60)

test-peers: setup ## the grid's own programs against ours: PEERS is a folder of checkouts (docs/peers.md), PART some of it
	@.ci/rooted $(PY) tests/peers/run.py $(or $(PEERS),$(error PEERS must be a folder of checkouts, see docs/peers.md)) $(PART)

image: setup ## the image of a node, signed by key and crt in KEYS (made once); the last line is its path
	@.ci/image
	@.ci/rooted $(PY) -m zos.images.node $(if $(KEYS),--keys $(KEYS))

test-node: image ## boots the image in QEMU beside a lab's chain and looks inside
	@.ci/rooted $(PY) tests/suite.py node

lint: setup ## ruff, mypy --strict, the layers of imports
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports

wheel: setup ## the wheel, built and tried as a user installs it
	@$(PY) -m pytest -q tests/wheel

lock: ## pin every dependency anew, with hashes (after a change of pyproject.toml)
	@python3 -m venv .cache/lock && .cache/lock/bin/pip install -q --disable-pip-version-check $(UV)
	@$(LOCK) --extra dev -o requirements.lock pyproject.toml
	@$(LOCK) --extra node -c requirements.lock -o requirements-node.lock pyproject.toml
	@$(LOCK) --group build -o requirements-build.lock

docs: setup ## write docs/config anew (after a change of a daemon's configuration)
	@$(PY) -m zos.runtime.configdocs docs/config

proto: setup ## generate the APIs of the daemons again (after a change of a .proto file)
	@$(PY) -m zos.bus.generate

clean: ## remove what make made here (the lab, if one runs, goes too)
	@if [ -x $(PY) ]; then $(PY) -m zos.cli.main lab down || true; fi
	@rm -rf .venv .cache build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
