# Two commands do all: `make studio` and `make test`. Settings: PYTHON (interpreter), ARGS (flags for app.py),
# PIP_EXTRA (flags for pip), WORKERS (how many test files run at once).
PYTHON ?= python3
ARGS ?=
PIP_EXTRA ?=
WORKERS ?= 3
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(PIP_EXTRA)

.PHONY: setup studio test format lint unit chromium benchmarks clean

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, this is " + sys.version'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP_INSTALL) --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(PIP_INSTALL) --editable '.[test]'
	touch $@

studio: setup
	$(BIN)/python app.py $(ARGS)

test: chromium .venv/installed-test
	@$(MAKE) --no-print-directory --jobs=2 lint unit

lint: .venv/installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -m tools.lint_page

unit: .venv/installed-test
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

format: .venv/installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chromium:
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
	  && apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends chromium fonts-dejavu-core; } \
	  || { echo "The page's tests drive Chromium, and none is installed. Install it (Debian: sudo apt-get install chromium), then run make test again." >&2; exit 1; }

benchmarks: .venv/installed-test
	$(BIN)/python -m benchmarks.network --json
	$(BIN)/python -m benchmarks.overhead --json
	$(BIN)/python -m benchmarks.film --json
	$(BIN)/python -m benchmarks.ttt --json --no-compile
	-$(BIN)/python -m benchmarks.generation --json

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache screenshots
