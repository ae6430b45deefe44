# Everything is done inside .venv, which is made when it is missing, and brought up to date when
# pyproject.toml or constraints.txt changes. Settings, as in `make PYTHON=python3.12 test`:

PYTHON  ?= python3
VENV    ?= .venv
# One runtime only: `make EXTRAS=train,gpu,dev,docs` on a machine with an NVIDIA GPU.
EXTRAS  ?= train,cpu,dev,docs
DEMO    ?= examples/demo.py
# Processes for the tests (auto: one per core), and what else to hand to pytest.
WORKERS ?= auto
ARGS    ?=

BIN     := $(VENV)/bin
STAMP   := $(VENV)/.installed
PARTIAL := $(VENV)/.incomplete

.DEFAULT_GOAL := help
.PHONY: help demo test docs lint format wheel install clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP) ## adapt a metric, export it, compare photographs with it
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python $(DEMO)

# One thread per process: PyTorch would start one per core in each of them. Tests of one file stay
# in one process, so that what they share is made once.
test: $(STAMP) ## run the tests; make test ARGS='-k ranking'
	@OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} PATH="$(abspath $(BIN)):$$PATH" \
	    $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 \
	    --dist loadfile --no-loadscope-reorder $(ARGS)

docs: $(STAMP) ## build the documentation as a site, in build/site; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Built: build/site/index.html"

lint: $(STAMP) ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## put the code in shape, as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# With the Python of the machine: it needs nothing of .venv. The folder build/ of an earlier build
# would bring files into the wheel that no longer exist.
wheel: ## build a wheel into dist/, to install anywhere
	@rm -rf build dist/dps_toolkit-*.whl
	@$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@rm -rf build dps_toolkit.egg-info
	@echo "Try it: uvx --from '$$(ls dist/dps_toolkit-*.whl)[cpu]' dps-infer demo"

install: $(STAMP) ## make .venv, with everything in it

# An installation that was cut short leaves $(PARTIAL), and packages that pip takes for whole ones:
# the next call starts over.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "dps-toolkit needs Python 3.10 or newer, '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	        "Name another: make PYTHON=python3.12" >&2; exit 1; }
	@if [ -e $(PARTIAL) ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    echo "Making $(VENV) with $$($(PYTHON) --version)"; \
	    $(PYTHON) -m venv --clear $(VENV); \
	fi
	@rm -f $@ && touch $(PARTIAL)
	@echo "Installing .[$(EXTRAS)] into $(VENV) (at first: some minutes, and on Linux 6 GB, mostly PyTorch)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input \
	    --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@mkdir -p $(VENV)/mypy_path && ln -sfn ../../export $(VENV)/mypy_path/dps_export
	@rm -f $(PARTIAL) && touch $@
	@echo "Installed: $$(ls -d $(VENV)/lib/python*/site-packages/*.dist-info | wc -l) packages"

clean: ## remove what was built and cached; .venv and runs/ stay
	rm -rf build dist *.egg-info demo-output .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
