# make demo          run the main job: a simulated service, the tap, PostgreSQL, dbt; show what arrived
# make orchestrate   run two schools with four groups of streams each, with Dagster
# make page          run the same on Dagster's page, and take its picture (needs Chromium)
# make machines      run the steps on two machines, and kill one (needs root, redis-server and socat)
# make test          run all tests; pass options to pytest with ARGS, for instance ARGS="-k state"
# make recipes       run the documentation's recipes from beginning to end (some minutes)
# make test-next-sdk run all tests on the pre-release of the Singer SDK, in its own environment
# make test-lowest   run the tap's tests on the lowest versions of its dependencies, in their own environment
# make readers       read files of target-jsonl with DuckDB, ClickHouse, PyArrow, pandas and Polars
# make storm         play random storms with thousands of seeds, for instance SEEDS=5000
# make lint          run the linters and the type checker
# make package       build the wheel and the source archive, and check them
# make generate      write the generated files (Hub definition, stream reference, pictures)
# make mutation      count the small defects that the tests find; MODULE=records.values for one module
# make bench         measure speed and memory, also of a plain SDK tap and of the loader (about 15 minutes)
# make targets       measure other packages' loaders with the tap's output, for instance NAMES=target-jsonl (hours)
# make clean         delete everything that these targets have installed and built
#
# Everything is installed into the folder .build. Your own .venv, .meltano and .env are neither used nor
# changed.

PYTHON ?= python3
BUILD := .build
VENV := $(BUILD)/venv
BIN := $(VENV)/bin
PLUGINS := $(BUILD)/meltano
NEXT_VENV := $(BUILD)/venv-next
# Only the SDK is named, so uv installs no other pre-release.
NEXT_SDK := singer-sdk[msgspec,testing]>=0.55.0b7,<0.56
LOWEST_VENV := $(BUILD)/venv-lowest
MUTATION_VENV := $(BUILD)/venv-mutation
READERS_VENV := $(BUILD)/venv-readers
DAGSTER_VENV := $(BUILD)/venv-dagster

# The plugins of meltano.yml, whatever .env and the environment say, and without touching (migrating) the
# user's system database.
MELTANO := MELTANO_PROJECT_ROOT='$(CURDIR)' MELTANO_SYS_DIR_ROOT='$(CURDIR)/$(PLUGINS)' MELTANO_DATABASE_URI='sqlite:///$(CURDIR)/$(PLUGINS)/install.db' $(BIN)/meltano --env-file=/dev/null

# Create a virtual environment with uv, which Meltano needs, too. A copy of pip is left out if Python has one.
install_uv = install --quiet --disable-pip-version-check uv
create = rm -rf $(1) && if $(PYTHON) -c 'import pip' 2>/dev/null; \
	then $(PYTHON) -m venv --without-pip $(1) && $(PYTHON) -m pip --python=$(1)/bin/python $(install_uv); \
	else $(PYTHON) -m venv $(1) && $(1)/bin/python -m pip $(install_uv); fi
uv = $(1)/bin/uv pip $(2) --python=$(1)/bin/python

# Run a step and note how long it takes, for the list at the end of `make demo`.
TIMES := $(BUILD)/times
$(shell rm -f $(TIMES))
define timed
@echo '== $(1)'
@start=$$(date +%s); { $(2); } && printf '%5d s  %s\n' $$(($$(date +%s) - start)) '$(1)' >>$(TIMES)
endef

.PHONY: demo orchestrate page machines test recipes readers test-next-sdk test-lowest storm mutation lint package bench targets generate clean python

demo: $(PLUGINS)/.demo
	$(call timed,The demo,$(BIN)/python -m examples.demo)
	@echo; cat $(TIMES); echo "$$(du -sm $(BUILD) | cut -f1) MB in $(BUILD); \`make clean\` deletes it."

orchestrate: $(PLUGINS)/.demo $(VENV)/.dagster
	$(BIN)/python -m examples.demo.scale_out

page: $(PLUGINS)/.all $(DAGSTER_VENV)/.ready
	$(BIN)/python -m examples.demo.scale_out_page $(CURDIR)/$(DAGSTER_VENV)/bin

machines: $(PLUGINS)/.all $(DAGSTER_VENV)/.ready
	$(BIN)/python -m examples.demo.scale_out_machines $(CURDIR)/$(DAGSTER_VENV)/bin

test: $(PLUGINS)/.all
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

recipes: $(PLUGINS)/.all
	$(BIN)/python -m pytest tests/pipelines/recipes $(ARGS)

# Tests that start Meltano use the tap in $(PLUGINS), which has the released SDK.
test-next-sdk: $(PLUGINS)/.all $(NEXT_VENV)/.ready
	$(NEXT_VENV)/bin/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

# Not the tests that start Meltano: they use the tap in $(PLUGINS), which has the newest dependencies.
# The plugin of anyio, a package that Meltano needs, is too old for pytest here.
test-lowest: $(LOWEST_VENV)/.ready
	$(LOWEST_VENV)/bin/python -m pytest -p no:anyio --ignore=tests/pipelines --ignore=tests/project --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

readers: $(READERS_VENV)/.ready
	$(READERS_VENV)/bin/python -m tests.readers

SEEDS ?= 1000
storm: $(VENV)/.dev
	$(BIN)/python -m tests.storms --seeds $(SEEDS)

mutation: $(MUTATION_VENV)/.ready
	$(MUTATION_VENV)/bin/python -m scripts.mutation $(MODULE)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/zizmor --offline --quiet .github
	$(BIN)/check-jsonschema --builtin-schema vendor.meltano meltano.yml examples/masked.meltano.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms $(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))

# The version comes from a tag, so a tagged build is tried in a clone.
package: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*.whl dist/*.tar.gz
	$(BIN)/python -m build --wheel --outdir dist/direct
	$(BIN)/python -m scripts.release.package dist --same-as dist/direct
	$(PYTHON) -m venv dist/smoke
	dist/smoke/bin/python -m pip install --quiet --disable-pip-version-check dist/*.whl
	cd dist && smoke/bin/tap-campusgroups --version
	cd dist && smoke/bin/tap-campusgroups --about --format json > about.json
	cd dist && smoke/bin/tap-campusgroups --discover > catalog.json
	cd dist && smoke/bin/python -c 'import json; n = len(json.load(open("catalog.json"))["streams"]); print(n, "streams from the wheel"); assert n == 23'
	git clone --quiet . dist/tagged
	git -C dist/tagged -c tag.gpgSign=false tag v987.6.5
	cd dist/tagged && ../../$(BIN)/python -m build --outdir dist && ../../$(BIN)/python -m scripts.release.package dist --tag v987.6.5
	dist/smoke/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall dist/tagged/dist/*.whl
	cd dist && smoke/bin/tap-campusgroups --version | grep v987.6.5

generate: $(VENV)/.dev
	$(BIN)/python -m scripts.generate

# The load scenario needs target-postgres.
bench: $(PLUGINS)/.all
	$(BIN)/python -m tests.benchmarks

# Installs the loaders of tests/loaders/loaders.toml in .build/loaders; `make generate` then writes the page about them.
targets: $(PLUGINS)/.all
	$(BIN)/python -m tests.loaders $(NAMES)

clean:
	rm -rf $(BUILD) dist

# A Python that is named must be the one of the environment; without a name, any is.
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; name one, for instance: make test PYTHON=python3.12'; exit 1; }
ifneq ($(origin PYTHON),file)
	@version='import sys; print(*sys.version_info[:2], sep=".")'; named=$$($(PYTHON) -c "$$version"); \
	for venv in $(VENV) $(NEXT_VENV) $(LOWEST_VENV) $(MUTATION_VENV) $(READERS_VENV) $(DAGSTER_VENV); do \
		if [ -x $$venv/bin/python ] && has=$$($$venv/bin/python -c "$$version") && [ $$has != $$named ]; then \
			echo "$$venv has Python $$has, not $$named; run \`make clean\` first, or leave out PYTHON."; exit 1; fi; done
endif

# The environment grows: each group of dependencies is installed when a target needs it. The tap itself is
# built for the group dev only; programs that start in this folder import it without that.
$(VENV)/.created: pyproject.toml | python
	$(call timed,A virtual environment,$(call create,$(VENV)))
	@touch $@

$(VENV)/.%: $(VENV)/.created
	$(call timed,Packages of the group $*,$(call uv,$(VENV),install) $(if $(filter dev,$*),--editable .,--requirements pyproject.toml) --group $*)
	@touch $@

$(PLUGINS)/.demo: $(VENV)/.demo meltano.yml
	@mkdir -p $(@D)
	$(call timed,Meltano plugins of the demo,$(MELTANO) install tap-campusgroups target-postgres dbt-postgres)
	@touch $@

$(PLUGINS)/.all: $(VENV)/.dev meltano.yml
	@mkdir -p $(@D)
	$(call timed,All Meltano plugins,$(MELTANO) install)
	@touch $@

$(NEXT_VENV)/.ready: pyproject.toml Makefile | python
	$(call create,$(NEXT_VENV))
	$(call uv,$(NEXT_VENV),install) --quiet --editable . --group test '$(NEXT_SDK)'
	@touch $@

# The tap's own dependencies at their lower bounds; all others as usual.
$(LOWEST_VENV)/.ready: pyproject.toml Makefile | python
	$(call create,$(LOWEST_VENV))
	$(call uv,$(LOWEST_VENV),compile) --quiet --resolution=lowest-direct --no-deps --no-header --output-file=$(LOWEST_VENV)/lowest.txt pyproject.toml
	$(call uv,$(LOWEST_VENV),install) --quiet --editable . --group test --constraint $(LOWEST_VENV)/lowest.txt
	@touch $@

$(MUTATION_VENV)/.ready: pyproject.toml | python
	$(call create,$(MUTATION_VENV))
	$(call uv,$(MUTATION_VENV),install) --quiet --editable . --group mutation
	@touch $@

$(READERS_VENV)/.ready: pyproject.toml | python
	$(call create,$(READERS_VENV))
	$(call uv,$(READERS_VENV),install) --quiet --editable . --group readers
	@touch $@

# Without the tap: Dagster's webserver needs the distribution `backoff`.
$(DAGSTER_VENV)/.ready: pyproject.toml Makefile | python
	$(call create,$(DAGSTER_VENV))
	$(call uv,$(DAGSTER_VENV),install) --quiet --group machines
	@touch $@
