# gatebench. `make help` lists what there is to make.

PYTHON ?= python3
PLAN ?= flagship
BIN := .venv/bin
STAMP := .venv/installed
# A session's name, so that its report is made of its own results, whatever else runs beside it.
SESSION := $(PLAN)-$(shell date -u +%Y%m%dT%H%M%SZ)-$(shell echo $$$$)
.DEFAULT_GOAL := help
.PHONY: help install bench bench-generator bench-containers bench-report gate-power base-image quick report test test-slow test-browser test-container lint check pins update wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

install: $(STAMP) ## set up .venv with gatebench and its pinned dependencies

# uv is found on the machine, or comes from the package index into the project's own environment. It does not read
# pip's settings: what pip was told of an index holds for uv too.
$(STAMP): requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: Python 3.11 or newer is needed; name it with PYTHON=…"; exit 4; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $$($(PYTHON) --version) is too old, 3.11 or newer is needed; name it with PYTHON=…"; exit 4; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@uv=$$(command -v uv || echo $(BIN)/uv); \
	index=$${UV_DEFAULT_INDEX:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null)}}; \
	test -z "$$index" || export UV_DEFAULT_INDEX="$$index"; \
	test -x "$$uv" || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt; \
	VIRTUAL_ENV=.venv "$$uv" pip sync --quiet --require-hashes --compile-bytecode requirements/dev.txt && \
	VIRTUAL_ENV=.venv "$$uv" pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

bench: install ## measure PLAN (flagship unless named) and write reports/index.html
	@$(BIN)/gatebench run --plan $(PLAN) --session $(SESSION); ended=$$?; \
	made=0; test ! -s results/$(SESSION).jsonl -o $$ended -eq 130 || $(BIN)/gatebench report results/$(SESSION).jsonl || made=$$?; \
	test $$ended -ne 0 && exit $$ended; exit $$made

quick: ## the same in two minutes, with wide intervals
	@$(MAKE) --no-print-directory bench PLAN=quick

bench-generator: install ## measure the load generator against its targets, beside wrk and h2load
	@$(BIN)/python -m gatebench.bench

bench-containers: install ## measure what a container costs: the same stacks as processes and as containers, in turn
	@$(BIN)/python -m gatebench.bench --only containers --rounds 12

bench-report: install ## measure what a page costs: seconds, memory and bytes, of 100, 1,000 and 5,000 trials
	@$(BIN)/python -m gatebench.bench --only reports --rounds 3

gate-power: install ## measure what the gate finds and when it cries wolf, in hours: PIECES=3 and GATES=5, each quiet and noisy
	@for piece in $$(seq $${PIECES:-3}); do for noise in "" --noise; do \
		$(BIN)/python -m gatebench.power record --minutes 10 --only aa $$noise || exit $$?; \
		$(BIN)/python -m gatebench.power record --minutes 10 $$noise || exit $$?; done; done
	@for noise in "" --noise; do for head in aa slow10; do \
		$(BIN)/python -m gatebench.power live --injected $$head --times $${GATES:-5} $$noise || exit $$?; done; \
		$(BIN)/python -m gatebench.power live --injected slow5 --times 2 $$noise || exit $$?; done
	@$(BIN)/python -m gatebench.power report

base-image: install ## make the base of all images from Debian's packages, for where none can be pulled; needs root
	@$(BIN)/gatebench base-image

report: install ## make the page again from the newest results
	@$(BIN)/gatebench report

test: install ## run the tests that take some seconds each at most
	@$(BIN)/python -m pytest -m "not slow and not container and not browser"

test-slow: install ## run the others: plain locust in all its ways, open loops, throttled trials, whole sessions
	@$(BIN)/python -m pytest -m "slow and not container and not browser"

test-browser: install ## open the page in Debian's Chromium; skipped, with the reason, where there is none
	@$(BIN)/python -m pytest -m browser

test-container: install ## run the tests that need a Docker engine; skipped, each with the reason, where none answers
	@$(BIN)/python -m pytest -v -m container

lint: install ## types and style
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

check: install ## speak the contract to every stack that can run here
	@$(BIN)/gatebench check --all

pins: install ## renew every file of requirements/, and docs/stacks.md
	@$(BIN)/python -m gatebench.envs
	@$(BIN)/gatebench list --markdown > docs/stacks.md

update: pins ## the same, then see that every stack still keeps the contract
	@$(MAKE) --no-print-directory install check

wheel: install ## build the package
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist

clean: ## remove environments, caches, results and reports, but not the reference
	rm -rf .venv .envs dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find results reports -mindepth 1 -not -path 'results/reference*' -not -path 'results/power*' -not -name .gitkeep -delete
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
