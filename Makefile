# Python 3.11 or newer; everything else is fetched into .cache.
PYTHON ?= python3
# Narrow 'make test' down: STAGES="units lint", or 'make test-units-3.9 ONLY=tests/unit/...', or CHANGED=1.
STAGES ?=
ONLY ?=
CHANGED ?=

export PYTHONDONTWRITEBYTECODE = 1

.PHONY: help demo test test-all benchmark benchmark-stores benchmark-catalog clean

help:
	@echo "make demo         run the whole pipeline here, against a simulated Mac and an HTTPS store (no root)"
	@echo "make test         run the tests of every day (CHANGED=1: what the changes since main can break)"
	@echo "make test-all     run all tests, as for a night"
	@echo "make test-STAGE   run one stage of them:"
	@$(PYTHON) tests/tools/run_tests.py --list
	@echo "make benchmark    measure the whole run with a 2 GiB image, beside the same work by hand"
	@echo "make benchmark-stores  measure uploads to every kind of store, beside their own command-line clients"
	@echo "make benchmark-catalog  measure time and memory of a catalog of 100,000 records"
	@echo "make clean        remove everything that was generated"

demo:
	@$(PYTHON) tests/tools/in_venv.py demo tests/tools/demo.py --collections "$(CURDIR)/.cache/stage"

benchmark:
	@$(PYTHON) tests/tools/in_venv.py benchmark tests/benchmarks/build_image.py

benchmark-stores:
	@$(PYTHON) tests/tools/in_venv.py stores tests/benchmarks/stores.py

benchmark-catalog:
	@$(PYTHON) tests/tools/in_venv.py stores tests/benchmarks/large_catalog.py

test:
	@$(PYTHON) tests/tools/run_tests.py $(if $(CHANGED),--changed) --only "$(ONLY)" $(STAGES)

test-all:
	@$(PYTHON) tests/tools/run_tests.py --everything --only "$(ONLY)" $(STAGES)

test-%:
	@$(PYTHON) tests/tools/run_tests.py --only "$(ONLY)" $*

clean:
	rm -rf .cache tests/output
