"""Fields that the user declares in meltano.yml, and streams and ranges that are read again.

The runs build on each other, with the recipes of docs/new-fields.md and docs/backfills.md: a run
with unknown fields, a run with the lines that it printed, a stream read again, a range read again.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from psycopg import sql

from tests.simulator import Dataset, Simulator
from tests.support import documents, pipeline
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

SCHEMA = "campusgroups"
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
SELECT = '["events.*", "rooms.*", "tags.*"]'
NEW_FIELDS = "docs/new-fields.md"
BACKFILLS = "docs/backfills.md"

RANGE_RECIPE = documents.block(BACKFILLS, "Re-read a range", "sh")
RANGE_START, RANGE_END = (
    datetime.fromisoformat(date).replace(tzinfo=UTC)
    for date in re.findall(r"_(?:START|END)_DATE=(\S+)", RANGE_RECIPE)
)

UPDATED = {
    1: NEWEST,
    2: NEWEST - timedelta(hours=20),
    3: NEWEST - timedelta(days=100),
    4: RANGE_START + timedelta(days=1),
    5: RANGE_END - timedelta(days=1),
    6: RANGE_START - timedelta(days=1),
}
"""`updatedOn` of the events by id: two within the lookback, two in the range of the recipe."""

ADDED = 7
"""Id of an event that comes after the first run, with values as text."""

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

SENT_AS_TEXT = {
    **SENT,
    "sustainabilityScore": "7",
    "averageRating": "4.25",
    "isVirtual": "true",
    "no": '{"a": [1]}',
    "sponsors": '[{"id": "3"}, null]',
}
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
    "no": "objects",
    "sponsors": "arrays",
}
"""Rows of the documentation's table of types."""

TYPE = {"id": 3, "name": "Talk", "updatedOn": None, "color": "red"}
"""An object with an unknown field."""


@dataclass
class Pipeline:
    """The service, the database, and Meltano between them."""

    service: Simulator
    database: Postgres
    workspace: pipeline.Workspace

    def load(self) -> Finished:
        """Run Meltano as every night."""
        return self._check(self.workspace.meltano(*pipeline.LOAD, variables=self._variables))

    def run_recipe(self, script: str) -> Finished:
        """Run a shell script of the documentation."""
        self.service.reset_log()
        return self._check(self.workspace.shell(script, self._variables))

    @property
    def _variables(self) -> dict[str, str]:
        return {"TAP_CAMPUSGROUPS__SELECT": SELECT}

    def _check(self, finished: Finished) -> Finished:
        assert finished.code == 0, finished.output
        return finished

    def change_by_hand(self, table: str, *, deleted: int) -> None:
        """Delete a row of a table and rename all others."""
        name = sql.Identifier(SCHEMA, table)
        with self.database.connect() as connection:
            connection.execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(name), [deleted])
            connection.execute(sql.SQL("UPDATE {} SET name = 'by hand'").format(name))

    def rows(self, table: str) -> dict[int, dict[str, Any]]:
        """Return the rows of a table by id."""
        return {row["id"]: row for row in self.database.rows(SCHEMA, table)}

    def column_types(self, table: str) -> dict[str, str]:
        """Return the types of a table's columns by name."""
        query = (
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE (table_schema, table_name) = (%s, %s)"
        )
        with self.database.connect() as connection:
            return dict(connection.execute(query, (SCHEMA, table)).fetchall())

    def states(self) -> list[tuple[str, ...]]:
        """Return all that Meltano has stored as state."""
        path = self.workspace.system_folder / "meltano.db"
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT * FROM state ORDER BY state_id").fetchall()

    def exported_streams(self) -> set[str | None]:
        """Return the streams of which the last recipe submitted exports."""
        return {one.stream for one in self.service.requests if one.method == "POST"}


@dataclass
class Result:
    """What a run has logged and what the tables hold after it."""

    log: str
    events: dict[int, dict[str, Any]]
    rooms: dict[int, dict[str, Any]]
    tags: dict[int, dict[str, Any]]

    @classmethod
    def of(cls, pipe: Pipeline, finished: Finished) -> Result:
        """Read the tables."""
        return cls(finished.output, *map(pipe.rows, ("events", "rooms", "tags")))


@pytest.fixture(scope="module")
def pipe(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The pipeline before its first run."""
    dataset = Dataset({"events": len(UPDATED), "rooms": 3, "tags": 3}, newest=NEWEST)
    for row in dataset["events"]:
        row |= {**SENT, "type": TYPE, "updatedOn": f"{UPDATED[row['id']]:%Y-%m-%dT%H:%M:%SZ}"}
    for row in dataset["rooms"]:
        row["capacity"] = 40
    with postgres(postgres_server) as database, Simulator(dataset) as service:
        home = tmp_path_factory.mktemp("home")
        yield Pipeline(
            service, database, pipeline.Workspace(home, service=service, database=database)
        )


@pytest.fixture(scope="module")
def first(pipe: Pipeline) -> Result:
    """The first run."""
    return Result.of(pipe, pipe.load())


@pytest.fixture(scope="module")
def printed(first: Result) -> str:
    """The lines for meltano.yml that the first run printed."""
    found = re.search(r" add to the extractor in meltano\.yml:\n((?: {4}.+\n)+)", first.log)
    assert found, first.log
    return found[1]


@pytest.fixture(scope="module")
def declared(pipe: Pipeline, printed: str) -> Result:
    """A run with the printed lines for events and others for rooms, after a change of a type."""
    path = pipe.workspace.folder / "meltano.yml"
    extractor = f"  - name: {pipeline.TAP}\n"
    before, name, after = path.read_text(encoding="utf-8").partition(extractor)
    _, _, rooms = documents.block(NEW_FIELDS, "Change a type", "yaml").partition("schema:\n")
    rooms += "        inspectedOn: " + definitions()["dates"] + "\n"
    path.write_text(before + name + printed + rooms + after, encoding="utf-8")
    with pipe.database.connect() as connection:
        connection.execute(documents.block(NEW_FIELDS, "Change a type", "sql").encode())
    events_sent = pipe.service.dataset["events"]
    events_sent.append({**events_sent[0], **SENT_AS_TEXT, "id": ADDED})
    return Result.of(pipe, pipe.load())


@pytest.fixture(scope="module")
def stream_read_again(pipe: Pipeline, declared: Result) -> Result:
    """A run of the recipe for one stream, after changes by hand."""
    assert declared.events
    for table in ("events", "tags"):
        pipe.change_by_hand(table, deleted=3)
    states = pipe.states()
    finished = pipe.run_recipe(documents.block(BACKFILLS, "Re-read a stream", "sh"))
    assert pipe.exported_streams() == {"events"}
    assert pipe.states() == states
    return Result.of(pipe, finished)


@pytest.fixture(scope="module")
def range_read_again(pipe: Pipeline, stream_read_again: Result) -> Result:
    """A run of the recipe for a range of one stream, after changes by hand."""
    assert stream_read_again.events
    pipe.change_by_hand("events", deleted=4)
    states = pipe.states()
    section = documents.section(BACKFILLS, "Re-read a range")
    run, clear = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    finished = pipe.run_recipe(run + clear)
    assert pipe.exported_streams() == {"events"}
    assert pipe.states() == states
    return Result.of(pipe, finished)


def definitions(column: int = 1) -> dict[str, str]:
    """Return a column of the documentation's table of types by kind of values."""
    lines = documents.section(NEW_FIELDS, "Types").splitlines()
    rows = [line.strip("|").split("|") for line in lines if line.startswith("| ")]
    return {row[0].strip(): row[column].strip(" `") for row in rows}


def names(rows: dict[int, dict[str, Any]]) -> dict[int, str]:
    """Return the names of rows by id."""
    return {key: row["name"] for key, row in rows.items()}


def test_run_prints_the_lines_that_declare_unknown_fields(first: Result, printed: str) -> None:
    fields = yaml.safe_load(printed)["schema"]["events"]
    assert {name: fields[name] for name in KINDS} == {
        name: yaml.safe_load(definitions()[kind]) for name, kind in KINDS.items()
    }
    assert fields["type"]["properties"]["color"] == {"type": ["string", "null"]}
    assert fields.keys() == {*KINDS, "type"}
    assert all(row.keys().isdisjoint(SENT) for row in first.events.values())


def test_pasted_lines_become_columns_of_the_documented_types(
    pipe: Pipeline, declared: Result
) -> None:
    assert "events: field" not in declared.log
    types = pipe.column_types("events")
    documented = definitions(2)
    assert {name: types[name] for name in KINDS} == {
        name: documented[kind] for name, kind in KINDS.items()
    }
    assert pipe.column_types("rooms")["inspectedOn"] == documented["dates"]


@pytest.mark.parametrize("key", [1, 2, ADDED])
def test_row_read_after_the_change_has_values_in_the_new_columns(
    declared: Result, key: int
) -> None:
    row = declared.events[key]
    assert {name: row[name] for name in LOADED} == LOADED
    assert row["type"] == TYPE
    assert row["_extra"] is None


@pytest.mark.parametrize("key", [3, 4, 5, 6])
def test_row_loaded_before_the_change_keeps_its_values_in_extra(declared: Result, key: int) -> None:
    row = declared.events[key]
    assert {row[name] for name in SENT} == {None}
    assert row["_extra"] == {**SENT, "type": TYPE}


def test_changed_type_is_that_of_the_new_column(pipe: Pipeline, declared: Result) -> None:
    assert pipe.column_types("rooms")["capacity"] == "text"
    assert [declared.rooms[key]["capacity"] for key in (1, 2, 3)] == ["40", None, None]


def test_stream_read_again_fills_columns_and_restores_rows(
    first: Result, stream_read_again: Result
) -> None:
    found = stream_read_again.events
    assert found.keys() == {*UPDATED, ADDED}
    for row in found.values():
        assert {name: row[name] for name in LOADED} == LOADED
        assert row["_extra"] is None
    assert names(found) == names(first.events) | {ADDED: first.events[1]["name"]}


def test_stream_read_again_leaves_other_streams_unchanged(
    declared: Result, stream_read_again: Result
) -> None:
    assert names(stream_read_again.tags) == {1: "by hand", 2: "by hand"}
    assert stream_read_again.rooms == declared.rooms


def test_range_read_again_restores_only_rows_of_the_range(
    first: Result, stream_read_again: Result, range_read_again: Result
) -> None:
    within = {4, 5}
    assert names(range_read_again.events) == {
        key: first.events[key]["name"] if key in within else "by hand" for key in (*UPDATED, ADDED)
    }
    assert range_read_again.rooms == stream_read_again.rooms
    assert range_read_again.tags == stream_read_again.tags
