# Everything bootstraps itself: uv (into .tools/ when it is not on the path), a virtual environment, the locked packages.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
RUN := .venv/bin
WORKERS ?= 2
export UV_COMPILE_BYTECODE = 1
export PYTHONPATH = src
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench install smoke clean

demo: install
	$(RUN)/secondread demo --out demo

test: install
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: install
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

smoke: install
	$(RUN)/secondread check studies/*.yaml
	mkdir -p runs/smoke
	# without data (their phantoms are proven), two studies a process, so that PyTorch is loaded once for them and no process is left with much at the end;
	# each process has a folder of its own, and what worked is removed: all together they take 12 GB
	ls -r studies/*.yaml | OMP_NUM_THREADS=1 xargs -P $(WORKERS) -n 2 env -u SECONDREAD_DATA sh -c ' \
	  out=runs/smoke/$$(basename $$1 .yaml); \
	  if $(RUN)/secondread run "$$@" --smoke --out $$out >$$out.log 2>&1; \
	  then echo "$$@: all work"; rm -rf $$out; else echo "$$out.log ends:"; tail -12 $$out.log; exit 1; fi' smoke

bench: install
	$(RUN)/python -m bench

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	@command -v $(UV) >/dev/null 2>&1 || ($(PYTHON) -m venv .tools && .tools/bin/pip install -q uv)
	@test -x .venv/bin/python || $(UV) venv -q --python $(PYTHON) .venv
	$(UV) pip sync -q --python .venv/bin/python requirements.lock
	$(UV) pip install -q --python .venv/bin/python --no-deps -e .
	@touch $@

clean:
	rm -rf .venv .tools runs demo
