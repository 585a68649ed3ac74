# Two commands do everything on a fresh machine: `make demo` and `make test`. The rest is for working on the code.
.DEFAULT_GOAL := help
PYTEST_ARGS ?=
BENCH_ARGS ?=
E2E_ARGS ?=
MODEL ?= qwen2.5-coder-0.5b
PORT ?= 9200
export PYTHON
# Modules are compiled once, as on a user's machine, also where the environment forbids it: tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test lint format check bench bench-attribution reliability extension extension-test e2e elasticsearch wheels constraints clean install-run install-dev

help: ## This list.
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install-run:
	@.ci/install run

install-dev:
	@.ci/install dev

demo: install-run ## Completions in the terminal, by a model of 491 MB that is fetched once. MODEL=starter fetches none.
	@model='$(MODEL)'; [ "$$model" = starter ] || .venv/bin/starcoder-lsp model get "$$model" >/dev/null || \
		{ echo "The bundled model, starter, plays instead of $$model." >&2; model=starter; }; \
	.venv/bin/python -I -m lsp.demo --model "$$model"

test: install-dev ## The tests, side by side. PYTEST_ARGS="-n 0 -k fim" chooses some.
	@.venv/bin/python -m pytest -n auto $(PYTEST_ARGS)

lint: install-dev ## Formatting, ruff, mypy --strict and the import order.
	@.venv/bin/ruff format --check --quiet . || { echo 'not formatted; run: make format'; exit 1; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

format: install-dev ## Format and mend what ruff can mend.
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format .

check: lint extension-test test ## All of it; what continuous integration runs.

bench: install-dev ## 300 keystrokes here, some of them in transformers too, same weights, in turns. BENCH_ARGS="--json"
	@.venv/bin/python -m benchmarks.keystroke $(BENCH_ARGS)

reliability: install-dev ## Attack the product; docs/reliability.md has the parts. RELIABILITY_ARGS="secrets --seed 7"
	@.venv/bin/python -m tests.reliability $(RELIABILITY_ARGS)

bench-attribution: install-dev ## Attribution on 200 MB: build, disk, speed, answers, beside full-text search. BENCH_ARGS="--docs"
	@.venv/bin/python -m benchmarks.attribution $(BENCH_ARGS)

extension: extension/node_modules/.installed ## The Visual Studio Code extension, with the server in it: dist/starcoder.vsix.
	@rm -rf extension/server && mkdir -p extension/server dist && cp constraints.txt extension/server/
	@$(MAKE) --no-print-directory install-dev && .venv/bin/uv build --quiet --sdist --no-create-gitignore --out-dir extension/server .
	@cd extension && npm run --silent package -- --out ../dist/starcoder.vsix

extension-test: extension/node_modules/.installed ## The extension's types, lint and unit tests.
	@cd extension && npm run --silent check

e2e: extension ## VS Code in a browser with the extension, the server and the bundled model. E2E_ARGS="--only=stream --pictures --measure"
	@tools=$$(extension/e2e/install) && "$$tools/node" extension/e2e/main.ts $(E2E_ARGS)

extension/node_modules/.installed: extension/package-lock.json
	@command -v npm >/dev/null || { echo 'npm is missing; install Node.js 20 or newer' >&2; exit 1; }
	@cd extension && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

wheels: install-dev ## A wheel for each platform in dist/, cross-compiled here; Linux only.
	@.venv/bin/pip install --quiet --constraint constraints.txt auditwheel setuptools twine ziglang
	@.venv/bin/python .ci/wheels.py
	@.venv/bin/auditwheel show dist/*manylinux*_x86_64.whl
	@.venv/bin/twine check dist/*.whl

elasticsearch: install-dev ## A real Elasticsearch without Docker, until Ctrl+C; needs Java and Maven. PORT=9201
	@.venv/bin/python -m tests.attribution.elasticsearch_server --port $(PORT)

constraints: install-dev ## Pin what pyproject.toml asks for anew.
	@.venv/bin/uv pip compile --universal --python-version 3.11 --all-extras --strip-extras --no-annotate --quiet \
		--custom-compile-command 'make constraints' --upgrade pyproject.toml --output-file constraints.txt

clean: ## Remove what make made, the environment included.
	rm -rf extension/node_modules extension/out extension/server
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist ./*.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -exec rm -rf {} +
