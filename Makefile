# Two commands matter: `make run` and `make test`. Both set up .venv from the lock file first.

PYTHON ?= python3
VENV   := .venv
READY  := $(VENV)/.ready

.PHONY: run test check lock bench clean

run: $(READY)
	$(VENV)/bin/python -m harness run

test: $(READY)
	$(VENV)/bin/python -m pytest -n auto --dist worksteal

check: $(READY)
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/lint-imports --no-cache

bench: $(READY)
	for figure in static catalog truth_table hazards deploy fill fill_peers fill_pgbench fill_whole load metrics; do \
	    $(VENV)/bin/python -m benchmarks.$$figure || exit; done

# A half-made environment has no stamp, so the next make finishes it.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Python 3.11 or later is needed; name one with make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --editable .
	@touch $@

lock: $(READY)
	$(VENV)/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --group dev \
	    --generate-hashes --no-strip-extras --no-emit-index-url --no-header --output-file requirements.lock \
	    pyproject.toml

clean:
	rm -rf $(VENV) harness-report
