# Two commands do everything: `make up` and `make test`. Both can be repeated; what is done is not done again.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help up test test-long test-cluster test-helm lint format lock image clean

help:  ## Show what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

up:  ## Set everything up and run the hub; options: make up ARGS="--port 9000 --state DIR --simulate-gpus 4xA100"
	@setup/up $(ARGS)

test:  ## Set everything up and run linters, documentation and tests; some of them: make test ARGS="tests/core -k quota"
	@setup/test all $(ARGS)

test-long:  ## Set everything up and run races, simulation and benches
	@setup/test long $(ARGS)

test-cluster:  ## Run the tests that need a Kubernetes, on the one that KUBECONFIG names; setup/test says what they need
	@setup/test cluster $(ARGS)

test-helm:  ## Render the Zero to JupyterHub chart with helm-values/: make test-helm CHART=CHECKOUT-OF-THE-CHART
	@CHART="$(CHART)" setup/test helm $(ARGS)

lint:  ## Run the linters alone
	@setup/test lint

format:  ## Let ruff lay out the code
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

image:  ## Build the images that people work in
	@setup/prepare process
	.venv/bin/mlabhub image build

lock:  ## Write the lock files anew with the newest versions
	setup/lock

clean:  ## Remove what set-up and tests made in this folder; images and state folders stay
	rm -rf .venv .node .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache site *.egg-info extensions/lab/labextension
