# Simpul: the commands of a working day. Every target does all of its own set-up.
# Needs git, make and Python 3.11 or newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN   := .venv/bin
STAMP := .venv/.synced
# The rooms that exist: a new one is checked from its first day.
TYPED := $(wildcard cli node registry runtime security tests bench examples tools)
# Without compiled files every command that a test starts would compile all its modules anew.
unexport PYTHONDONTWRITEBYTECODE
# More arguments for pytest: make test ARGS="-k seal"
ARGS  ?=

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
	  | awk -F ':.*## ' '{ printf "  make %-10s %s\n", $$1, $$2 }'

# A stamp, so that a second run costs nothing.
$(STAMP): pyproject.toml uv.lock tools/setup.sh
	@tools/setup.sh
	@touch $@

.PHONY: setup
setup: $(STAMP) ## Make .venv from uv.lock

.PHONY: protos
protos: $(STAMP) ## Generate the Python code of protos/ anew
	$(BIN)/python tools/generate_protos.py
	$(BIN)/python -m examples.generate

.PHONY: format
format: $(STAMP) ## Format the Python code and the protos
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(BIN)/buf format -w
	$(BIN)/buf format -w examples/protos

.PHONY: check
check: $(STAMP) ## Everything that needs no running program: lint, types, protos, vectors, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/buf lint
	$(BIN)/buf lint examples/protos
	$(BIN)/buf format -d --exit-code
	$(BIN)/buf format -d --exit-code examples/protos
	@tools/check_breaking.sh
	$(BIN)/python tools/generate_protos.py --check
	$(BIN)/python -m examples.generate --check
	$(BIN)/python -m tools.generate_docs --check
	$(BIN)/python tools/build_dashboards.py --check
	PYTHONPATH=.:protos $(BIN)/python tests/conformance/build_vectors.py --check
	PYTHONPATH=.:protos $(BIN)/python tests/conformance/build_parcel_vectors.py --check
	PYTHONPATH=.:protos $(BIN)/python tests/conformance/build_evidence_vectors.py --check
	$(BIN)/zensical build --strict --config-file mkdocs.yml
	$(BIN)/python -m pytest -q tests/architecture

.PHONY: docs
docs: $(STAMP) ## Build the docs as a site, in build/site; a broken link fails
	$(BIN)/zensical build --strict --config-file mkdocs.yml

.PHONY: test
test: $(STAMP) ## Run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

.PHONY: interop
interop: $(STAMP) ## Run gRPC's own cases and the long tests of fidelity, and write the table anew
	$(BIN)/python -m pytest tests/interop -m "slow or not slow"
	PYTHONPATH=.:protos $(BIN)/python -m tests.interop.table > docs/reference/interop.md

.PHONY: chaos
chaos: $(STAMP) ## Kill nodes and journals 200 times, break lines, power, disk; a federation for an hour (SECONDS=600, ARGS="-k nodes")
	SIMPUL_CHAOS_ROUNDS=200 SIMPUL_CHAOS_SECONDS=$(or $(SECONDS),3600) $(BIN)/python -m pytest tests/chaos $(ARGS)

.PHONY: fuzz
fuzz: $(STAMP) ## Fuzz every parser for a while (ARGS="--seconds 600 entry note")
	@tools/setup.sh --group fuzz || echo "make fuzz: atheris can't be installed here"
	@PYTHONPATH=.:protos $(BIN)/python -m tests.fuzz.run $(ARGS)

.PHONY: demo
demo: $(STAMP) ## Start a registry and nodes, and exchange real data between them
	@$(BIN)/simpul demo run

.PHONY: bench
bench: $(STAMP) ## Measure a pair of nodes against what else one would use (ARGS=--quick, --long)
	@$(BIN)/python -m bench.run $(ARGS)

.PHONY: wheel
wheel: $(STAMP) ## Build the wheel into dist/: the same bytes each time
	$(BIN)/python -m hatchling build -t wheel

.PHONY: sbom
sbom: ## List every library with its version, in CycloneDX, as dist/simpul.cdx.json (needs uv)
	@mkdir -p dist
	uv export --quiet --frozen --no-dev --all-extras --format cyclonedx1.5 --output-file dist/simpul.cdx.json > /dev/null
	@echo "dist/simpul.cdx.json"

.PHONY: clean
clean: ## Remove .venv and every cache
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
