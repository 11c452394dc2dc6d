# `make` lists the tasks. Each sets up what it needs; the second time that takes no time.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
WORKERS ?= 3
SAMPLE ?= tests/fixtures/platform
SAMPLE_ENV ?= production
FUZZ_SECONDS ?= 60

VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
BIN := .venv/bin
READY := .venv/.ready-$(VERSION)
export DEBIAN_FRONTEND = noninteractive
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test exhaustive lint format bench fuzz docs clean setup machine programs

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables: PYTHON=$(PYTHON) WORKERS=$(WORKERS) SAMPLE=$(SAMPLE) FUZZ_SECONDS=$(FUZZ_SECONDS)"

demo: $(READY) ## rehearse a sample platform, then remove a whole cluster and kill a pod: how fast does it come back?
	@mkdir -p build/demo; $(BIN)/dr cluster prepare > build/demo/prepare.out 2> build/demo/prepare.log & echo $$! > build/demo/prepare.pid
	$(BIN)/dr plan $(SAMPLE) --env $(SAMPLE_ENV)
	@echo "$(BIN)/dr lint $(SAMPLE)"; code=0; $(BIN)/dr lint $(SAMPLE) || code=$$?; \
	case $$code in 0) ;; 1) echo "(exit code 1: there are findings, and the sample is meant to have some)" ;; *) exit $$code ;; esac
	@$(BIN)/dr graph $(SAMPLE) --env $(SAMPLE_ENV) -o html > build/demo/graph.html
	@echo "The graph, for a browser: $(CURDIR)/build/demo/graph.html"
	@tail -n +1 --pid=$$(cat build/demo/prepare.pid) -f build/demo/prepare.log 2>/dev/null || true
	@$(BIN)/dr cluster prepare
	$(BIN)/dr rehearse $(SAMPLE) --env $(SAMPLE_ENV) --reports build/demo/reports
	$(BIN)/dr gameday run experiments/gamedays/pod-kill.yaml --reports build/demo/reports
	$(BIN)/dr gameday run experiments/gamedays/whole-cluster.yaml --reports build/demo/reports

test: $(READY) machine programs ## all tests; PYTHON=python3.12 chooses the interpreter
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests

exhaustive: $(READY) programs ## what `make test` tries for some cases only, for all of them (a quarter of an hour)
	@$(BIN)/python -m pytest -n 0 -m exhaustive tests

programs: $(READY)
	@$(BIN)/dr cluster prepare

lint: $(READY) ## ruff, mypy in strict mode, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY) ## what ruff can put right by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## speed against kubectl, inferred against declared order, rules for many runs, forklifts, herds, page (over an hour)
	$(BIN)/python -m bench.graph
	$(BIN)/python -m bench.order
	$(BIN)/python -m bench.restore
	$(BIN)/python -m bench.stats
	$(BIN)/python -m bench.forklift
	$(BIN)/python -m bench.moves
	$(BIN)/python -m bench.herd
	$(BIN)/python -m bench.history
	$(BIN)/python -m bench.serve
	$(BIN)/python -m bench.timing

fuzz: $(READY) ## feed broken input to the loader for FUZZ_SECONDS
	@$(BIN)/python -m pip install -e '.[fuzz]'
	$(BIN)/python -m bench.fuzz_loader --seconds $(FUZZ_SECONDS)

docs: $(READY) ## write docs/reference from the code
	@[ -f docs/reference.py ] || { echo "there is no docs/reference.py yet: nothing to write"; exit 1; }
	$(BIN)/python docs/reference.py

clean: ## remove the environment and everything built
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(READY) ## the virtual environment only

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo "$(PYTHON) is missing or older than Python 3.11: make PYTHON=python3.12 …"; exit 1; }
	@command -v git >/dev/null || { echo "git is missing: install it first"; exit 1; }
	@echo "Setting up .venv with Python $(VERSION): a minute or two, once"
	@$(PYTHON) -m venv --clear .venv \
	|| { echo "$(PYTHON) -m venv failed: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -e '.[dev]'
	@touch $@

# The tests of the HTML need a browser, those of data a PostgreSQL, those of timers systemd's own checker. Where one
# cannot be installed they are skipped, and say so; in CI they fail.
machine:
	@need() { package=$$1 whose=$$2; shift 2; \
	  for program in "$$@"; do command -v "$$program" >/dev/null && return; done; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing $$package for the tests of $$whose: a minute or two, once"; \
	    { apt-get update -q && apt-get install -y -q --no-install-recommends "$$package"; } && return; \
	  fi; \
	  echo "No $$package here: the tests of $$whose will be skipped; in CI they fail"; }; \
	need chromium "the HTML" chromium chromium-browser google-chrome; \
	need postgresql "data that moves" initdb /usr/lib/postgresql/*/bin/initdb; \
	need systemd "timers" systemd-analyze
