# `make` alone lists what there is. Everything runs in .venv, made from the locked dependencies.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help install install-dev tools demo serve viewer test test-long lint format bench lock sbom

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1|/' | column -t -s '|'

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	@echo "$(CURDIR)" > "$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])')/vna.pth"
	@printf '#!%s\nimport sys\nfrom vna.cli.main import main\nsys.exit(main())\n' "$(CURDIR)/$(BIN)/python" > $(BIN)/vna
	@chmod +x $(BIN)/vna
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(BIN)/python -m pip install -q --require-hashes -r requirements-dev.lock
	@touch $@

install: $(VENV)/.installed  ## the environment, from the lock file

install-dev: $(VENV)/.installed-dev  ## the same with what tests and checks need

tools:  ## what the tests talk to: DCMTK, Chromium, 7-Zip, Node, xmllint and dicom3tools from the system, npm's DICOMweb clients, SSLyze
	PYTHON=$(PYTHON) bash .ci/tools

demo: install  ## a running archive with sample studies; ONCE=1 ends when everything matched
	$(BIN)/vna demo $(if $(ONCE),--once)

serve: install  ## the same archive without samples
	$(BIN)/vna serve --dev

viewer: install  ## the OHIF viewer, served at /viewer
	$(BIN)/vna viewer install

test: install-dev tools  ## all tests
	$(PYTEST) -q -n $(JOBS) --dist worksteal -m "not long" tests

test-long: install-dev tools  ## the large sizes
	$(PYTEST) -q -m long tests

lint: install-dev  ## formatting, rules, types, floors and walls
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: install-dev  ## put the code in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install-dev tools  ## what is fast and what is not, beside the peers where they are installed
	$(BIN)/python -m tests.bench $(BENCH)

sbom: install  ## the software bill of materials (CycloneDX) in build/sbom.json
	@mkdir -p build
	$(BIN)/python -m vna.cli.sbom requirements.lock > build/sbom.json

lock: install-dev  ## compile the lock files anew
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -q pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -q --group dev pyproject.toml -o requirements-dev.lock
	echo "sslyze==6.3.*" | $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links -q - -o tests/conformance/sslyze.lock
