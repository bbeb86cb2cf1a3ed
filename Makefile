# make demo: the main job, from a simulated service into a real PostgreSQL, and what arrived
# make orchestrate: two schools x four groups with Dagster, and when each ran
# make test: the whole test suite; ARGS are pytest's, for instance ARGS="--random-order"
# make test-next-sdk: the test suite on the pre-release of the SDK, in an environment of its own
# make lint, make package: what else .ci/run does
# make generate: the files that are made of the tap itself
# make mutation: how many small defects the tests notice; MODULE=values tries one alone
# make bench: what the tap costs, beside a plain SDK tap; some ten minutes
# Each makes what it needs in a fresh virtual environment, .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEXT_VENV := .venv-next
NEXT_BIN := $(NEXT_VENV)/bin
# Only the SDK is named, so pip chooses pre-releases of nothing else.
NEXT_SDK := singer-sdk[msgspec,testing]>=0.55.0b7,<0.56

# Meltano installs into this folder, whatever the user's .env and environment say, and leaves the
# user's system database alone, which it would migrate.
MELTANO_OF_THIS_FOLDER := MELTANO_PROJECT_ROOT='$(CURDIR)' MELTANO_SYS_DIR_ROOT='$(CURDIR)/.meltano' MELTANO_DATABASE_URI='sqlite:///$(CURDIR)/.meltano/install.db'

MUTATION_VENV := .venv-mutation
MUTMUT := ../$(MUTATION_VENV)/bin/mutmut

.PHONY: demo orchestrate test test-next-sdk mutation lint package bench generate clean

demo: .meltano/.ready
	$(BIN)/python -m examples.demo

orchestrate: .meltano/.ready
	$(BIN)/python -m examples.demo.scale_out

test: .meltano/.ready
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

# Tests that start Meltano use the tap that Meltano installed, with the released SDK.
test-next-sdk: .meltano/.ready $(NEXT_VENV)/.ready
	$(NEXT_BIN)/python -m pytest --numprocesses=2 --dist=loadfile $(ARGS)

# In a copy without @override, which has no effect at run time: mutmut skips decorated functions.
mutation: $(MUTATION_VENV)/.ready
	rm -rf .mutation
	mkdir .mutation
	cp -R tap_campusgroups tests examples pyproject.toml .mutation
	find .mutation/tap_campusgroups -name "*.py" -exec sed -i "/^ *@override$$/d" {} +
	printf '%s\n' hypothesis.strategies psycopg pytest singer_sdk > .mutation/preloaded.txt
	cd .mutation && $(MUTMUT) run --max-children 1 $(foreach module,$(MODULE),'tap_campusgroups.$(module).*')
	@cd .mutation && $(MUTMUT) results --all true | awk -F'[.:] *' '$$NF != "not checked" { all[$$2]++; n[$$2, $$NF]++ } \
		END { for (m in all) printf "%s: %d of %d killed, %.1f %%; %d of them at the time limit\n", \
		m, k = n[m, "killed"] + n[m, "timeout"], all[m], 100 * k / all[m], n[m, "timeout"] }'

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

# The tag that is tried is in a clone: a tag is the version, and no file holds it.
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

bench: $(VENV)/.ready
	$(BIN)/python -m tests.benchmarks

clean:
	rm -rf $(VENV) $(NEXT_VENV) $(MUTATION_VENV) .mutation .meltano dist

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

$(MUTATION_VENV)/.ready: pyproject.toml
	rm -rf $(MUTATION_VENV)
	$(PYTHON) -m venv $(MUTATION_VENV)
	$(MUTATION_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(MUTATION_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable . --group mutation
	touch $@

.meltano/.ready: $(VENV)/.ready meltano.yml
	mkdir -p .meltano
	$(MELTANO_OF_THIS_FOLDER) $(BIN)/meltano --env-file=/dev/null --log-level=warning install
	touch $@
