# make quickstart   the whole pipeline on embedded defaults, ending in dist/deepdialogue
# make test         everything that is promised, in environments made here
# make test-light   the same on another Python without PyTorch: PYTHON=python3.13
# make check        format, lint, strict types, floors
# make bench        ratios against a bare loop doing the same; PEERS=1 and FULL=1 add to it
# make lock         the newest releases of everything become those that are installed
#
# Python 3.11, make and a C toolchain are all a machine needs. Every environment has exactly the releases
# that .ci/locks pins; NEWEST=1 makes others, of the newest releases. A machine that wants another build of
# PyTorch says so: make test TORCH='torch==2.13.0'.
PYTHON ?= python3.11
TORCH ?= torch==2.13.0
PIP = -m pip install --quiet --disable-pip-version-check
LOCKS = .ci/locks
RELEASES = $(if $(NEWEST),-newest)
LIGHT = .venv$(if $(NEWEST),s/light-newest)
TEST = .venvs/test$(RELEASES)
COMPAT = .venvs/datasets-3.6$(RELEASES) .venvs/datasets-4.8$(RELEASES)
# For test-light, by the number of a Python: the oldest, and the one that is tried.
OTHER = $(patsubst python%,%,$(notdir $(PYTHON)))$(RELEASES)
BOTH = $(sort $(patsubst python%,%,$(firstword $(PYTHONS)))$(RELEASES) $(OTHER))
PYTHONS = $(shell sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/python\1/p' pyproject.toml)
# An interpreter by its name: one on the PATH that runs, or one that pyenv holds and has not switched on.
interpreter = $(or $(shell $(1) -c 'import sys; print(sys.executable)' 2>/dev/null),$(shell \
  ls -d "$$(pyenv root 2>/dev/null)"/versions/*/bin/$(1) 2>/dev/null | sort -V | tail -1),$(1))
# Sound is worked on in large buffers. What one took the next may have: to give it back each time costs a third of the time.
test test-light: export MALLOC_TRIM_THRESHOLD_ = 268435456
test test-light: export MALLOC_MMAP_THRESHOLD_ = 33554432
# Hundreds of processes are started: what they compile is kept, whatever the caller's shell prefers.
unexport PYTHONDONTWRITEBYTECODE
PEER_VENVS = $(patsubst benchmarks/%.txt,.venvs/%,$(wildcard benchmarks/peers/*.txt))

.PHONY: help quickstart test test-light check bench lock format clean
help:
	@sed -n '1,/^#$$/s/^# \{0,1\}//p' Makefile

quickstart: $(LIGHT)/.installed
	$(LIGHT)/bin/deepdialogue build quickstart --site rehearsal --run runs/quickstart --out dist/deepdialogue

test: $(LIGHT)/.installed $(TEST)/.installed $(COMPAT:%=%/.installed)
	@# The core's own tests cover all of it. Tracing the others as well costs half as much time again.
	$(TEST)/bin/python -m pytest -n 2 --dist loadfile --cov --cov-report=term tests/core
	@# Three share two cores, for many tests wait for other processes; in the order of the files, in which those that wait longest begin.
	$(TEST)/bin/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder --ignore tests/core $(ARGS)

test-light: $(BOTH:%=.venvs/light-%/.installed) .venvs/test-light-$(OTHER)/.installed
	@# The quickstart is the same on both, byte for byte.
	rm -rf $(BOTH:%=runs/light-%) $(BOTH:%=dist/light-%)
	for python in $(BOTH); do .venvs/light-$$python/bin/deepdialogue build quickstart --site rehearsal \
	  --run runs/light-$$python/quickstart --out dist/light-$$python/deepdialogue || exit 1; done
	diff --recursive --brief $(addprefix dist/light-,$(firstword $(BOTH)) $(OTHER))
	.venvs/test-light-$(OTHER)/bin/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(TEST)/.installed
	$(if $(NEWEST),,@for lock in test test-light light; do $(TEST)/bin/python .ci/locked.py $$lock || exit 1; done)
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

# Makes $(1) by the lock $(2): PyTorch first where $(3) names it, for it is in no lock; then exactly what is pinned, and this
# project where $(4) names it; on the Python $(5). What is built on the way is built by pinned releases as well.
define install
	@echo "installing $(if $(NEWEST),the newest of )$(LOCKS)/$(2)$(if $(NEWEST),.in,.txt) into $(1)"
	@$(call interpreter,$(or $(5),$(PYTHON))) -m venv $(1)
	@$(if $(NEWEST),$(1)/bin/python $(PIP) --upgrade --upgrade-strategy eager --requirement $(LOCKS)/$(2).in $(3))
	@$(if $(NEWEST)$(if $(3),,no PyTorch),,$(1)/bin/python $(PIP) --constraint $(LOCKS)/$(2).txt $(3))
	@$(if $(NEWEST),,$(BUILT) $(1)/bin/python $(PIP) --no-deps --requirement $(LOCKS)/$(2).txt $(4))
	@$(if $(NEWEST),,$(1)/bin/python .ci/locked.py $(2))
endef
BUILT = PIP_CONSTRAINT=$(LOCKS)/build.txt PIP_BUILD_CONSTRAINT=$(LOCKS)/build.txt
WANTED = pyproject.toml $(wildcard $(LOCKS)/*)

lock:
	@$(call interpreter,$(firstword $(PYTHONS))) .ci/lock.py '$(TORCH)' $(foreach each,$(PYTHONS),$(call interpreter,$(each)))

$(LIGHT)/.installed: %/.installed: $(WANTED)
	$(call install,$*,light,,--editable .)
	@touch $@

$(BOTH:%=.venvs/light-%/.installed): .venvs/light-%/.installed: $(WANTED)
	$(call install,$(@D),light,,--editable .,$(if $(filter $(OTHER),$*),$(PYTHON),python$(*:-newest=)))
	@touch $@

.venvs/test-light-$(OTHER)/.installed: $(WANTED)
	$(call install,$(@D),test-light,,--editable .)
	@touch $@

$(TEST)/.installed: %/.installed: $(WANTED)
	$(call install,$*,test,'$(TORCH)',--editable .)
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
$(COMPAT:%=%/.installed): .venvs/%$(RELEASES)/.installed: $(WANTED)
	$(call install,.venvs/$*$(RELEASES),$*)
	@touch $@

# One for each peer of the benchmarks, with exactly what its file pins: no two of them can share one.
$(PEER_VENVS:%=%/.installed): .venvs/%/.installed: benchmarks/%.txt
	@echo "installing $* into .venvs/$*"
	@$(PYTHON) -m venv --clear .venvs/$*
	@.venvs/$*/bin/python $(PIP) --no-deps --requirement $<
	@touch $@
