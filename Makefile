# Needs python3.11 (or newer) with venv and pip, and nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

# Compiled modules are kept, wherever somebody's environment says otherwise: a dozen processes start here, again and again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: up test check soak interop bench released lock venv

up: venv
	$(BIN)/anamnesis up --demo small

# As many at a time as there are cores, each with a Postgres of its own; what insists on a certain load comes first and alone.
test: venv
	$(BIN)/pytest tests/test_faults.py
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/test_faults.py

check: venv
	$(BIN)/ruff check
	$(BIN)/mypy

soak: venv
	$(BIN)/pytest -m soak --timeout 0

# Clients of other makes, against the real server: needs node and npm.
interop: venv
	$(BIN)/pytest -m interop

bench: venv
	$(BIN)/anamnesis bench

# When a version is tagged: from now on no event may break a reader of this one.
released: venv
	$(BIN)/python -m tests.laws.released

venv: .venv/ready

.venv/ready: requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url

# Raises every version to the newest that fits. Needs uv.
lock:
	$(LOCK) --upgrade -o requirements.txt
	$(LOCK) --upgrade --extra dev -c requirements.txt -o requirements-dev.txt
