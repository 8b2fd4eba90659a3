# qafs: every figure of arXiv:2604.25649 from one command. `make help` lists the targets.
INPUT  ?= published
NB     := $(basename $(notdir $(sort $(wildcard notebooks/[0-9]*.ipynb))))

ifeq ($(origin PYTHON),undefined)
PYTHON := .venv/bin/python
VENV   := .venv/installed
FULL   := .venv/full
endif

ifeq ($(filter $(INPUT),published images),)
$(error unknown INPUT '$(INPUT)': choose published or images)
endif

.PHONY: help figures verify html explorer claim test smoke benchmark lab data weights publish full lock clean
.DELETE_ON_ERROR:
.SECONDEXPANSION:

help:      ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

figures: build/$(INPUT)/figures.done   ## every figure and table into figures/ (INPUT=published, or INPUT=images)

html: $$(foreach n,$$(call needed,$(INPUT)),build/$(INPUT)/notebooks/$$n.ipynb)   ## the site, build/html: notebooks as run, a page for every claim, the reference
	$(PYTHON) -m qafs_utils html $(INPUT)

explorer: $(VENV)   ## one page to explore the published maps in a browser, without a server: build/explorer.html
	$(PYTHON) -m qafs_utils explorer

claim: $(if $(filter images,$(INPUT)),$(FULL),$(VENV))   ## recompute one statement of the paper: make claim ID=gap_median_nf16 (an unknown ID names them all)
	@$(PYTHON) -m qafs_utils claim "$(ID)" $(INPUT)

verify: $(VENV)   ## recompute a sample of the committed figures and tables and compare; about half a minute
	$(PYTHON) -m qafs_utils verify

test: $(FULL)   ## all tests and the docstrings' examples; a smoke run of the notebooks among them
	$(PYTHON) -m pytest -q -n auto --dist loadfile --no-loadscope-reorder -m "not clock"
	$(PYTHON) -m pytest -q -n 0 -m clock tests

smoke: build/smoke/figures.done   ## all notebooks on small synthetic images

benchmark: $(FULL)   ## time the annealer and the solvers against general packages; writes benchmarks/ (ONLY=gap, or evolution, proof, reads, explain)
	PYTHONPATH="$(CURDIR)" $(PYTHON) benchmarks $(if $(ONLY),--only $(ONLY))

lab: $(VENV)   ## open the notebooks in JupyterLab, which saves what you write but no outputs (LAB=--allow-root: its options)
	PYTHONPATH="$(CURDIR)" $(PYTHON) -m jupyterlab --ServerApp.root_dir="$(CURDIR)" --ServerApp.preferred_dir="$(CURDIR)/notebooks" \
	  --LabApp.default_url=/lab/tree/notebooks/00_quickstart.ipynb --ServerApp.contents_manager_class=qafs_utils.make.lab.Sources $(LAB)

data: $(FULL)   ## fetch and verify STL-10 (2.6 GB) and the ImageNet weights
	$(PYTHON) -m qafs_utils data

weights: $(FULL)   ## fetch and verify the ImageNet weights alone (45 MB)
	$(PYTHON) -m qafs_utils weights

publish: build/images/figures.done   ## maintainers: renew data/published from a run with INPUT=images
	$(PYTHON) -m qafs_utils publish

clean:     ## remove build/ (not the environment, not the raw data)
	rm -rf build

# Every package by its hash, and nothing else from the registry; bytecode is compiled when a module is first used.
INSTALL = .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
LOCKED  = $(INSTALL) --require-hashes --no-build-isolation $(foreach lock,$(1),--requirement locks/$(lock).txt)

.venv/installed: locks/light.txt
	@python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	  || { echo "error: python3 must be Python 3.11 to 3.13: put one first in PATH" >&2; exit 1; }
	python3 -m venv .venv
	$(call LOCKED,light) --only-binary :all:
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

full: $(FULL)   ## add PyTorch, for networks and photographs, and what the tests need (Linux without a GPU: TORCH_INDEX=<address of its CPU build>)
	@$(if $(FULL),,echo "error: with PYTHON=$(PYTHON) the environment is yours: install locks/torch.txt and locks/test.txt into it" >&2; exit 1)

.venv/full: locks/torch.txt locks/test.txt .venv/installed
	$(if $(TORCH_INDEX),$(INSTALL) --index-url $(TORCH_INDEX) $(shell grep '^torch' requirements.txt))
	$(call LOCKED,light $(if $(TORCH_INDEX),,torch) test)
	@touch $@

UV   = build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
       --custom-compile-command "make lock" --constraint requirements.txt pyproject.toml --group build
LESS = $$(sed -n 's/^\([a-z0-9-]*\)==.*/--no-emit-package=\1/p' $(1:%=locks/%.txt))

# locks/: light.txt is enough for the published data; torch.txt and test.txt hold only what they add to it.
lock:      ## maintainers: renew locks/ after a change of pyproject.toml or requirements.txt (LOCK=--upgrade: newer transitive packages)
	python3 -m venv build/uv
	build/uv/bin/python -m pip install --quiet --disable-pip-version-check uv==0.13.9
	cat locks/*.txt > build/lock.txt
	$(UV) $(LOCK) --extra site --extra torch --extra test --output-file build/lock.txt
	$(UV) --constraint build/lock.txt --extra site --output-file locks/light.txt
	$(UV) --constraint build/lock.txt --extra site --extra torch $(call LESS,light) --output-file locks/torch.txt
	$(UV) --constraint build/lock.txt --extra site --extra torch --extra test $(call LESS,light torch) --output-file locks/test.txt

# The graph is read off the notebooks and the modules: `qafs_utils/make/graph.py`. It is written anew when one of them changes.
build/graph.mk: $(wildcard notebooks/*.ipynb qafs_utils/*.py qafs_utils/*/*.py)
	@mkdir -p build
	@$(if $(VENV),python3,$(PYTHON)) -m qafs_utils.make.graph > $@.$$$$ && mv $@.$$$$ $@
ifeq ($(filter help clean lock full,$(MAKECMDGOALS)),)
-include build/graph.mk
endif

# "[3 of 9]": the runs begun, of those that a dry run counts before the first one begins; the dry run itself counts none.
begun :=
count = $(eval count := $(shell MAKEFLAGS= $(MAKE) --dry-run count=0 INPUT=$(INPUT) 'PYTHON=$(PYTHON)' $(MAKECMDGOALS) | grep -c 'qafs_utils run'))$(count)
build/%.ipynb: | $(VENV)
	$(eval begun += 1)QAFS_STEP="$(words $(begun)) of $(count)" $(PYTHON) -m qafs_utils run $(subst /notebooks/, ,$*)
$(foreach n,$(NB),build/images/notebooks/$n.ipynb build/smoke/notebooks/$n.ipynb): | $(FULL)
export QAFS_START := $(shell date +%s)

data/published/SHA256SUMS:
	@echo "error: data/published is missing: restore it with 'git checkout data/published'" >&2; exit 1

needed = $(if $(filter published,$(1)),$(filter-out $(IMAGES:%=%_%),$(NB)),$(NB))
build/%/figures.done: $$(foreach n,$$(call needed,$$*),build/$$*/notebooks/$$n.ipynb) | $(VENV)
	$(if $(filter smoke,$*),,$(PYTHON) -m qafs_utils summary $*)
	@touch $@
