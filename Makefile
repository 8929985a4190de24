# `make test` passes all tests and installs what they need beyond Rust; `make bench` prints the speed table.

CARGO ?= cargo
PYTHON ?= python3
VENV := target/reference-venv
# The package that this project replaces, run as a black box in a process of its own.
REFERENCE := receipt-kernel==0.1.0
# What tools/verify.py checks signatures with.
ED25519 := cryptography==50.0.2

.PHONY: test lint unit doc deny trust python pythons release wheel bench bench-python fuzz reference ed25519 age clean

test: reference ed25519 age lint unit doc deny python
	@echo "all checks passed"

lint:
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

unit:
	$(CARGO) test --workspace --locked

doc:
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --workspace --no-deps --locked --features receipt-python/as-tested

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny --offline check licenses bans sources; \
	else echo "SKIPPED: licence check: cargo-deny is not installed (cargo install cargo-deny)"; fi

# A virtual environment with the package, for the tests that read its files; they say so where it is missing.
reference: $(VENV)/installed
$(VENV)/installed:
	@mkdir -p target
	@if $(PYTHON) -m venv $(VENV) >/dev/null 2>&1 && $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(REFERENCE); then \
	  touch $@; \
	else echo "SKIPPED: tests against the Python package: no Python 3.10 with venv and pip, or no network"; fi

# The one package that tools/verify.py needs, for the test of checkpoints; it says so where it is missing.
ed25519: reference $(VENV)/ed25519
$(VENV)/ed25519:
	@if $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(ED25519); then \
	  touch $@; \
	else echo "SKIPPED: signatures in tools/verify.py: no $(ED25519)"; fi

# The age program, which opens sealed evidence; its tests say so where it is missing.
age:
	@if age --version >/dev/null 2>&1 && age-keygen --version >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && apt-get --version >/dev/null 2>&1 && apt-get install -y -q age >/dev/null 2>&1; then :; \
	else echo "SKIPPED: tests against the age program: it is not installed, and cannot be here (apt-get install age)"; fi

# The long versions of the slow lanes, which a release is held to. It takes hours; `make test` runs the short ones.
trust: reference ed25519
	CRASH_CYCLES=10000 FLIPS=200000 INTEROP_RUNS=10000 BUNDLES=10000 BUNDLE_MIB=2048 \
	$(CARGO) test --workspace --locked --no-fail-fast -- crash:: audit:: interop:: independent:: bundle::

# The Python package: a wheel, installed into an environment of its own, and its tests against what is installed there. What
# is true of the package that it replaces too is tested on that as well, so that a test which asks too little shows.
PYENV := $(CURDIR)/target/python-venv
WHEELS := $(CURDIR)/target/wheels
PYTEST := pytest==9.2.0
# Other SQLite libraries, which the tests open ledgers with in one process.
SQLITES := apsw==3.54.0.0 duckdb==1.5.5 duckdb-extensions==1.5.5 duckdb-extension-sqlite-scanner==1.5.5
PYTOOLS := maturin==1.16.0 $(PYTEST) mypy==2.4.1 typing_extensions $(SQLITES)
python: reference $(PYENV)/tools
	@if test -x $(PYENV)/bin/maturin; then \
	  rm -rf $(WHEELS)/test && \
	  $(PYENV)/bin/maturin build --quiet --profile dev --locked --features as-tested -m python/Cargo.toml -i $(PYENV)/bin/python --out $(WHEELS)/test && \
	  $(PYENV)/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/test/*.whl && \
	  cd target && RECEIPT_REFERENCE_PYTHON=$(CURDIR)/$(VENV)/bin/python $(PYENV)/bin/python -m pytest -q -rs -c ../python/pyproject.toml --rootdir ../python ../python/tests && \
	  $(PYENV)/bin/python -m mypy.stubtest receipt_kernel && \
	  if test -e $(CURDIR)/$(VENV)/installed; then \
	    $(CURDIR)/$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PYTEST) && \
	    $(CURDIR)/$(VENV)/bin/python -m pytest -q -c ../python/pyproject.toml --rootdir ../python ../python/tests --against reference; \
	  fi; \
	fi

$(PYENV)/tools:
	@mkdir -p target
	@if $(PYTHON) -m venv $(PYENV) >/dev/null 2>&1 && $(PYENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PYTOOLS); then \
	  touch $@; \
	else rm -rf $(PYENV); echo "SKIPPED: the Python package: no Python 3.10 with venv and pip, or no network"; fi

# The same tests on every Python of this machine that the package is for. One wheel is for all of them (abi3): the one that
# `make python` has built.
MINORS := 10 11 12 13 14
pythons: python
	@for minor in $(MINORS); do \
	  found=; \
	  for candidate in python3.$$minor $$HOME/.pyenv/versions/3.$$minor.*/bin/python3.$$minor; do \
	    if $$candidate -c "import venv" >/dev/null 2>&1; then found=$$candidate; break; fi; \
	  done; \
	  if test -z "$$found"; then echo "SKIPPED: Python 3.$$minor: it is not on this machine"; continue; fi; \
	  env=$(CURDIR)/target/pythons/3.$$minor; \
	  test -e $$env/tools || { $$found -m venv --clear $$env && \
	    $$env/bin/python -m pip install --quiet --disable-pip-version-check $(PYTEST) $(SQLITES) && touch $$env/tools; } || exit 1; \
	  $$env/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/test/*.whl || exit 1; \
	  echo "Python 3.$$minor"; \
	  (cd target && RECEIPT_REFERENCE_PYTHON=$(CURDIR)/$(VENV)/bin/python $$env/bin/python -m pytest -q -rs -c ../python/pyproject.toml --rootdir ../python ../python/tests) || exit 1; \
	done

# The command as it is published: target/release-files/receipt, stripped, and beside it receipt.debug with what a debugger
# needs to name the lines of a crash; it finds that by the link in the program.
FILES := target/release-files
release:
	$(CARGO) build --profile unstripped --locked --bin receipt
	@mkdir -p $(FILES)
	@if objcopy --version >/dev/null 2>&1; then \
	  objcopy --only-keep-debug target/unstripped/receipt $(FILES)/receipt.debug && \
	  objcopy --strip-all --add-gnu-debuglink=$(FILES)/receipt.debug target/unstripped/receipt $(FILES)/receipt && \
	  chmod 644 $(FILES)/receipt.debug; \
	else \
	  echo "SKIPPED: debug information apart: there is no objcopy (binutils)"; \
	  $(CARGO) build --release --locked --bin receipt && cp target/release/receipt $(FILES)/receipt; \
	fi
	@ls -l $(FILES)

# The wheel that is published.
wheel: $(PYENV)/tools
	$(PYENV)/bin/maturin build --release --locked -m python/Cargo.toml -i $(PYENV)/bin/python --out $(WHEELS)

# The speed of the Python package against the one that it replaces, from the wheel that is published.
bench-python: reference wheel
	$(PYTHON) -m venv $(CURDIR)/target/bench-venv
	$(CURDIR)/target/bench-venv/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl
	cd target && $(PYTHON) ../python/bench/speed.py --ours $(CURDIR)/target/bench-venv/bin/python --reference $(CURDIR)/$(VENV)/bin/python --folder $(CURDIR)/target

bench: reference
	$(CARGO) build --release --locked --bin receipt
	@mkdir -p target/bench
	REFERENCE_PYTHON="$$(test -x $(VENV)/bin/python && realpath -s $(VENV)/bin/python)" \
	RECEIPT_BIN="$$(realpath target/release/receipt)" SPEED_DIR="$$(realpath target/bench)" \
	$(CARGO) bench --locked -p receipt-kernel --bench speed
	$(CARGO) bench --locked -p receipt-kernel --bench log
	$(PYTHON) tools/corpus.py target/corpus
	CORPUS="$$(realpath target/corpus)" $(CARGO) bench --locked -p receipt-kernel --bench redact
	$(PYTHON) tools/scanners.py --receipt target/release/receipt --folder target/scanners
	tools/instructions.sh target/release/receipt

# Sixty seconds on each parser, or as many as FUZZ_SECONDS says; needs cargo-fuzz and a nightly toolchain.
FUZZ_SECONDS ?= 60
fuzz:
	cd fuzz && python3 seed.py && for target in json canonical envelope note policy bundle redactor; do \
	  dictionary=json; test $$target != redactor || dictionary=redactor; \
	  $(CARGO) +nightly fuzz run $$target -- -max_total_time=$(FUZZ_SECONDS) -dict=dictionaries/$$dictionary.dict || exit 1; done

clean:
	$(CARGO) clean
