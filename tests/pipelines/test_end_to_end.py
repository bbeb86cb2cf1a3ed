"""The service's rows through Meltano and real loaders, compared with what the service holds.

Only the service is a simulator. The runs against one database depend on each other: all rows, a
refused run, what has changed since, the models.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from examples.demo import warehouse
from tap_campusgroups.config import CONFIG
from tests.simulator import Dataset, Hang, Simulator
from tests.support import attendance, pipeline
from tests.support.harness import settings_for
from tests.support.pipes import pipe_into_jsonl
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulator import RecordedRequest, Row
    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

# As with the vendor's data lake, a day behind: bookmarks do not pass what may come late.
NEWEST = datetime.now(UTC).replace(microsecond=250_000) - timedelta(days=1)
PAGE_SIZE = 40
LOOKBACK = timedelta(hours=48)
WRONG_SECRET = "no-such-secret-5f1d"  # noqa: S105
CHANGED_STREAM, UNCHANGED_STREAM = "events", "rooms"
APPENDED = "campusgroups_appended"
MAX_CONCURRENT = CONFIG["properties"]["max_concurrent_exports"]["default"]
KEYS: Mapping[str, str] = {
    "events": "event_id",
    "checkins": "checkin_id",
    "rsvp": "rsvp_id",
    "users": "user_id",
    "groups": "group_id",
    "members": "membership_id",
}
"""Streams that have a model, and its key."""

HARD_VALUES: Mapping[str, Mapping[str, Any]] = {
    "payments": {
        "transactionDetails": 'tab\t, backslash \\, null \\N, "quotes", \r\n line\u2028 and 👩🏽‍🎓',
        "itemTitle": "NULL",
        "refundRequest": "",
        "amount": "12345678901234567890.123456789",
        "fee": 0.1,
        "rsvpId": 2**53 + 1,
    },
    "users": {
        "firstName": "\\N",
        "bio": "a NUL \0 here",
        "tags": [],
        "languages": [{"id": 1, "name": 'a "quoted", {braced} \\ name'}, {"id": None, "name": ""}],
        "preferredEmail": {},
        "createdOn": "1969-12-31 19:00:00.5-05:00",
    },
}
"""Fields of a stream's second row that careless quoting, floats or time zones would spoil."""

ODD_VALUES: Mapping[str, Mapping[str, Any]] = {
    "rooms": {
        "capacity": "plenty",
        "type": {"id": "3", "name": "Hall", "floors": [1, 2.50]},
        "seatMap": {"rows": [{"a": 1}], "note": "naïve “quotes” \\ 🎓"},
        "opened": "",
    },
    "checkins": {"checkedinUserId": {"id": 2.25}, "gate": None},
}
"""Fields of a stream's third row that its schema does not foresee, wholly or in part."""

ODD_RECORDS: Mapping[str, Mapping[str, Any]] = {
    "rooms": {"capacity": None, "type": {"id": 3, "name": "Hall"}},
    "checkins": {"checkedinUserId": None},
}
"""What of them is in their columns; `_extra` has all of them as they came."""

Table = dict[int, dict[str, Any]]


@dataclass
class PipelineRun:
    """What a run through Meltano left.

    Attributes:
        finished: How Meltano ended.
        requests: What the service was asked.
        source: Rows of the service by stream.
        tables: Rows of the database by stream and id.
        copies: Rows of the database by stream, as a number.
    """

    finished: Finished
    requests: list[RecordedRequest]
    source: dict[str, list[Row]]
    tables: dict[str, Table]
    copies: dict[str, int]

    def asked(self, method: str, stream: str) -> list[RecordedRequest]:
        """Pick the requests of a method for a stream."""
        return [one for one in self.requests if (one.method, one.stream) == (method, stream)]


class Pipeline:
    """The service, the database, and Meltano between them.

    Attributes:
        service: The service.
        database: The database.
        home: Folder of all that the programs keep.
        workspace: Where Meltano runs.
    """

    def __init__(self, service: Simulator, database: Postgres, home: Path) -> None:
        self.service = service
        self.database = database
        self.home = home
        self.workspace = pipeline.Workspace(home, service=service, database=database)

    def run(self, **more: str) -> PipelineRun:
        """Run Meltano, and look at what is there then.

        Args:
            **more: Environment variables of this run.
        """
        self.service.reset_log()
        settings = {"TAP_CAMPUSGROUPS_PAGE_SIZE": str(PAGE_SIZE), **more}
        finished = self.workspace.meltano(*pipeline.LOAD, variables=settings)
        rows = {stream: self._rows(stream) for stream in self.service.dataset.streams}
        return PipelineRun(
            finished=finished,
            requests=self.service.requests,
            source={
                stream: deepcopy(self.service.dataset[stream])
                for stream in self.service.dataset.streams
            },
            tables={stream: {row["id"]: row for row in found} for stream, found in rows.items()},
            copies={stream: len(found) for stream, found in rows.items()},
        )

    def _rows(self, stream: str) -> list[dict[str, Any]]:
        query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(warehouse.SCHEMA, stream))
        with self.database.connect() as connection:
            try:
                found = connection.execute(query)
            except psycopg.errors.UndefinedTable:
                return []  # after a run that failed, whose log the tests show
            names = [column.name for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]


@pytest.fixture(scope="module", autouse=True)
def _plugins() -> None:
    if missing := pipeline.missing_plugins():
        pytest.fail(f"not installed: {', '.join(missing)}; run `make test`, which does it")


def make_dataset() -> Dataset:
    """Make rows: of each stream another number, from a page to three."""
    streams = Dataset(0, newest=NEWEST).streams
    counts = {stream: 30 + 17 * number % 71 for number, stream in enumerate(streams)}
    dataset = Dataset(counts, newest=NEWEST)
    for stream, values in HARD_VALUES.items():
        dataset[stream][1].update(deepcopy(dict(values)))
    for stream, values in ODD_VALUES.items():
        dataset[stream][2].update(deepcopy(dict(values)))
    return dataset


@pytest.fixture(scope="module")
def pipe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The pipeline, before its first run."""
    with postgres() as database, Simulator(make_dataset()) as service:
        with database.connect() as connection:
            name = sql.Identifier(connection.info.dbname)
            # As on a server at the user's place: timestamps shift unless the loader says UTC.
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET timezone = 'America/New_York'").format(name)
            )
        yield Pipeline(service, database, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def first(pipe: Pipeline) -> PipelineRun:
    """The first run: everything."""
    return pipe.run()


@pytest.fixture(scope="module")
def refused(pipe: Pipeline, first: PipelineRun) -> PipelineRun:
    """A run after the first, with a secret that the service does not know."""
    assert first.finished.code == 0, first.finished.output
    return pipe.run(TAP_CAMPUSGROUPS_API_SECRET=WRONG_SECRET)


@pytest.fixture(scope="module")
def second(pipe: Pipeline, refused: PipelineRun) -> PipelineRun:
    """The run after that, for which one stream has changed and new rows."""
    assert refused.finished.code != 0
    keep_copies(pipe.database)
    rows = pipe.service.dataset[CHANGED_STREAM]
    later = iter(range(1, 10))
    for row in (rows[0], rows[2]):
        row.update(name=f"{row['name']}, moved ✔", updatedOn=after_newest(next(later)))
    new = pipe.service.dataset.row(CHANGED_STREAM, len(rows) + 1)
    rows.append({**new, "updatedOn": after_newest(next(later))})
    for row in deleted_and_restored(pipe.service.dataset["checkins"]):
        row.update(deleted=not row["deleted"], updatedOn=after_newest(next(later)))
    return pipe.run()


@pytest.fixture(scope="module")
def models(pipe: Pipeline, second: PipelineRun) -> PipelineRun:
    """The models of what the first and the second run loaded, as an appending loader leaves it."""
    with pipe.database.connect() as connection:
        for stream in KEYS:
            connection.execute(
                sql.SQL(
                    "INSERT INTO {0} SELECT * FROM {1} WHERE _sdc_batched_at >"
                    " (SELECT max(_sdc_batched_at) FROM {0})"
                ).format(sql.Identifier(APPENDED, stream), sql.Identifier(warehouse.SCHEMA, stream))
            )
    finished = pipe.workspace.meltano(
        *pipeline.MODEL, variables={"DBT_POSTGRES_RAW_SCHEMA": APPENDED}
    )
    return replace(second, finished=finished)


def keep_copies(database: Postgres) -> None:
    """Copy the tables that the models read."""
    with database.connect() as connection:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(APPENDED)))
        for stream in KEYS:
            connection.execute(
                sql.SQL("CREATE TABLE {} AS TABLE {}").format(
                    sql.Identifier(APPENDED, stream), sql.Identifier(warehouse.SCHEMA, stream)
                )
            )


def deleted_and_restored(checkins: list[Row]) -> list[Row]:
    """Pick two check-ins that the second run finds deleted, and one that it finds restored."""
    there = [row for row in checkins[3:] if row["deleted"] is False]
    gone = [row for row in checkins[3:] if row["deleted"] is True]
    return [*there[:2], *gone[:1]]


def after_newest(hours: int) -> str:
    """Write an instant after the newest row of the first run."""
    return (NEWEST + timedelta(hours=hours)).isoformat(timespec="milliseconds")


# Comparing


def comparable(definition: Mapping[str, Any], value: Any) -> Any:
    """Bring a value of the service or of the database into one form, by the field's schema."""
    if value is None:
        return None
    types = definition["type"]
    (kind,) = {types} if isinstance(types, str) else set(types) - {"null"}
    form: Any
    match kind, definition.get("format"):
        case "string", "date-time":
            instant = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            # The loader's columns have no time zone; they are to hold UTC.
            form = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
        case "string", "date":
            form = value if isinstance(value, date) else date.fromisoformat(value)
        case "number", _:
            form = Decimal(str(value))
        case "object", _ if "properties" not in definition:
            form = value
        case "object", _:
            fields = definition["properties"]
            form = {name: comparable(fields[name], item) for name, item in value.items()}
        case "array", _:
            form = [comparable(definition["items"], item) for item in value]
        case "string", None:
            form = value.replace("\0", "\ufffd")  # PostgreSQL has no NUL; the loader replaces it
        case _:
            form = (type(value), value)
    return form


def differences(schema: Mapping[str, Any], row: Row, loaded: Mapping[str, Any]) -> list[str]:
    """Compare a row of the service with a row of the database, field by field."""
    fields = schema["properties"]
    columns = {name for name in loaded if not name.startswith("_sdc_")}
    found = [f"{name}: only on one side" for name in columns ^ set(fields)]
    for name in columns & set(fields):
        sent, arrived = row[name], loaded[name]
        if comparable(fields[name], sent) != comparable(fields[name], arrived):
            found.append(f"{name}: {sent!r} arrived as {arrived!r}")
    return found


def foreseen(stream: str, row: Row) -> Row:
    """Say what of a row should be in which column."""
    odd = ODD_VALUES.get(stream, {}) if row["id"] == 3 else {}
    record = {**row, **ODD_RECORDS.get(stream, {})} if odd else row
    return {"_extra": dict(odd) or None, **record}


def all_differences(dataset: Dataset, stage: PipelineRun) -> list[str]:
    """Compare every row of every stream with the database, both ways."""
    found = []
    for stream, rows in stage.source.items():
        table = stage.tables[stream]
        ids = [row["id"] for row in rows]
        found += [f"{stream} {key}: nowhere in the service" for key in set(table) - set(ids)]
        for row in rows:
            key = row["id"]
            if key not in table:
                found.append(f"{stream} {key}: did not arrive")
                continue
            found += [
                f"{stream} {key} {text}"
                for text in differences(dataset.schema(stream), foreseen(stream, row), table[key])
            ]
    return found


def payload(table: Table) -> Table:
    """Leave out the loader's own columns."""
    return {
        key: {name: value for name, value in row.items() if not name.startswith("_sdc_")}
        for key, row in table.items()
    }


# The first run


def test_every_value_of_every_row_arrives(pipe: Pipeline, first: PipelineRun) -> None:
    assert first.finished.code == 0, first.finished.output
    assert len(first.tables) == 23
    assert first.copies == {stream: len(rows) for stream, rows in first.source.items()}
    assert all_differences(pipe.service.dataset, first) == []


def test_comparison_sees_what_differs(pipe: Pipeline, first: PipelineRun) -> None:
    other = deepcopy(first)
    payment, user = other.source["payments"][1], other.source["users"][1]
    payment.update(
        amount="12345678901234567890.123456788", refundRequest=None, deleted=int(payment["deleted"])
    )
    user.update(createdOn="1969-12-31T19:00:00.5Z", languages=user["languages"][:1])
    del other.tables["rooms"][1]
    found = " ".join(all_differences(pipe.service.dataset, other))
    for text in (
        "payments 2 amount:",
        "payments 2 refundRequest:",
        "payments 2 deleted:",
        "users 2 createdOn:",
        "users 2 languages:",
        "rooms 1: did not arrive",
    ):
        assert text in found
    assert len(all_differences(pipe.service.dataset, other)) == 6


def test_what_the_schema_does_not_foresee_is_in_extra(first: PipelineRun) -> None:
    for stream, values in ODD_VALUES.items():
        loaded = first.tables[stream][3]
        assert loaded["_extra"] == values
        assert {name: loaded[name] for name in ODD_RECORDS[stream]} == ODD_RECORDS[stream]
    others = [row["_extra"] for table in first.tables.values() for row in table.values()]
    assert len([extra for extra in others if extra is not None]) == len(ODD_VALUES)


def test_first_run_follows_every_page(first: PipelineRun) -> None:
    for stream, rows in first.source.items():
        assert len(first.asked("POST", stream)) == 1
        assert len(first.asked("GET", stream)) == -(-len(rows) // PAGE_SIZE)
    assert max(len(rows) for rows in first.source.values()) > 2 * PAGE_SIZE


def test_secret_is_in_no_log(pipe: Pipeline, first: PipelineRun) -> None:
    logs = [path.read_text() for path in pipe.home.rglob("*.log")]
    assert logs
    assert pipe.service.api_secret not in "".join([first.finished.output, *logs])


# A run with a wrong secret


def test_refused_run_fails_and_says_why(pipe: Pipeline, refused: PipelineRun) -> None:
    assert refused.finished.code != 0
    assert "Check api_secret and school_code" in refused.finished.output
    assert WRONG_SECRET not in refused.finished.output
    logs = "".join(path.read_text() for path in pipe.home.rglob("*.log"))
    assert WRONG_SECRET not in logs


def test_refused_run_asks_once(refused: PipelineRun) -> None:
    assert [(one.method, one.status) for one in refused.requests] == [("POST", 401)]


def test_refused_run_changes_nothing(first: PipelineRun, refused: PipelineRun) -> None:
    assert refused.tables == first.tables
    assert refused.copies == first.copies


# A run on top of another one


def test_second_run_brings_what_has_changed(pipe: Pipeline, second: PipelineRun) -> None:
    assert second.finished.code == 0, second.finished.output
    assert second.copies == {stream: len(rows) for stream, rows in second.source.items()}
    assert all_differences(pipe.service.dataset, second) == []
    assert second.tables[CHANGED_STREAM][1]["name"].endswith(", moved ✔")


def test_second_run_touches_nothing_else(first: PipelineRun, second: PipelineRun) -> None:
    for stream, table in first.tables.items():
        newer = {
            key
            for key, row in second.tables[stream].items()
            if row["updatedOn"].replace(tzinfo=UTC) >= (NEWEST - LOOKBACK).replace(microsecond=0)
        }
        old = {key: row for key, row in table.items() if key not in newer}
        assert len(old) > len(newer)
        # With the loader's own columns: these rows were not even loaded again.
        assert {key: second.tables[stream][key] for key in old} == old


def test_second_run_reads_from_the_bookmark_less_the_lookback(
    first: PipelineRun, second: PipelineRun
) -> None:
    assert second.finished.code == 0, second.finished.output
    for stream in second.source:
        (before,) = first.asked("POST", stream)
        assert before.query["updatedStart"] == "2000-01-01T00:00:00Z"
        # Of the first run, for the refused one in between must not have moved the bookmark.
        (submitted,) = second.asked("POST", stream)
        assert submitted.query["updatedStart"] == f"{NEWEST - LOOKBACK:%Y-%m-%dT%H:%M:%SZ}"
        assert submitted.query["updatedEnd"] > before.query["updatedEnd"]
        assert len(second.asked("GET", stream)) == 1


# Models


def figures(database: Postgres, query: str) -> attendance.Figures:
    """Read a model: by the first column, the others."""
    with database.connect() as connection:
        return {key: tuple(rest) for key, *rest in connection.execute(query.encode())}


def test_models_build_and_their_tests_pass(models: PipelineRun) -> None:
    assert models.finished.code == 0, models.finished.output
    assert "ERROR=0" in models.finished.output
    assert "WARN=0" in models.finished.output


def test_staging_has_the_latest_row_of_what_is_not_deleted(
    pipe: Pipeline, first: PipelineRun, models: PipelineRun
) -> None:
    assert models.finished.code == 0, models.finished.output
    for stream, key in KEYS.items():
        query = f"SELECT {key}, updated_on FROM analytics.stg_campusgroups__{stream}"  # noqa: S608
        expected = {
            number: (row["updatedOn"],)
            for number, row in models.tables[stream].items()
            if row.get("deleted") is not True
        }
        assert figures(pipe.database, query) == expected
    names = figures(
        pipe.database,
        "SELECT event_id, event_name FROM analytics.stg_campusgroups__events"
        " WHERE event_name LIKE '%, moved ✔'",
    )
    assert set(names) <= {1, 3}
    assert names
    *deleted, restored = deleted_and_restored(deepcopy(first.source["checkins"]))
    there = figures(pipe.database, "SELECT checkin_id FROM analytics.stg_campusgroups__checkins")
    assert restored["id"] in there
    assert not {row["id"] for row in deleted} & set(there)


def test_models_count_what_the_service_holds(pipe: Pipeline, models: PipelineRun) -> None:
    assert models.finished.code == 0, models.finished.output
    # Each of these keys came more than once.
    for stream in ("events", "checkins"):
        (twice,) = figures(
            pipe.database,
            f"SELECT count(*) - count(DISTINCT id) FROM {APPENDED}.{stream}",  # noqa: S608
        )
        assert twice > 0
    source = {stream: [foreseen(stream, row) for row in models.source[stream]] for stream in KEYS}
    events = attendance.by_event(source)
    assert sum(checkins for *_, checkins, _, _ in events.values()) > 0
    assert (
        figures(
            pipe.database,
            "SELECT event_id, week, rsvps, going, checkins, attendees, show_up_rate"
            " FROM analytics.attendance_by_event",
        )
        == events
    )
    assert figures(
        pipe.database,
        "SELECT week, events, rsvps, going, checkins, attendees, show_up_rate"
        " FROM analytics.attendance_by_week",
    ) == attendance.by_week(events)


# Without Meltano


def tap_command(*arguments: str) -> list[str | Path]:
    """Return the command line of the installed tap, with its settings in the environment."""
    return [Path(sys.executable).with_name(pipeline.TAP), "--config", "ENV", *arguments]


def tap_environment(service: Simulator, home: Path) -> dict[str, str]:
    """Return the environment of a tap without Meltano."""
    settings = {
        f"TAP_CAMPUSGROUPS_{name.upper()}": text for name, text in settings_for(service).items()
    }
    return pipeline.bare_environment(home) | settings


def test_plain_pipe_into_jsonl(tmp_path: Path) -> None:
    dataset = make_dataset()
    folder = tmp_path / "files"
    folder.mkdir()
    with Simulator(dataset) as service:
        environment = tap_environment(service, tmp_path)
        written = pipe_into_jsonl(tap_command(), environment, folder, tmp_path / "target.json")
    loaded = {
        path.stem: sorted(json.loads(line)["id"] for line in path.read_bytes().splitlines())
        for path in folder.iterdir()
    }
    assert loaded == {
        stream: sorted(row["id"] for row in dataset[stream]) for stream in dataset.streams
    }
    (state,) = map(json.loads, written.splitlines()[-1:])
    assert set(state["bookmarks"]) == set(dataset.streams)


def test_reader_that_goes_away_ends_the_tap(tmp_path: Path) -> None:
    dataset = Dataset(300, newest=NEWEST)
    with Simulator(dataset) as service:
        # Only the first stream has pages, or a quick tap could ask for all before the reader goes.
        for stream in sorted(dataset.streams)[1:]:
            service.inject(Hang().on(stream, "first_page", times=None))
        with subprocess.Popen(
            tap_command(),
            env=tap_environment(service, tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as tap:
            assert tap.stdout is not None
            assert tap.stderr is not None
            try:
                for _ in range(5):
                    message = json.loads(tap.stdout.readline())
                    assert message["type"] in {"SCHEMA", "RECORD", "STATE"}
                tap.stdout.close()
                log = tap.stderr.read().decode()
                code = tap.wait(timeout=60)
            finally:
                tap.kill()
        asked = {one.stream for one in service.requests}
    assert code in {1, 128 + signal.SIGPIPE, -signal.SIGPIPE}, log
    assert "Traceback" not in log
    assert "Output pipe closed: the target exited early." in log.splitlines()[-1]
    assert len(asked) <= 1 + MAX_CONCURRENT
