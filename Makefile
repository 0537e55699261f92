# `make` prints this help. Every target does its own set-up in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint smoke example benchmark half-hour train-release train-release-cpu clean clean-all
# One environment, few cores: targets take turns even under make -j.
.NOTPARALLEL:

help: ## print this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# --no-compile: byte code of 6 GB that is mostly never imported takes longer than the download.
$(BIN)/.core: pyproject.toml
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

$(BIN)/.dev: pyproject.toml
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	touch $@ $(BIN)/.core

demo: $(BIN)/.core ## factorise the example plane: demo/example.nxs and demo/example.png
	mkdir -p demo
	$(BIN)/dsfunet factorize examples/cresol_benzene.h5 --plane hk1 -o demo/example.nxs --png

test: $(BIN)/.dev ## all tests
	$(BIN)/python -m pytest

lint: $(BIN)/.dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

smoke: $(BIN)/.dev ## simulate, fit, evaluate, factorise: the whole path in under two minutes on two cores
	rm -rf runs/smoke
	$(BIN)/python -m simulate --config configs/simulate/smoke.yaml --out runs/smoke/data
	$(BIN)/dsfunet fit --config configs/smoke.yaml
	$(BIN)/python -m evaluate --checkpoint runs/smoke/last.ckpt --shards runs/smoke/data/validation.zarr --out runs/smoke/report \
	  --curve-samples 8 --uncertainty-samples 4
	$(BIN)/dsfunet factorize examples/cresol_benzene.h5 --plane hk1 -o runs/smoke/example.nxs --png --weights runs/smoke/last.ckpt

example: $(BIN)/.dev ## three crystals and 300 lattices found again: example/, a quarter of an hour
	mkdir -p example
	$(BIN)/python -m examples.worked --out example/crystals --page docs/examples.md
	$(BIN)/python -m simulate --config configs/simulate/benchmark.yaml --out data/benchmark
	$(BIN)/python -m evaluate lattices --shards data/benchmark/validation.zarr --samples 300 --out example/lattices

benchmark: $(BIN)/.dev ## make the fixed benchmark planes and score the shipped weights on 4,096 of them: report/, a quarter of an hour
	$(BIN)/python -m simulate --config configs/simulate/benchmark.yaml --out data/benchmark
	$(BIN)/python -m evaluate --weights release --shards data/benchmark/validation.zarr --samples 4096 \
	  --training-shards data/benchmark/train.zarr --out report

# What a finished run is worth: its weights, scored on the benchmark's planes, and their card.
define score
	$(BIN)/dsfunet export $(1)/last.ckpt --out $(1)/weights
	$(BIN)/python -m simulate --config configs/simulate/benchmark.yaml --out data/benchmark
	$(BIN)/python -m evaluate --checkpoint $(1)/weights --shards data/benchmark/validation.zarr --samples 4096 \
	  --training-shards data/benchmark/train.zarr --out $(1)/report
	$(BIN)/python -m evaluate card --weights $(1)/weights --checkpoint $(1)/last.ckpt --log $(1)/csv \
	  --report $(1)/report/report.json
endef

train-release: $(BIN)/.dev ## on a GPU: make the release data set, train the release weights in ten minutes, score them
	$(BIN)/python -c "import torch, sys; torch.cuda.is_available() or sys.exit('found no GPU: make train-release-cpu trains without')"
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --samples.train 65536 --out data/release_gpu
	$(BIN)/dsfunet fit --config configs/release_gpu.yaml --ckpt_path last
	$(call score,runs/release_gpu)

train-release-cpu: $(BIN)/.dev ## the same networks on two cores: less data, 100 minutes; run again, it goes on where it was
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --out data/release
	$(BIN)/dsfunet fit --config configs/release.yaml --ckpt_path last
	$(call score,runs/release)

half-hour: $(BIN)/.dev ## thirty minutes of the release recipe, and their curve: runs/half_hour/curve.png
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --out data/release
	mkdir -p runs/half_hour
	sed 's/budget_minutes: [0-9]*/budget_minutes: 30/' configs/release.yaml > runs/half_hour/config.yaml
	$(BIN)/dsfunet fit --config runs/half_hour/config.yaml --run runs/half_hour --trainer.val_check_interval 0.04 --ckpt_path last
	$(BIN)/python -m evaluate curve runs/half_hour/csv -o runs/half_hour/curve.png

clean: ## remove demo, reports and builds
	rm -rf demo example report report.parts build dist runs/smoke

clean-all: clean ## also data sets, training runs and the environment
	rm -rf data runs $(VENV)
