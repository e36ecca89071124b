# SCGAN, replicated. `make` lists what there is; `make reproduce` does everything.
# Variables: PROFILE=mini|smoke|tiny|folder|imagenet  SEED=0 or SEEDS="0 1 2"  DEVICE=auto|cpu|cuda
#            DATA=DIR  IMAGENET=DIR  TINY=FILE_OR_DIR (Tiny ImageNet; fetched where none is given)
#            SET="stage1_steps=100 batch=8": override numbers of the profile
#            PROCESSES=4: train with so many, one on each GPU  TIMEOUT=3600: seconds for a chapter
# What is typed after `make` wins over what the shell exports.

PROFILE ?= mini
SEED    ?= 0
PYTHON  ?= python3
PROCESSES ?= 1
# Seconds that a chapter may take: 20 days where the training is as long as the user makes it.
TIMEOUT ?= $(if $(filter imagenet tiny folder,$(PROFILE)),1728000,3600)
export DEVICE DATA IMAGENET TINY SCGAN_OUTPUT
export SCGAN_SET = $(SET)

VENV     := .venv
BIN      := $(VENV)/bin
OUT      := $(or $(SCGAN_OUTPUT),.)
ifneq ($(words $(OUT)),1)  # make cannot name files with a space: a link without one leads there
OUT      := $(shell link="build/output-$$(echo '$(OUT)' | cksum | cut -d' ' -f1)"; \
  mkdir -p build '$(OUT)' && ln -sfn "$$(cd '$(OUT)' && pwd)" "$$link" && echo "$$link")
endif
RUN      := $(if $(filter 0,$(SEED)),$(PROFILE),$(PROFILE)-seed$(SEED))
RESULTS  := $(OUT)/results/$(RUN)
DONE     := $(OUT)/build/done/$(RUN)
LIBRARY  := $(wildcard scgan_lib/*.py scgan_lib/*.js scgan_lib/*.mplstyle scgan_lib/*.yaml scgan_lib/*.html)
CHAPTERS := $(patsubst notebooks/%.py,%,$(wildcard notebooks/[0-9][0-9]_*.py))
ON       := --profile $(PROFILE) --seed $(SEED)

.PHONY: help env reproduce chapters ablations test lint format lab site bench soak gallery exercises pairs clean
.DELETE_ON_ERROR:

help:  ## what can be made
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14
	@echo "Variables: PROFILE=$(PROFILE) SEED=$(SEED) SEEDS DEVICE DATA IMAGENET TINY SET PROCESSES"

# --- set-up: a step of its own only for those who want it -------------------------------------------

env: $(VENV)/done  ## the Python environment in .venv/

$(VENV)/done: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) -V`. Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test,browser]'
	@touch $@

# --- the main job -----------------------------------------------------------------------------------

# What was made is remembered in build/done, which git does not know: a fresh clone trains, even
# though it holds the committed results; a second run has nothing to do.
ifdef SEEDS
# Each seed by itself, then Table 1 of the first with the spread over runs.
reproduce:  ## train both stages, Table 1, figures; SEEDS="0 1 2": with the spread over runs
	@for s in $(SEEDS); do $(MAKE) --no-print-directory reproduce SEEDS= SEED=$$s || exit 1; done
	$(BIN)/scgan table --profile $(PROFILE) --seed $(firstword $(SEEDS)) --seeds $(SEEDS)
else
reproduce: $(CHAPTERS:%=$(DONE)/%) \
  $(RESULTS)/table1.csv $(RESULTS)/table1.md $(RESULTS)/table1.tex  ## train both stages, Table 1, figures
	@$(BIN)/python tools/chapters.py summary --profile $(RUN)
endif

chapters: $(CHAPTERS:%=$(DONE)/%)

# Chapters run in order. Under `make -j2` those that do not need each other run side by side: for
# machines with cores to spare, with OMP_NUM_THREADS=1.
define chapter
$(DONE)/$(1): notebooks/$(1).py $(LIBRARY) | $(VENV)/done
	@rm -f $(RESULTS)/notebooks/$(1).failed.ipynb
	$(BIN)/python tools/chapters.py run $$< $(RESULTS)/notebooks/$(1).ipynb -p profile $(PROFILE) -p seed $(SEED) --timeout $(TIMEOUT)
	@mkdir -p $(DONE) && touch $$@
endef
$(foreach c,$(CHAPTERS),$(eval $(call chapter,$(c))))
chapters_of = $(patsubst %,$(DONE)/%,$(filter $(1),$(CHAPTERS)))
$(call chapters_of,05%): | $(call chapters_of,04%)
$(call chapters_of,06%): | $(call chapters_of,05%)
$(call chapters_of,07% 08% 09% 1%): | $(call chapters_of,06%)

# Several processes train before chapter 04; it and chapter 05 then find both stages trained.
ifneq ($(PROCESSES),1)
$(DONE)/trained: | $(DONE)/03_losses_and_critics
	$(BIN)/python -m torch.distributed.run --standalone --nproc_per_node $(PROCESSES) \
	  -m scgan_lib.cli train $(ON)
	@touch $@
$(DONE)/04_stage1_l1_pretraining: | $(DONE)/trained
endif

# Chapter 08 shows and draws what `make ablations` has left, and is run again when that is new.
ABLATED := $(OUT)/build/done/$(PROFILE)-ablations
$(DONE)/08_ablations: $(if $(ABLATIONS),$(ABLATED),$(wildcard $(OUT)/results/$(PROFILE)/ablations.csv))

ablations: $(ABLATED)  ## seven variants, three seeds: Table 2
$(ABLATED): | $(VENV)/done
	$(BIN)/scgan ablate --profile $(PROFILE) --seeds $(or $(SEEDS),0 1 2)
	@mkdir -p $(@D) && touch $@

# Missing files only: all is made by now, these rules make again what was deleted.
$(RESULTS)/metrics.csv: | $(CHAPTERS:%=$(DONE)/%)
	test -f $@ || $(BIN)/scgan evaluate $(ON)
$(RESULTS)/table1.csv $(RESULTS)/table1.md $(RESULTS)/table1.tex: | $(RESULTS)/metrics.csv
	test -f $@ || $(BIN)/scgan table $(ON)

# --- work on the project ----------------------------------------------------------------------------

test: env  ## tests, chapters on the smoke profile included; SLOW=1: all of them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(SLOW),-m "slow or not slow")

lint: env  ## ruff on code and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: env
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lab: env  ## JupyterLab on the chapters
	$(BIN)/jupyter lab notebooks

gallery: env  ## the picture at the top of README
	$(BIN)/python tools/gallery.py

exercises: env  ## functions to write, with tests, for students and lecturers: build/exercises
	$(BIN)/python tools/exercises.py

pairs: env
	$(BIN)/python tools/chapters.py pair --profile mini

site: $(VENV)/site  ## the course as a static site in build/site/html
	$(BIN)/python docs/build.py --profile $(RUN)

$(VENV)/site: $(VENV)/done
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[site]'
	@touch $@

bench: env  ## speed, as ratios in one run (build/bench.json)
	$(BIN)/python benchmarks/bench.py

soak: env  ## all chapters ROUNDS=10 times on the smoke profile: stalls and times
	$(BIN)/python benchmarks/soak.py --rounds $(or $(ROUNDS),10)

clean:  ## forget what was made (trained weights and results stay)
	rm -rf build .pytest_cache .ruff_cache .hypothesis
