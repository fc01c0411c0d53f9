# `make demo` and `make test` are the two commands of the README. Both build .venv first: Python,
# make and a package index are all they need, and a second run finds it ready.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow test-all lint format clean

PYTHON ?= python3
# Where torch comes from, if not from pip's usual index: PyTorch's index of CPU builds spares
# machines without a GPU several GB.
TORCH_INDEX ?=
# More arguments for pytest: make test ARGS="tests/test_record.py -k locus"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# Two OpenMP jobs on two cores stall each other: one thread for each test process.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
RUN := runs/quickstart
# All cores, but waiting threads sleep instead of spinning: 60 steps of the demo took 15 s so, and
# more than 250 s without, on two cores that other programs used too.
HFBIO := OMP_WAIT_POLICY=passive HF_HUB_OFFLINE=1 $(BIN)/hfbio

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
	@echo
	@echo "  PYTHON=python3.12   another Python, 3.11 or newer"
	@echo "  TORCH_INDEX=URL     draw torch from there; PyTorch's index of CPU builds is small"
	@echo "  ARGS='-k locus'     more arguments for pytest"

demo: $(VENV)/demo.ready ## fine-tune a small antibody model and design with it; no GPU, no Hub
	$(HFBIO) finetune quickstart --output_dir $(RUN)
	$(HFBIO) sample $(RUN) --num 32 --isotype IGHG --seed 0 \
	  --reference $(RUN)/data/train.parquet --output $(RUN)/designs.fasta
	@echo
	@echo "$(RUN)/               the tuned model; hfbio.load(\"$(RUN)\") reads it"
	@echo "$(RUN)/report.html    base and tuned model on held-out clones, by region"
	@echo "$(RUN)/designs.fasta  32 new IgG heavy chains"
	@echo "Next:  $(BIN)/hfbio sample $(RUN) --num 8 --isotype IGHM --output igm.fasta"
	@echo "       $(BIN)/hfbio finetune quickstart --data YOUR.tsv --output_dir runs/mine"

test: $(VENV)/dev.ready ## run the default tests
	$(PYTEST) $(ARGS)

# By file: a module whose tests share a training must not train on both workers. pytest exits with
# 5 where ARGS selects no slow test.
test-slow: $(VENV)/dev.ready
	$(PYTEST) --dist loadfile -m slow $(ARGS) || [ $$? -eq 5 ]

test-all: test test-slow ## run all tests, the slow ones last

lint: $(VENV)/dev.ready ## check style, types and the rooms
	@status=0; \
	for check in "ruff check ." "ruff format --check ." "mypy" "lint-imports --no-logo"; do \
	  echo "$$check"; $(BIN)/$$check || status=1; \
	done; exit $$status

format: $(VENV)/dev.ready ## mend style where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove .venv, caches and builds; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find hfbio recipes space tests -name __pycache__ -prune -exec rm -rf {} +

# The dev extra holds all that the demo needs.
$(VENV)/demo.ready: EXTRAS := demo
$(VENV)/demo.ready: READY := demo.ready
$(VENV)/dev.ready: EXTRAS := dev
$(VENV)/dev.ready: READY := demo.ready dev.ready

# `.unfinished` stays behind where an install was cut off: what pip left is not worth mending. An
# install that failed is: pip undoes its own half steps.
# torch comes first and alone, so that TORCH_INDEX has to serve no other package; the build
# backend comes with it, so that it is pinned too.
$(VENV)/demo.ready $(VENV)/dev.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "There is no '$(PYTHON)'. Name a Python: make PYTHON=/path/to/python3.12 ..." >&2; \
	  exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "hfbio needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@if [ -e $(VENV)/.unfinished ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf $(VENV); \
	  $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo "On Debian and Ubuntu, install the package python3-venv first." >&2; exit 1; }; \
	fi
	@touch $(VENV)/.unfinished
	$(PIP) --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch \
	  && $(PIP) hatchling editables \
	  && $(PIP) --no-build-isolation --editable '.[$(EXTRAS)]' \
	  || { rm -f $(VENV)/.unfinished; exit 1; }
	@cd $(VENV) && touch $(READY) && rm -f .unfinished
