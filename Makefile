# `make` prints this help. Every target does its own set-up in .venv.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint smoke train-release report clean

help: ## print this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# --no-compile: byte code of 6 GB that is mostly never imported takes longer than the download.
$(BIN)/.core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --editable .
	touch $@

$(BIN)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
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
	$(BIN)/python -m evaluate --checkpoint runs/smoke/last.ckpt --shards runs/smoke/data/validation.zarr --out runs/smoke/report
	$(BIN)/dsfunet factorize examples/cresol_benzene.h5 --plane hk1 -o runs/smoke/example.nxs --png --weights runs/smoke/last.ckpt

report: $(BIN)/.dev ## score the shipped weights on the release recipe's validation planes: report/
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --samples.train 0 --out data/validation
	$(BIN)/python -m evaluate --weights release --shards data/validation/validation.zarr --out report

train-release: $(BIN)/.dev ## make the release data set and train the release weights, from nothing
	$(BIN)/python -m simulate --config configs/simulate/release.yaml --out data/release
	$(BIN)/dsfunet fit --config configs/release.yaml
	$(BIN)/dsfunet export runs/release/last.ckpt --out runs/release/weights
	$(BIN)/python -m evaluate --checkpoint runs/release/weights --shards data/release/validation.zarr --out runs/release/report
	$(BIN)/python -m evaluate.card --weights runs/release/weights --log runs/release/csv/version_0 \
	  --store data/release/train.zarr --report runs/release/report/report.json

clean: ## remove what the commands made, not the environment
	rm -rf demo report runs data build dist
