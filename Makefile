# One line per target that is worth knowing; `make help` prints them.
# Everything happens in .venv, beside this file; stamps in it make repeated calls cost nothing.

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
STAMPS := $(VENV)/stamps
LOCKED := pyproject.toml constraints.txt
CONFIG ?= config/quickstart.toml
# Percent of lines and branches that the tests run at least; child processes are not counted.
FLOOR := 87

# The first Python that is new enough. `make PYTHON=python3.13 …` chooses another one.
PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$each" && break; done)

# The programs in a .venv know its full path, so one that was moved or copied is made anew.
is_at_home = grep -qsF '$(CURDIR)/$(VENV)' $(BIN)/activate
$(shell $(is_at_home) || rm -rf $(STAMPS))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup run test test-fast coverage reference bench bench-quick bench-overload bench-faults bench-scale bench-sim bench-zoo bench-scaling bench-scaling-long bench-scaling-live bench-shapes bench-zoo-live demo mutants lint types format lock clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-18s %s\n' "$$target" "$$text"; done

run: $(STAMPS)/run ## install what is needed and serve config/quickstart.toml (CONFIG=… for another file)
	@exec $(BIN)/gateway run "$(CONFIG)"

setup: $(STAMPS)/run ## install the gateway into .venv, without tools for development

test: $(STAMPS)/dev ## run all tests (ARGS="-k routing" for some)
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-fast: $(STAMPS)/dev ## unit tests and simulations only, a minute or two
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/unit tests/sim $(ARGS)

coverage: $(STAMPS)/dev ## all tests, with the share of lines and branches that they run
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=$(FLOOR) $(ARGS)

reference: $(STAMPS)/dev ## write config/reference.toml from the settings
	$(BIN)/python -m gateway.config.reference > config/reference.toml.new
	mv config/reference.toml.new config/reference.toml

bench: $(STAMPS)/bench ## measure beside other proxies; takes long, needs nginx and wrk
	@$(call need,nginx wrk taskset)
	$(BIN)/python -m benchmarks.path
	$(BIN)/python -m benchmarks.routing
	$(BIN)/python -m benchmarks.proxy $(ARGS)

bench-quick: $(STAMPS)/bench ## the same in short rounds, for orientation only
	@$(call need,nginx wrk taskset)
	$(BIN)/python -m benchmarks.proxy --quick $(ARGS)

bench-scale: $(STAMPS)/run ## what grows with endpoints, upstreams and workers; a minute (ARGS="--upstreams 100")
	$(BIN)/python -m benchmarks.scale $(ARGS)

bench-sim: $(STAMPS)/run ## the limits in virtual time, beside the best that could be set by hand (ARGS="--quick")
	$(BIN)/python -m benchmarks.sim $(ARGS)

bench-zoo: $(STAMPS)/run ## the default limit before services and loads of every scale, in virtual time (ARGS="--quick")
	$(BIN)/python -m benchmarks.zoo $(ARGS)

bench-scaling: $(STAMPS)/run ## scaling decisions beside other autoscalers in virtual time (ARGS="--traces DIR")
	$(BIN)/python -m benchmarks.scaling $(ARGS)

bench-scaling-long: $(STAMPS)/run ## the same where services take seconds, request by request (ARGS="--traces DIR")
	$(BIN)/python -m benchmarks.scaling_long $(ARGS)

bench-scaling-live: $(STAMPS)/run ## scaling decisions on real processes beside the same story simulated; 25 minutes (ARGS="--quick")
	$(BIN)/python -m benchmarks.scaling_live $(ARGS)

bench-overload: $(STAMPS)/bench ## goodput beside other proxies under overload; hours (ARGS="--quick --only steady-5")
	@$(call need,taskset)
	$(BIN)/python -m benchmarks.overload $(ARGS)

demo: $(STAMPS)/bench ## the same overload with gunicorn alone and with the gateway before it; a minute
	@$(call need,taskset)
	@mkdir -p build
	$(BIN)/python -m benchmarks.demo --plot build/demo.svg

bench-shapes: $(STAMPS)/bench ## event streams, WebSockets, slow clients, slow pages beside other proxies; 15 minutes (ARGS="--quick")
	@$(call need,taskset)
	$(BIN)/python -m benchmarks.zoo.shapes $(ARGS)

bench-zoo-live: $(STAMPS)/bench ## cells of the zoo on real time, beside other proxies; 25 minutes (ARGS="--quick")
	@$(call need,taskset)
	$(BIN)/python -m benchmarks.zoo.live $(ARGS)

bench-faults: $(STAMPS)/bench ## what clients see of bad endpoints, beside other proxies; 20 minutes (ARGS="--quick --only hang")
	@$(call need,haproxy nginx taskset)
	$(BIN)/python -m benchmarks.faults $(ARGS)

mutants: $(STAMPS)/dev ## small faults in the rooms that decide, which the tests must notice; 30 minutes (ARGS="--count 20 --rooms http")
	$(BIN)/python -m tests.mutants $(ARGS)

lint: $(STAMPS)/dev ## style, format, dependencies, import floors
	@failed=0; \
	for each in "ruff check --output-format concise ." "ruff format --check --output-format concise ." \
		"deptry . --no-ansi" "lint-imports --no-logo"; do \
		echo "$$each"; $(BIN)/$$each || failed=1; \
	done; exit $$failed

types: $(STAMPS)/dev ## mypy, strict
	$(BIN)/mypy

format: $(STAMPS)/dev ## bring everything into the common format
	$(BIN)/ruff check --select I --fix --quiet .
	$(BIN)/ruff format .

lock: ## choose the newest versions that pyproject.toml allows and write constraints.txt
	@$(python_or_stop)
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && \
	$(PYTHON) -m venv "$$fresh" && \
	"$$fresh/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev,bench]' && \
	{ echo "# The versions that are tested together. Written by: make lock"; \
	  "$$fresh/bin/python" -m pip freeze --exclude-editable | sed '$(PYTHON_SPLITS)'; } > "$$fresh/constraints.txt" && \
	cp "$$fresh/constraints.txt" constraints.txt
	@echo "constraints.txt: $$(grep -c == constraints.txt) versions"

clean: ## remove .venv and everything else that was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	rm -rf gateway.egg-info
	find gateway tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# httpbin asks for another greenlet from Python 3.12 on, so what is true here is said for 3.11 alone.
PYTHON_SPLITS := s/^greenlet==[0-2]\..*/&; python_version < "3.12"/

python_or_stop = test -n '$(PYTHON)' || { \
	echo "gateway needs Python 3.11 or newer, and none was found (python3 is $$(python3 --version 2>&1))"; exit 1; }
need = for each in $(1); do command -v "$$each" >/dev/null || { \
	echo "$$each is missing: apt-get install nginx-light haproxy wrk util-linux"; exit 1; }; done

# One that was begun and not finished has no pip; one whose Python is gone does not run.
$(STAMPS)/venv:
	@$(python_or_stop)
	@{ $(is_at_home) && $(BIN)/python -m pip --version >/dev/null 2>&1; } || \
		{ echo "making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(LOCKED) | $(STAMPS)/venv
	@echo "installing the gateway"
	@$(PIP) -e .
	@touch $@

$(STAMPS)/dev: $(LOCKED) | $(STAMPS)/venv
	@echo "installing the gateway and the tools for tests and checks"
	@$(PIP) -e '.[dev]'
	@touch $@ $(STAMPS)/run

$(STAMPS)/bench: $(LOCKED) | $(STAMPS)/venv
	@echo "installing the gateway and the proxies to measure beside it"
	@$(PIP) -e '.[bench]'
	@touch $@ $(STAMPS)/run
