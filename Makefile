# `make` prints its targets. Each of them sets up .venv by itself, so any of them can be the first.
#   make demo PYTHON=/opt/python/bin/python3.12   use this Python instead of the first suitable one on PATH
#   make demo UV=                                 install with pip even where uv is on PATH
#   make test WORKERS=8                           number of test processes; one for each core by default
PYTHON ?=
UV ?= $(shell command -v uv 2>/dev/null)
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint docs docs-serve smoke example benchmark train-release train-release-cpu half-hour clean clean-all
# One environment, few cores: targets run one after another even under make -j.
.NOTPARALLEL:

help: ## print this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 20

# Make .venv, unless it is there and works. Each candidate is run, not just looked up: a pyenv shim can be on PATH
# and not run. One that has no ensurepip (Debian keeps it in a package of its own) cannot make an environment.
CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3
define environment
@$(BIN)/python $(if $(UV),-c 'import sys',-m pip --version) >/dev/null 2>&1 || { \
  named='$(PYTHON)'; found=; incomplete=; \
  if [ -n "$$named" ]; then set -- "$$named"; else set -- $(CANDIDATES); fi; \
  for candidate do \
    "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
    if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$candidate; break; fi; \
    incomplete=$${incomplete:-$$candidate}; \
  done; \
  if [ -z "$$found" ]; then \
    if [ -n "$$incomplete" ]; then \
      echo "$$incomplete: this Python has no venv module; install it (Debian, Ubuntu: apt install python3-venv)"; \
    elif [ -n "$$named" ]; then \
      echo "PYTHON=$$named: this is not a Python 3.11 or newer that runs; name another"; \
    else \
      echo "found no Python 3.11 or newer (tried: $(CANDIDATES)); install one, or name it with PYTHON=/path/to/python3"; \
    fi >&2; \
    exit 1; \
  fi; \
  "$$found" -m venv --clear $(VENV); \
}
endef

# --no-compile: compiling 6 GB of packages, most of which are never imported, takes longer than downloading them.
# uv does not compile either, and took 57 s for what takes pip 166 s (all packages on disk, two busy cores).
define install
$(if $(UV),'$(UV)' pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --no-compile) --editable '$(1)'
endef

$(BIN)/.core: pyproject.toml
	$(environment)
	$(call install,.)
	@touch $@

$(BIN)/.dev: pyproject.toml
	$(environment)
	$(call install,.[dev])
	@touch $@ $(BIN)/.core

demo: $(BIN)/.core ## factorise the example plane: demo/example.nxs and demo/example.png
	mkdir -p demo
	$(BIN)/dsfunet factorize examples/cresol_benzene.h5 --plane hk1 -o demo/example.nxs --png

# One thread a process: test processes already fill the cores.
test: $(BIN)/.dev ## all tests, in parallel
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

test-fast: $(BIN)/.dev ## the tests of up to about a second each; under two minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow"

lint: $(BIN)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The theme's notice about mkdocs 2 is turned off: pyproject.toml keeps mkdocs below 2.
docs: $(BIN)/.dev ## build the documentation in site/, without a network; every warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(BIN)/.dev ## show the documentation in a browser while you edit it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

smoke: $(BIN)/.dev ## simulate, train, evaluate and factorise on a small scale; two minutes on two cores
	rm -rf runs/smoke
	$(BIN)/python -m simulate --config configs/simulate/smoke.yaml --out runs/smoke/data
	$(BIN)/dsfunet fit --config configs/smoke.yaml
	$(BIN)/python -m evaluate --checkpoint runs/smoke/last.ckpt --shards runs/smoke/data/validation.zarr --out runs/smoke/report \
	  --curve-samples 8 --uncertainty-samples 4
	$(BIN)/dsfunet factorize examples/cresol_benzene.h5 --plane hk1 -o runs/smoke/example.nxs --png --weights runs/smoke/last.ckpt

example: $(BIN)/.dev ## three worked crystals and the lattice study: example/; 15 minutes
	mkdir -p example
	$(BIN)/python -m examples.worked --out example/crystals --page docs/examples.md
	$(BIN)/python -m simulate --config configs/simulate/benchmark.yaml --out data/benchmark
	$(BIN)/python -m evaluate lattices --shards data/benchmark/validation.zarr --samples 300 --out example/lattices

benchmark: $(BIN)/.dev ## score the shipped weights on the 4,096 benchmark planes: report/; 17 minutes
	$(BIN)/python -m simulate --config configs/simulate/benchmark.yaml --out data/benchmark
	$(BIN)/python -m evaluate --weights release --shards data/benchmark/validation.zarr --samples 4096 \
	  --training-shards data/benchmark/train.zarr --out report

# Export the weights of a finished run, score them on the benchmark planes, and write their model card.
define score
	$(BIN)/dsfunet export $(1)/last.ckpt --out $(1)/weights
	$(BIN)/python -m simulate --config configs/simulate/benchmark.yaml --out data/benchmark
	$(BIN)/python -m evaluate --checkpoint $(1)/weights --shards data/benchmark/validation.zarr --samples 4096 \
	  --training-shards data/benchmark/train.zarr --out $(1)/report
	$(BIN)/python -m evaluate card --weights $(1)/weights --checkpoint $(1)/last.ckpt --log $(1)/csv \
	  --report $(1)/report/report.json
endef

train-release: $(BIN)/.dev ## on a GPU: make the release data set, train the shipped weights and score them
	$(BIN)/python -c "import torch, sys; torch.cuda.is_available() or sys.exit('found no GPU; use make train-release-cpu')"
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --samples.train 65536 --out data/release_gpu
	$(BIN)/dsfunet fit --config configs/release_gpu.yaml --ckpt_path last
	$(call score,runs/release_gpu)

train-release-cpu: $(BIN)/.dev ## train the same networks without a GPU on less data; 100 minutes; run it again to resume
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --out data/release
	$(BIN)/dsfunet fit --config configs/release.yaml --ckpt_path last
	$(call score,runs/release)

half-hour: $(BIN)/.dev ## train the release networks for 30 minutes on a CPU and draw the curve: runs/half_hour/
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --out data/release
	mkdir -p runs/half_hour
	sed 's/budget_minutes: [0-9]*/budget_minutes: 30/' configs/release.yaml > runs/half_hour/config.yaml
	$(BIN)/dsfunet fit --config runs/half_hour/config.yaml --run runs/half_hour --trainer.val_check_interval 0.04 --ckpt_path last
	$(BIN)/python -m evaluate curve runs/half_hour/csv -o runs/half_hour/curve.png

clean: ## remove the demo, reports, builds and the documentation site
	rm -rf demo example report report.parts build dist site runs/smoke

clean-all: clean ## also remove data sets, training runs and the environment
	rm -rf data runs $(VENV)
