"""What must not be in one table is not: masked and other rows, and two schools. Through Meltano."""

from __future__ import annotations

import json
import re
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from tests.simulator import Dataset, Simulator
from tests.support.pipeline import LOAD, PROJECT, Workspace, missing_plugins
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Postgres

README = (PROJECT / "README.md").read_text(encoding="utf-8")
MASKED = "tap-campusgroups-masked"
SELECT = {"TAP_CAMPUSGROUPS__SELECT": '["users.*", "groups.*", "rsvp.*"]'}
STREAMS = {"users", "groups", "rsvp"}
KEY = {"CAMPUSGROUPS_PSEUDONYM_KEY": "a key of enough characters"}
HASH = re.compile(r"[0-9a-f]{64}")
CLEAR = "clear-7c1e"
"""In every name, and in every address."""

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    if missing := missing_plugins():
        pytest.fail(f"not installed: {', '.join(missing)}; run `make test`, which does it")


def schemas_of(database: Postgres) -> dict[str, set[str]]:
    """List the tables of each schema."""
    query = (
        "SELECT schemaname, tablename FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    found: dict[str, set[str]] = {}
    with database.connect() as connection:
        for schema, table in connection.execute(query):
            found.setdefault(schema, set()).add(table)
    return found


def rows_of(database: Postgres, schema: str, table: str) -> list[dict[str, Any]]:
    """Read a table, in the order of its ids."""
    query = sql.SQL("SELECT to_jsonb(t) FROM {} AS t ORDER BY id").format(
        sql.Identifier(schema, table)
    )
    with database.connect() as connection:
        return [row for (row,) in connection.execute(query)]


def run(workspace: Workspace, *command: str) -> None:
    """Run Meltano; it must succeed."""
    finished = workspace.meltano(*command, variables=SELECT | KEY)
    assert finished.code == 0, finished.output


@pytest.fixture
def dataset() -> Dataset:
    """Rows with names and addresses that can be told."""
    dataset = Dataset(dict.fromkeys(STREAMS, 6), newest=NEWEST)
    for row in dataset["users"]:
        row.update(firstName=CLEAR, lastName=CLEAR, email=f"{CLEAR}-{row['id']}@example.edu")
    for row in dataset["groups"]:
        row.update(email=f"{CLEAR}-{row['id']}@example.edu")
    return dataset


def test_masked_and_clear_rows_in_postgres_have_schemas_of_their_own(
    dataset: Dataset, tmp_path: Path
) -> None:
    """After the quick start, before it, and when the clear rows come again."""
    masked = ("run", MASKED, "target-postgres")
    with postgres() as database, Simulator(dataset) as service:
        workspace = Workspace(tmp_path, service=service, database=database)
        for command in (LOAD, masked, LOAD):
            run(workspace, *command)
        assert schemas_of(database) == {"campusgroups": STREAMS, "campusgroups_masked": STREAMS}
        tables = {
            schema: {table: rows_of(database, schema, table) for table in STREAMS}
            for schema in schemas_of(database)
        }
    for rows in (rows for found in tables.values() for rows in found.values()):
        assert [row["id"] for row in rows] == [1, 2, 3, 4, 5, 6]
    clear, hashed = (json.dumps(tables[name]) for name in ("campusgroups", "campusgroups_masked"))
    assert CLEAR in clear
    assert not HASH.search(clear)
    assert HASH.search(hashed)
    assert CLEAR not in hashed


def test_masked_and_clear_rows_in_json_lines_have_folders_of_their_own(
    dataset: Dataset, tmp_path: Path
) -> None:
    with Simulator(dataset) as service:
        workspace = Workspace(tmp_path, service=service)
        for tap in ("tap-campusgroups", MASKED):
            run(workspace, "run", tap, "target-jsonl")
    files = {
        folder.name: {file.stem: file.read_text("utf-8") for file in folder.iterdir()}
        for folder in (workspace.folder / "output").iterdir()
    }
    assert set(files) == {"campusgroups", "campusgroups_masked"}
    for found in files.values():
        assert {stream: text.count("\n") for stream, text in found.items()} == dict.fromkeys(
            STREAMS, 6
        )
    assert CLEAR not in "".join(files["campusgroups_masked"].values())
    assert not HASH.search("".join(files["campusgroups"].values()))


# Several schools

PARTS = (
    'TAP_CAMPUSGROUPS_SCHOOL_CODE=north TAP_CAMPUSGROUPS_API_SECRET="$NORTH_API_SECRET" ',
    "TAP_CAMPUSGROUPS__LOAD_SCHEMA=north TAP_CAMPUSGROUPS_MASKED__LOAD_SCHEMA=north_masked ",
    'MELTANO_SYS_DIR_ROOT="$PWD/.meltano/north" ',
    "--state-id-suffix=north",
)


def test_meltano_yml_and_readme_give_the_whole_command_for_a_school() -> None:
    for name in ("meltano.yml", "README.md"):
        text = (PROJECT / name).read_text(encoding="utf-8")
        for part in PARTS:
            assert part in text, name


def command_for(school: str) -> str:
    """Return the README's whole command for one of several schools."""
    part = README.split("**Several schools**")[1]
    command = part.split("```sh\n")[1].split("```")[0]
    return command.replace("north", school).replace("NORTH", school.upper())


def test_two_schools_with_the_documented_command_have_all_their_rows(tmp_path: Path) -> None:
    """At the same time; a school's masked rows have a schema of their own, too."""
    names = ("north", "south")
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        schools = {
            name: stack.enter_context(
                Simulator(
                    Dataset(dict.fromkeys(STREAMS, 4 + seed), seed=seed, newest=NEWEST),
                    school_code=name,
                    api_secret=f"secret-of-{name}",
                )
            )
            for seed, name in enumerate(names)
        }
        workspace = Workspace(tmp_path, database=database)

        def load(name: str, *, tap: str = "tap-campusgroups") -> None:
            command = command_for(name)
            assert "tap-campusgroups target-postgres" in command
            variables = {
                "TAP_CAMPUSGROUPS_API_URL": schools[name].url,
                f"{name.upper()}_API_SECRET": schools[name].api_secret,
            }
            finished = workspace.shell(
                command.replace("tap-campusgroups target", f"{tap} target"),
                variables | SELECT | KEY,
            )
            assert finished.code == 0, finished.output

        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(load, names))
        for name in names:
            load(name)  # the second night
        load("south", tap=MASKED)
        assert schemas_of(database) == dict.fromkeys((*names, "south_masked"), STREAMS)
        for name, school in schools.items():
            for stream in STREAMS:
                expected = [(row["id"], row["updatedOn"][:19]) for row in school.dataset[stream]]
                found = rows_of(database, name, stream)
                assert [(row["id"], row["updatedOn"][:19]) for row in found] == sorted(expected)
                assert len(found) == len(school.dataset[stream])
    for name in names:
        system = workspace.system_folder / name / "meltano.db"
        with closing(sqlite3.connect(system)) as connection:
            states = {name for (name,) in connection.execute("SELECT state_id FROM state")}
        state = f"dev:tap-campusgroups-to-target-postgres:{name}"
        masked = f"dev:{MASKED}-to-target-postgres:{name}"
        assert states == ({state, masked} if name == "south" else {state})
