# Everything a reader or developer runs; only Python >= 3.11, pip and make are needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SITE := _build/html

# The memory allocator keeps what it got: page faults cost up to a sixth of a training step.
MEMORY := MALLOC_TRIM_THRESHOLD_=100000000000 MALLOC_MMAP_THRESHOLD_=100000000000 MALLOC_MMAP_MAX_=0

# One point at a time is no work for two threads, least of all on a busy machine.
SINGLE := OMP_NUM_THREADS=1

# What `make experiments` compares.
WEIGHTS := experiments/weights
NETWORKS := seed0=$(WEIGHTS)/main-13M.safetensors seed1=$(WEIGHTS)/seed1-13M.safetensors \
	seed2=$(WEIGHTS)/seed2-13M.safetensors single=$(WEIGHTS)/single-writer.safetensors \
	shipped=handtraj/assets/weights.safetensors

.DEFAULT_GOAL := help
.PHONY: help install book serve test check format bench experiments train clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[book,test]'
	@touch $@

install: $(STAMP)  ## create .venv and install the package with all extras

book: $(STAMP)  ## build the site and print its path
	$(BIN)/python scripts/vendor.py
	$(BIN)/python scripts/drop_stale_cache.py
	$(SINGLE) $(BIN)/jupyter-book build . --all -W -n --keep-going
	@echo
	@echo "The book: $(abspath $(SITE))/index.html"

serve: book  ## build the site and serve it at http://localhost:8000
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory $(SITE)

test: check  ## everything: style, types, tests, every chapter executed
	$(SINGLE) $(BIN)/python -m pytest

check: $(STAMP)  ## style and types only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)  ## put the code into the project's format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: $(STAMP)  ## speed beside the plain loop, as ratios of one run
	$(MEMORY) $(BIN)/python benchmarks/bench.py

experiments: $(STAMP)  ## rerun all experiments: make experiments CORPUS=unipen.npz RUN=runs/seed1
	$(SINGLE) $(BIN)/python experiments/styles.py
	$(SINGLE) $(BIN)/python experiments/methods.py
	$(SINGLE) $(BIN)/python experiments/letters.py
	$(SINGLE) $(BIN)/python experiments/cause.py swaps
	$(SINGLE) $(BIN)/python experiments/cause.py ablations
	$(SINGLE) $(BIN)/python experiments/known_answer.py
	$(SINGLE) $(BIN)/python experiments/priming.py $(CORPUS)
	$(SINGLE) $(BIN)/python experiments/primes.py $(CORPUS)
	$(SINGLE) $(BIN)/python experiments/arrival.py $(CORPUS)
	$(SINGLE) $(BIN)/python experiments/networks.py emergence $(CORPUS) $(RUN)
	$(SINGLE) $(BIN)/python experiments/networks.py robustness $(CORPUS) $(NETWORKS)

train: $(STAMP)  ## train: make train CORPUS=unipen.npz OUT=runs/mine ARGS='--device cuda'
	$(MEMORY) $(BIN)/handtraj train $(CORPUS) -o $(OUT) $(ARGS)

clean:  ## remove what was built (not .venv, not data)
	rm -rf _build book/_static/vendor build dist .pytest_cache .mypy_cache .ruff_cache
	find handtraj tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
