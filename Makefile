# make quickstart   the whole pipeline on embedded defaults, ending in dist/deepdialogue
# make test         everything that is promised, in environments made here
# make check        format, lint, strict types, floors
# make bench        ratios against a bare loop doing the same; PEERS=1 and FULL=1 add to it
#
# Python 3.11, make and a C toolchain are all a machine needs. A machine that wants another build of
# PyTorch says so: make test TORCH='torch==2.13.0'.
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
PIP = -m pip install --quiet --disable-pip-version-check
LIGHT = .venv
TEST = .venvs/test
COMPAT = .venvs/datasets-3.6 .venvs/datasets-4.8
# Hundreds of processes are started: what they compile is kept, whatever the caller's shell prefers.
unexport PYTHONDONTWRITEBYTECODE
PEER_VENVS = $(patsubst benchmarks/%.txt,.venvs/%,$(wildcard benchmarks/peers/*.txt))

.PHONY: help quickstart test check bench format clean
help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile | head -4

quickstart: $(LIGHT)/.installed
	$(LIGHT)/bin/deepdialogue build quickstart --site rehearsal --run runs/quickstart --out dist/deepdialogue

test: $(LIGHT)/.installed $(TEST)/.installed $(COMPAT:%=%/.installed)
	@# The core's own tests cover all of it. Tracing the others as well costs half as much time again.
	$(TEST)/bin/python -m pytest -n 2 --dist loadfile --cov --cov-report=term tests/core
	@# Three share two cores, for many tests wait for other processes; in the order of the files, in which those that wait longest begin.
	$(TEST)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/core $(ARGS)

check: $(TEST)/.installed
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/ruff check .
	$(TEST)/bin/mypy
	$(TEST)/bin/lint-imports

bench: $(TEST)/.installed $(if $(PEERS),$(PEER_VENVS:%=%/.installed))
	$(TEST)/bin/python -m benchmarks.w1 $(if $(PEERS),--peers .venvs/peers)
	$(TEST)/bin/python -m benchmarks.w2
	$(TEST)/bin/python -m benchmarks.w3
	$(TEST)/bin/python -m benchmarks.w4 $(if $(FULL),--full)
	$(TEST)/bin/python -m benchmarks.scale $(if $(FULL),--endpoints 1000)
	$(TEST)/bin/python -m benchmarks.s1
	$(TEST)/bin/python -m benchmarks.s2
	$(TEST)/bin/python -m benchmarks.s3
	$(TEST)/bin/python -m benchmarks.p1
	$(TEST)/bin/python -m benchmarks.p2 $(if $(PEERS),--peers .venvs/peers)
	$(TEST)/bin/python -m benchmarks.p3
	$(TEST)/bin/python -m benchmarks.r1

format: $(TEST)/.installed
	$(TEST)/bin/ruff format .
	$(TEST)/bin/ruff check --fix-only .

clean:
	rm -rf $(LIGHT) .venvs dist runs

$(LIGHT)/.installed: pyproject.toml
	@echo "installing the light environment into $(LIGHT) (no PyTorch)"
	@$(PYTHON) -m venv $(LIGHT)
	@$(LIGHT)/bin/python $(PIP) --editable '.[rehearsal]'
	@touch $@

$(TEST)/.installed: pyproject.toml
	@echo "installing the test environment into $(TEST) (with PyTorch)"
	@$(PYTHON) -m venv $(TEST)
	@$(TEST)/bin/python $(PIP) '$(TORCH)'
	@$(TEST)/bin/python $(PIP) --editable '.[rehearsal,speech,xtts,orpheus,transformers,torchcodec,web,report,ray,s3,check,test]'
	@# The registry's torchaudio is linked against CUDA. Beside another build of PyTorch its Python part is all that is needed.
	@$(TEST)/bin/python -c 'import torchaudio' 2>/dev/null || rm -f $(TEST)/lib/python3*/site-packages/torchaudio/lib/*.so
	@$(TEST)/bin/python -c 'import torchaudio'
	@# The pages are tried in a real browser: the system's own. Where none is and none can be installed, those tests say so.
	@command -v chromium chromium-browser google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends chromium >/dev/null; } || \
	  echo "no browser is here: the tests of the pages will be skipped"
	@touch $@

# One environment for each `datasets` that readers still have (the newest is in the two above).
.venvs/datasets-3.6/.installed: PINS = 'datasets[audio]==3.6.0'
.venvs/datasets-4.8/.installed: PINS = 'datasets==4.8.5' soundfile
$(COMPAT:%=%/.installed): .venvs/%/.installed: pyproject.toml
	@echo "installing $* into .venvs/$*"
	@$(PYTHON) -m venv .venvs/$*
	@.venvs/$*/bin/python $(PIP) $(PINS)
	@touch $@

# One for each peer of the benchmarks, with exactly what its file pins: no two of them can share one.
$(PEER_VENVS:%=%/.installed): .venvs/%/.installed: benchmarks/%.txt
	@echo "installing $* into .venvs/$*"
	@$(PYTHON) -m venv --clear .venvs/$*
	@.venvs/$*/bin/python $(PIP) --no-deps --requirement $<
	@touch $@
