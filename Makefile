# make demo          run the main job: a simulated service, the tap, PostgreSQL, dbt; show what arrived
# make orchestrate   run two schools with four groups of streams each, with Dagster
# make page          run the same on Dagster's page, and take its picture (needs Chromium)
# make machines      run the steps on two machines, and kill one (needs root, redis-server and socat)
# make test          run all tests; pass options to pytest with ARGS, for instance ARGS="-k state"
# make test-next-sdk run all tests on the pre-release of the Singer SDK, in its own environment
# make test-lowest   run the tap's tests on the lowest versions of its dependencies, in their own environment
# make storm         play random storms with thousands of seeds, for instance SEEDS=5000
# make lint          run the linters and the type checker
# make package       build the wheel and the source archive, and check them
# make generate      write the generated files (Hub definition, stream reference, pictures)
# make mutation      count the small defects that the tests find; MODULE=records.values for one module
# make bench         measure speed and memory, also of a plain SDK tap and of the loader (about 15 minutes)
#
# Every target creates the virtual environment .venv first, if necessary.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEXT_VENV := .venv-next
NEXT_BIN := $(NEXT_VENV)/bin
# Only the SDK is named, so pip installs no other pre-release.
NEXT_SDK := singer-sdk[msgspec,testing]>=0.55.0b7,<0.56

# Install into this folder, whatever .env and the environment say, and without touching (migrating) the
# user's system database.
MELTANO_OF_THIS_FOLDER := MELTANO_PROJECT_ROOT='$(CURDIR)' MELTANO_SYS_DIR_ROOT='$(CURDIR)/.meltano' MELTANO_DATABASE_URI='sqlite:///$(CURDIR)/.meltano/install.db'

LOWEST_VENV := .venv-lowest
LOWEST_BIN := $(LOWEST_VENV)/bin
MUTATION_VENV := .venv-mutation
DAGSTER_VENV := .venv-dagster

.PHONY: demo orchestrate page machines test test-next-sdk test-lowest storm mutation lint package bench generate clean

demo: .meltano/.ready
	$(BIN)/python -m examples.demo

orchestrate: .meltano/.ready
	$(BIN)/python -m examples.demo.scale_out

page: .meltano/.ready $(DAGSTER_VENV)/.ready
	$(BIN)/python -m examples.demo.scale_out_page $(CURDIR)/$(DAGSTER_VENV)/bin

machines: .meltano/.ready $(DAGSTER_VENV)/.ready
	$(BIN)/python -m examples.demo.scale_out_machines $(CURDIR)/$(DAGSTER_VENV)/bin

test: .meltano/.ready
	$(BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

# Tests that start Meltano use the tap in .meltano, which has the released SDK.
test-next-sdk: .meltano/.ready $(NEXT_VENV)/.ready
	$(NEXT_BIN)/python -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

# Not the tests that start Meltano: they use the tap in .meltano, which has the newest dependencies.
# The plugin of anyio, a package that Meltano needs, is too old for pytest here.
test-lowest: $(LOWEST_VENV)/.ready
	$(LOWEST_BIN)/python -m pytest -p no:anyio --ignore=tests/pipelines --ignore=tests/project --numprocesses=3 --dist=loadfile --no-loadscope-reorder $(ARGS)

SEEDS ?= 1000
storm: $(VENV)/.ready
	$(BIN)/python -m tests.storms --seeds $(SEEDS)

mutation: $(MUTATION_VENV)/.ready
	$(MUTATION_VENV)/bin/python -m scripts.mutation $(MODULE)

lint: $(VENV)/.ready
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
package: $(VENV)/.ready
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

generate: $(VENV)/.ready
	$(BIN)/python -m scripts.generate

# The load scenario needs target-postgres.
bench: .meltano/.ready
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) $(NEXT_VENV) $(LOWEST_VENV) $(MUTATION_VENV) $(DAGSTER_VENV) .mutation .meltano dist

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed; name one, for instance: make test PYTHON=python3.12'; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

$(NEXT_VENV)/.ready: pyproject.toml Makefile
	rm -rf $(NEXT_VENV)
	$(PYTHON) -m venv $(NEXT_VENV)
	$(NEXT_BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(NEXT_BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group test '$(NEXT_SDK)'
	touch $@

# The tap's own dependencies at their lower bounds; all others as usual.
$(LOWEST_VENV)/.ready: pyproject.toml Makefile
	rm -rf $(LOWEST_VENV)
	$(PYTHON) -m venv $(LOWEST_VENV)
	$(LOWEST_BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip uv
	$(LOWEST_BIN)/uv pip compile --quiet --python=$(LOWEST_BIN)/python --resolution=lowest-direct --no-deps --no-header --output-file=$(LOWEST_VENV)/lowest.txt pyproject.toml
	$(LOWEST_BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group test --constraint $(LOWEST_VENV)/lowest.txt
	touch $@

$(MUTATION_VENV)/.ready: pyproject.toml
	rm -rf $(MUTATION_VENV)
	$(PYTHON) -m venv $(MUTATION_VENV)
	$(MUTATION_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(MUTATION_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group mutation
	touch $@

# Without the tap: Dagster's webserver needs the distribution `backoff`. pip alone takes minutes.
$(DAGSTER_VENV)/.ready: pyproject.toml Makefile
	rm -rf $(DAGSTER_VENV)
	$(PYTHON) -m venv $(DAGSTER_VENV)
	$(DAGSTER_VENV)/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(DAGSTER_VENV)/bin/uv pip install --quiet --python=$(DAGSTER_VENV)/bin/python --group machines
	touch $@

.meltano/.ready: $(VENV)/.ready meltano.yml
	mkdir -p .meltano
	$(MELTANO_OF_THIS_FOLDER) $(BIN)/meltano --env-file=/dev/null --log-level=warning install
	touch $@
