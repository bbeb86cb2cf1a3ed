"""Two schools in one project, from settings to models, with examples/nightly/school.sh."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
import yaml

from tests.simulator import Dataset, Simulator
from tests.support import documents
from tests.support.pipeline import Workspace, meltano_states
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
ROWS = {"north": 3, "south": 5}
STATE_ID = "dev:tap-campusgroups-to-target-postgres:north"


class Project(NamedTuple):
    """A project with two schools."""

    workspace: Workspace
    database: Postgres
    schools: Mapping[str, Simulator]

    def run(self, name: str) -> Finished:
        """Run the script for a school, as every night."""
        return self.workspace.shell(f"sh examples/nightly/school.sh {name}", {})

    def budgets(self) -> dict[str, int]:
        """Return the number of rows of the model of budgets by schema."""
        return {
            schema: len(self.rows(schema))
            for schema, tables in self.database.schemas().items()
            if "spending_by_budget" in tables
        }

    def rows(self, schema: str) -> list[tuple[object, ...]]:
        """Return the rows of the model of budgets."""
        with self.database.connect() as connection:
            query = f"SELECT * FROM {schema}.spending_by_budget ORDER BY 1"  # noqa: S608
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def project(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Both schools after a nightly run of each at the same time."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres(postgres_server))
        schools = {
            name: stack.enter_context(
                Simulator(
                    Dataset(rows, seed=rows, newest=NEWEST),
                    school_code=f"{name}-college",
                    api_secret=f"secret-of-{name}",
                )
            )
            for name, rows in ROWS.items()
        }
        workspace = Workspace(tmp_path_factory.mktemp("schools"), database=database)
        (workspace.folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
        recipe = documents.block("docs/scale-out.md", "Several schools", "sh")
        for name, school in schools.items():
            secret = f"{school.api_secret}\nTAP_CAMPUSGROUPS_API_URL={school.url}"
            script = recipe.replace("north", name).replace("API_SECRET=...", f"API_SECRET={secret}")
            written = workspace.shell(script, {})
            assert written.code == 0, written.output
        project = Project(workspace, database, schools)
        with ThreadPoolExecutor(len(schools)) as pool:
            for finished in pool.map(project.run, schools):
                assert finished.code == 0, finished.output
        yield project


def test_schools_have_tables_models_and_states_of_their_own(project: Project) -> None:
    streams = set(project.schools["north"].dataset.streams)
    schemas = project.database.schemas()
    assert schemas.keys() == {"north", "north_analytics", "south", "south_analytics"}
    for name, school in project.schools.items():
        assert schemas[name] == streams
        assert {row["id"] for row in project.database.rows(name, "users")} == {
            row["id"] for row in school.dataset["users"]
        }
        folder = project.workspace.system_folder / name
        assert set(meltano_states(folder)) == {STATE_ID.replace("north", name)}
        assert (folder / "dbt" / "target" / "manifest.json").exists()
    assert not (project.workspace.system_folder / "meltano.db").exists()
    secrets = [*(project.workspace.folder / "schools").iterdir()]
    assert [oct(path.stat().st_mode)[-2:] for path in secrets] == ["00", "00"]


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({"DBT_POSTGRES_RAW_SCHEMA": "north"}, "'DBT_POSTGRES_SCHEMA'"),
        ({"DBT_POSTGRES_SCHEMA": "north_analytics"}, "'DBT_POSTGRES_RAW_SCHEMA'"),
        (
            {"DBT_POSTGRES_RAW_SCHEMA": "north", "DBT_POSTGRES_SCHEMA": "south_analytics"},
            "Schema 'south_analytics' has the models of 'south', not of 'north'.",
        ),
        ({"DBT_POSTGRES_USER": None}, "Env var required but not provided: 'DBT_POSTGRES_USER'"),
    ],
)
def test_dbt_with_the_schemas_of_two_schools_or_without_settings_is_refused(
    project: Project, variables: dict[str, str | None], problem: str
) -> None:
    before = {schema: project.rows(schema) for schema in project.budgets()}
    assert before.keys() == {"north_analytics", "south_analytics"}
    kept = dict(project.workspace.environment)
    try:
        for name, text in variables.items():
            if text is None:
                del project.workspace.environment[name]
            else:
                project.workspace.environment[name] = text
        refused = project.workspace.meltano("run", "dbt-postgres:budgets")
    finally:
        project.workspace.environment = kept
    assert refused.code != 0
    assert problem in refused.output
    assert {schema: project.rows(schema) for schema in project.budgets()} == before


def test_state_of_a_school_is_saved_and_restored(project: Project) -> None:
    *_, recipe = documents.blocks(documents.section("docs/scale-out.md", "Several schools"), "sh")
    save, restore = recipe.splitlines()
    folder = project.workspace.system_folder / "north"
    before = meltano_states(folder)
    assert project.workspace.shell(save, {}).code == 0
    (folder / "meltano.db").unlink()
    restored = project.workspace.shell(restore, {})
    assert restored.code == 0, restored.output
    assert meltano_states(folder) == before


def test_second_run_of_a_school_is_refused(project: Project) -> None:
    hold = 'flock .meltano/north/nightly.lock sh examples/nightly/school.sh north || echo "code $?"'
    refused = project.workspace.shell(hold, {})
    assert "failed to get lock" in refused.output
    assert refused.output.endswith("code 75\n")


def test_type_of_a_column_changes_under_the_models(project: Project) -> None:
    script = documents.block("docs/new-fields.md", "Change a type", "sql")
    script = script.replace("analytics.", "north_analytics.").replace(
        "campusgroups.events", "north.events"
    )
    with project.database.connect() as connection:
        connection.execute(script.encode())
    changed = yaml.safe_load(documents.block("docs/new-fields.md", "Change a type", "yaml"))
    run = "run --full-refresh --no-state-update tap-campusgroups target-postgres dbt-postgres:build"
    finished = project.workspace.shell(
        f"sh examples/nightly/school.sh north {run}",
        {
            "TAP_CAMPUSGROUPS__SCHEMA": json.dumps(changed["schema"]),
            "TAP_CAMPUSGROUPS__SELECT_FILTER": '["events"]',
        },
    )
    assert finished.code == 0, finished.output
    query = (
        "SELECT table_name, data_type FROM information_schema.columns"
        " WHERE (table_schema, column_name) = ('north_analytics', 'capacity')"
    )
    with project.database.connect() as connection:
        types = dict(connection.execute(query).fetchall())
    assert types == {"stg_campusgroups__events": "text", "attendance_by_event": "text"}
