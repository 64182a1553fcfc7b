# make demo: draw "gold" with the bundled model.   make test: everything CI checks.
# Both need Python 3.11 or newer and pip; each makes .venv and installs into it what it needs.

PYTHON ?= python3
BIN := .venv/bin
# Two test processes of one thread each: tiny models gain nothing from threads.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

# Tests open the guide's pages in a Chromium or Chrome. Root on Debian gets one; elsewhere those tests are skipped.
CHROMIUMS := chromium chromium-browser google-chrome google-chrome-stable microsoft-edge chrome
HAS_CHROMIUM := ( for name in $(CHROMIUMS); do command -v $$name >/dev/null && exit 0; done; exit 1 )

.PHONY: demo test lint format browser release clean

demo: .venv/demo.installed
	$(BIN)/glyffuser sample "gold" --out out
	@echo "Open out/gold-0.png to see 16 new glyphs for gold."

test: lint browser
	GLYFFUSER_BROWSER=$$( $(HAS_CHROMIUM) && echo required ) $(PYTEST)

lint: .venv/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

browser:
	@$(HAS_CHROMIUM) || { [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; } || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; }
	@$(HAS_CHROMIUM) || echo "No Chromium or Chrome here: the tests that open the guide's pages will be skipped."

release: .venv/dev.installed
	$(BIN)/pip install --quiet "build>=1.2" "twine>=6"
	$(BIN)/python tools/release.py

format: .venv/dev.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/demo.installed: pyproject.toml | .venv
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/dev.installed: pyproject.toml | .venv
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@ .venv/demo.installed

.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "glyffuser needs Python 3.11 or newer; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv

clean:
	rm -rf .venv build dist *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
