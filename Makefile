# Everything a fresh machine needs: `make run` starts the system, `make test` passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
ARGS ?=

.PHONY: run test test-long check format bench peers lock clean

run: $(VENV)/.run
	$(BIN)/phoenix up $(ARGS)

test: $(VENV)/.dev
	$(call passed,not long and)

test-long: $(VENV)/.dev
	$(call passed,)

# First what two processes can share out, file by file, in order; then, alone, what measures time. Both run, whatever
# the first says. ARGS="--numprocesses 0" leaves it to one process; 5 is pytest's "no test like this was asked for".
define passed
@side=0; alone=0; \
$(BIN)/pytest -m "$(1) not alone" --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS) || side=$$?; \
$(BIN)/pytest -m "$(1) alone" $(ARGS) || alone=$$?; \
case $$side,$$alone in 0,0 | 0,5 | 5,0) ;; *) exit 1 ;; esac
endef

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(ARGS)

# The other stores that benchmarks.recorders measures beside ours (PostgreSQL: Debian's package, too).
peers: $(VENV)/.dev
	$(PIP) --require-hashes -r requirements/peers.txt

# Pins every package with its hashes; run it after a change of the dependencies in pyproject.toml.
lock: $(VENV)/.base
	$(PIP) "uv>=0.9,<1"
	$(BIN)/uv pip compile -q pyproject.toml --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements/run.txt
	$(BIN)/uv pip compile -q pyproject.toml --group dev --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements/dev.txt
	$(BIN)/uv pip compile -q pyproject.toml --group peers --constraints requirements/dev.txt --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements/peers.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.base:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "Python 3.11 is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.base requirements/run.txt pyproject.toml
	$(PIP) --require-hashes -r requirements/run.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	$(PIP) --require-hashes -r requirements/dev.txt
	touch $@
