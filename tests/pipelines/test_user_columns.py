"""Fields that the user declares in meltano.yml, and a range that is read again.

The runs build on each other, with the recipes of docs/new-fields.md and docs/backfills.md: after a
first run, the unknown fields are declared; then a range is read again, after changes by hand.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
import yaml

from tests.simulator import Dataset, Simulator
from tests.support import documents, pipeline
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

SCHEMA = "campusgroups"
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
READ_AGAIN, UNTOUCHED = "events", "tags"
NEW_FIELDS = "docs/new-fields.md"
BACKFILLS = "docs/backfills.md"

RANGE_RECIPE = documents.block(BACKFILLS, "Re-read a range", "sh")
RANGE_START, RANGE_END = (
    datetime.fromisoformat(text).replace(tzinfo=UTC)
    for text in re.findall(r"_(?:START|END)_DATE=(\S+)", RANGE_RECIPE)
)

UPDATED = {
    1: NEWEST,
    2: NEWEST - timedelta(hours=20),
    3: RANGE_START - timedelta(days=1),
    4: RANGE_START + timedelta(days=1),
    5: RANGE_END - timedelta(days=1),
}
"""`updatedOn` of the events of the first run by id."""

ADDED = 6
"""Id of an event in the range that comes after the first run."""

WITHIN, WITHOUT = {4, 5, ADDED}, {1, 2, 3}
"""Ids of the events within the range, and of the others."""

SENT: dict[str, Any] = {
    "sustainabilityScore": 7,
    "averageRating": 4.25,
    "isVirtual": True,
    "motto": "be kind",
    "streamedOn": "2025-03-01T10:00:00+01:00",
    "no": {"a": [1]},
    "sponsors": [{"id": "3"}, None],
}
"""Values of unknown fields of the events. `no` is false in YAML 1.1."""

LOADED = {
    **SENT,
    "averageRating": Decimal("4.25"),
    "streamedOn": datetime(2025, 3, 1, 9),  # noqa: DTZ001 - the column has no time zone
}
"""Values in the columns."""

KINDS = {
    "sustainabilityScore": "whole numbers",
    "averageRating": "decimals",
    "isVirtual": "true and false",
    "motto": "text, or values of several types",
    "streamedOn": "timestamps",
    "endedOn": "dates",
    "no": "objects",
    "sponsors": "arrays",
}
"""Rows of the documentation's table of types."""

TYPE = {"id": 3, "name": "Talk", "updatedOn": None, "color": "red"}
"""An object with an unknown field."""


class Tables(NamedTuple):
    """The rows of the tables by id."""

    events: dict[int, dict[str, Any]]
    tags: dict[int, dict[str, Any]]


class Pipeline(NamedTuple):
    """The service, the database, and Meltano between them."""

    service: Simulator
    database: Postgres
    workspace: pipeline.Workspace

    def tables(self) -> Tables:
        """Return the rows of both tables."""
        rows = (self.database.rows(SCHEMA, stream) for stream in (READ_AGAIN, UNTOUCHED))
        return Tables(*({row["id"]: row for row in found} for found in rows))

    def read_again(self, heading: str) -> Tables:
        """Change rows by hand, then run the commands of a section of docs/backfills.md.

        They must read only one stream and leave Meltano's state as it was.
        """
        with self.database.connect() as connection:
            for table in (READ_AGAIN, UNTOUCHED):
                connection.execute(f"UPDATE {SCHEMA}.{table} SET name = 'by hand'".encode())  # noqa: S608
            connection.execute("DELETE FROM campusgroups.events WHERE id = 4")
            connection.execute("DELETE FROM campusgroups.tags WHERE id = 1")
        self.service.reset_log()
        states = self.workspace.states()
        commands = documents.blocks(documents.section(BACKFILLS, heading), "sh")
        finished = self.workspace.shell("".join(commands), {})
        assert finished.code == 0, finished.output
        exported = {one.stream for one in self.service.requests if one.method == "POST"}
        assert exported == {READ_AGAIN}
        assert self.workspace.states() == states
        return self.tables()


class Runs(NamedTuple):
    """The results of the runs, in this order.

    Attributes:
        first: The tables after the first run.
        ranged: The tables after a range was read again, with declared fields and a changed type.
        types: The types of the columns of the events by name, after that.
        with_extra: The ids that the documented query for values in `_extra` returns, after that.
        names: The names of the events at the service by id.
    """

    first: Tables
    ranged: Tables
    types: dict[str, str]
    with_extra: set[int]
    names: dict[int, str]


@pytest.fixture(scope="module")
def runs(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Run everything."""
    dataset = Dataset({READ_AGAIN: len(UPDATED), UNTOUCHED: 3}, newest=NEWEST)
    sent = dataset[READ_AGAIN]
    for row in sent:
        row |= {**SENT, "type": TYPE, "capacity": 40}
        row["updatedOn"] = f"{UPDATED[row['id']]:%Y-%m-%dT%H:%M:%SZ}"
    with postgres(postgres_server) as database, Simulator(dataset) as service:
        home = tmp_path_factory.mktemp("home")
        workspace = pipeline.Workspace(home, service=service, database=database)
        workspace.environment["TAP_CAMPUSGROUPS__SELECT"] = f'["{READ_AGAIN}.*", "{UNTOUCHED}.*"]'
        pipe = Pipeline(service, database, workspace)
        finished = workspace.meltano(*pipeline.LOAD)
        assert finished.code == 0, finished.output
        first = pipe.tables()

        declare_columns(workspace)
        with database.connect() as connection:
            # As dbt creates it: PostgreSQL does not drop a column that a view uses.
            connection.execute("CREATE SCHEMA analytics")
            connection.execute(
                "CREATE VIEW analytics.stg_campusgroups__events AS TABLE campusgroups.events"
            )
            with pytest.raises(psycopg.errors.DependentObjectsStillExist):
                connection.execute("ALTER TABLE campusgroups.events DROP COLUMN capacity")
            connection.execute(documents.block(NEW_FIELDS, "Change a type", "sql").encode())
        sent.append({**sent[3], "averageRating": "4.25", "id": ADDED, "endedOn": "2025-05-01"})
        ranged = pipe.read_again("Re-read a range")
        query = (
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE (table_schema, table_name) = (%s, %s)"
        )
        with database.connect() as connection:
            types = dict(connection.execute(query, (SCHEMA, READ_AGAIN)).fetchall())
            query = documents.block(NEW_FIELDS, "Find the values", "sql")
            with_extra = {key for key, _ in connection.execute(query.encode())}
            (not_null,) = connection.execute(
                "SELECT count(*) FROM campusgroups.events WHERE _extra IS NOT NULL"
            ).fetchall()
            assert not_null == (len(sent),), "target-postgres now writes SQL NULL"
        yield Runs(first, ranged, types, with_extra, names({row["id"]: row for row in sent}))


def declare_columns(workspace: pipeline.Workspace) -> None:
    """Declare the fields in meltano.yml as documented, and change a type."""
    path = workspace.folder / "meltano.yml"
    project = yaml.safe_load(path.read_text(encoding="utf-8"))
    (extractor,) = (one for one in project["plugins"]["extractors"] if one["name"] == pipeline.TAP)
    nested = documents.block(NEW_FIELDS, "Load a new field of an object or array", "yaml")
    (documented,) = yaml.safe_load(nested)["plugins"]["extractors"]
    changed = yaml.safe_load(documents.block(NEW_FIELDS, "Change a type", "yaml"))
    extractor["schema"] = {
        READ_AGAIN: {
            **{name: yaml.safe_load(documented_types()[kind][0]) for name, kind in KINDS.items()},
            "type": documented["schema"][READ_AGAIN]["type"],
            **changed["schema"][READ_AGAIN],
        }
    }
    path.write_text(yaml.safe_dump(project), encoding="utf-8")


def documented_types() -> dict[str, tuple[str, str]]:
    """Return definition and column type by kind of values, as the documentation lists them."""
    lines = documents.section(NEW_FIELDS, "Types").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return {kind.strip(): (one.strip(" `"), two.strip(" `")) for kind, one, two in rows}


def names(rows: dict[int, dict[str, Any]]) -> dict[int, str]:
    """Return the names of rows by id."""
    return {key: row["name"] for key, row in rows.items()}


def test_unknown_fields_are_kept_in_extra(runs: Runs) -> None:
    assert all(row["_extra"] == {**SENT, "type": TYPE} for row in runs.first.events.values())


def test_declared_fields_become_columns_of_the_documented_types(runs: Runs) -> None:
    kinds = {**KINDS, "capacity": "text, or values of several types"}
    documented = documented_types()
    assert {name: runs.types[name] for name in kinds} == {
        name: documented[kind][1] for name, kind in kinds.items()
    }


def test_only_rows_read_after_the_change_have_values_in_the_new_columns(runs: Runs) -> None:
    for key in WITHIN:
        row = runs.ranged.events[key]
        assert {name: row[name] for name in LOADED} == LOADED
        assert (row["type"], row["capacity"], row["_extra"]) == (TYPE, "40", None)
    assert runs.ranged.events[ADDED]["endedOn"] == date(2025, 5, 1)
    for key in WITHOUT:
        row = runs.ranged.events[key]
        assert {row[name] for name in (*SENT, "capacity")} == {None}
        assert row["_extra"] == {**SENT, "type": TYPE}


def test_documented_query_finds_only_rows_with_values_in_extra(runs: Runs) -> None:
    assert runs.with_extra == WITHOUT


def test_range_read_again_restores_only_rows_of_the_range(runs: Runs) -> None:
    assert names(runs.ranged.events) == {
        key: name if key in WITHIN else "by hand" for key, name in runs.names.items()
    }


def test_rows_of_other_streams_are_not_read_again(runs: Runs) -> None:
    assert names(runs.ranged.tags) == {2: "by hand", 3: "by hand"}
