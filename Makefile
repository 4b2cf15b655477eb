# Every chore is one word. `make` alone lists them.

# The interpreter that makes .venv; after that .venv's own is used.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)

# How often `make faults` repeats, and how long `make soak` goes on.
N := 1
MINUTES := 10

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	--no-annotate --python-version 3.11 pyproject.toml

# For every chore here; a production server is started without make.
export CONSTRUCT_ENVIRONMENT := development

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo admin test faults soak bench check format audit docs lock clean

help: ## List the chores
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/installed-run ## Serve on http://127.0.0.1:3000 (HOST, PORT, DATABASE_URL, REDIS_URL change that)
	@$(BIN)/python manage.py serve --migrate

demo: $(VENV)/installed-run ## Let two accounts talk through the running server, or through one of its own
	@$(BIN)/python manage.py demo

admin: $(VENV)/installed-run ## Create a superuser, who may do everything in /admin/
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py createsuperuser

test: $(VENV)/installed-dev ## Run every test, also on PostgreSQL and Valkey (ARGS="-k word" selects)
	@$(BIN)/python -m tests.browser.chromium
	@$(BIN)/python -m tests.run $(ARGS)

faults: $(VENV)/installed-dev ## Kill things under load and count what was lost, at full size (N=10 times in a row)
	@for round in $$(seq $(N)); do \
		echo "Round $$round of $(N)"; \
		$(BIN)/python -m pytest -q tests/faults --fault-size=full --numprocesses=3 --dist=worksteal $(ARGS) || exit 1; done

soak: $(VENV)/installed-dev ## Restart everything at random under load (MINUTES=60), then look at losses and memory
	@$(BIN)/python -m tests.faults.soak $(MINUTES)

bench: $(VENV)/installed-dev ## Measure everything and write docs/benchmarks.md (ARGS="--quick --only 1,4" only tries)
	@$(BIN)/python -m tests.load.bench $(or $(ARGS),--json docs/benchmarks.json --page docs/benchmarks.md)

check: $(VENV)/installed-dev ## Format, lint, types, import rules, security, lock files, documents, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit -q -r -c pyproject.toml .
	$(BIN)/python -m pytest -q tests/repository
	$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/installed-dev ## Put the code into the one format
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

audit: $(VENV)/installed-dev ## Ask what is publicly known against the locked packages (needs the Internet)
	@$(BIN)/python -m tests.audit

docs: $(VENV)/installed-run ## Write the pages that follow from the code
	$(BIN)/python -m construct_site.reference

lock: $(VENV)/installed-dev ## Write the lock files anew from pyproject.toml
	$(LOCK) --output-file requirements.lock
	$(LOCK) --group dev --constraints requirements.lock --output-file requirements-dev.lock

clean: ## Remove the environment and the caches; the data under var/ stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# An environment whose interpreter is missing or was taken away is made anew.
ifneq ($(shell $(BIN)/python -c 'print("works")' 2>/dev/null),works)
.PHONY: $(VENV)/pyvenv.cfg
endif

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Construct needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is not Python 3.11 or newer. Name one: make PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/installed-run: requirements.lock $(VENV)/pyvenv.cfg
	@echo "Installing what the server needs"
	@$(INSTALL) --requirement requirements.lock
	@touch $@

# The development lock holds every pin of the other (a test compares them).
$(VENV)/installed-dev: requirements-dev.lock requirements.lock $(VENV)/pyvenv.cfg
	@echo "Installing what the tests and checks need"
	@$(INSTALL) --requirement requirements-dev.lock
	@touch $(VENV)/installed-run $@
