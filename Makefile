# Each target does its own set-up: Python 3.11 or newer and make are all it needs.
PYTHON ?= python3
VENV := .venv
export PYTHONDONTWRITEBYTECODE :=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade
QUESTION := --system h800 --model deepseek-v3 --tpot-ms 50 --accept-length 1.7 --gap-ms 15
FAST := tests/physics tests/known_values tests/catalogue tests/simulation tests/analysis/listing tests/test_api.py tests/test_parity.py \
  tests/test_questions.py tests/test_nomenclature.py tests/test_units.py
QUESTIONS ?= 20000
FILES ?= 5000
SEEDS ?= 1
COMPARED := --model deepseek-v3 --tpot-ms 50

.PHONY: demo test test-fast lint docs site bench fuzz fuzz-tenth performance clean
.DEFAULT_GOAL := demo

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	@$(PIP) "pip>=26.2" uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . --group dev 2>/dev/null \
	  || $(PIP) --editable . --group dev
	@touch $@

demo: $(READY)  ## answer the main question on the shipped catalogues, with a report and pictures
	@mkdir -p demo
	$(BIN)/roofline-afd compare --system h800 $(COMPARED) --format table
	$(BIN)/roofline-afd compare --system gb200-nvl72 $(COMPARED) --format table
	$(BIN)/roofline-afd roofline $(QUESTION) --ffn-nodes 1:10,16,32,40 --format table
	$(BIN)/roofline-afd plot roofline $(QUESTION) --output demo/roofline.html --force
	$(BIN)/roofline-afd plot dead-zone $(QUESTION) --output demo/dead-zone.html --force
	$(BIN)/roofline-afd plot afd-vs-ep --system h800 $(COMPARED) --output demo/afd-vs-ep.html --force
	$(BIN)/roofline-afd plot afd-vs-ep --system gb200-nvl72 $(COMPARED) --output demo/afd-vs-ep-gb200.html --force
	$(BIN)/roofline-afd plot hfu-map --system h800 $(COMPARED) --max-devices 128 --output demo/hfu-map.html --force
	$(BIN)/roofline-afd plot breakdown --system h800 $(COMPARED) --output demo/breakdown.html --force
	$(BIN)/roofline-afd procure --systems h200,b200,gb200-nvl72,mi355x --model deepseek-v3 --requests-per-s 200 --isl 4096 --osl 1024 --prefix-hit .5 --ttft-p95-ms 2000 --tpot-p95-ms 50 --format table
	$(BIN)/roofline-afd report --systems h200,b200,gb200-nvl72,mi355x $(COMPARED) --demand 1e6 --output demo/report.html --force
	$(BIN)/roofline-afd plot pareto --system h800 $(COMPARED) --workload chat --devices 32 --output demo/pareto.html --force

test: $(READY)  ## lint, types, and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy & types=$$!; $(BIN)/pytest --numprocesses auto; tests=$$?; wait $$types && exit $$tests

test-fast: $(READY)  ## lint, and the tests that search nothing: a first answer while one writes
	$(BIN)/ruff check .
	$(BIN)/pytest --numprocesses auto $(FAST)

lint: $(READY)  ## mend what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## write the generated pages of docs/, and the answers in those written by hand
	$(BIN)/python docs/generate.py

site: $(READY)  ## make the site of the documentation in build/site, to be read from the disk
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(READY)  ## measure speed and memory
	$(BIN)/pytest benchmarks --benchmark-enable --benchmark-json=benchmarks/.measured.json
	$(BIN)/python benchmarks/table.py benchmarks/.measured.json

fuzz: $(READY)  ## ask random questions and read hostile files, and write docs/robustness.md: 25 minutes on two cores
	$(BIN)/python -m tests.fuzz --questions $(QUESTIONS) --files $(FILES) --seeds $(SEEDS) --write

fuzz-tenth: $(READY)  ## a tenth of it, with a seed that stays and that of the day
	$(BIN)/python -m tests.fuzz --questions 2000 --files 500 --seeds 1,$$(date -u +%Y%m%d)

performance: $(READY)  ## measure how sweeps scale, and write docs/performance.md
	$(BIN)/python benchmarks/sweeps.py

clean:
	rm -rf $(VENV) demo build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
