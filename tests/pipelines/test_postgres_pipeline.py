"""Rows through Meltano, target-postgres and dbt, compared with what the service holds.

Only the service is simulated. The runs build on each other: everything, later changes, the models.
They are the container's command of examples/nightly, with the state in PostgreSQL. The first run
logs everything, the second one what a night logs.
"""

from __future__ import annotations

import re
import shlex
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from psycopg import sql

from tests.simulator import Dataset, Simulator
from tests.support import attendance, documents, nightly, pipeline
from tests.support.loaded_values import differences
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulator import RecordedRequest, Row
    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

SCHEMA = "campusgroups"
"""The schema that target-postgres loads into."""

# A day behind, like the vendor's data lake. Newer bookmarks would be limited by the lookback.
NEWEST = datetime.now(UTC).replace(microsecond=250_000) - timedelta(days=1)
PAGE_SIZE = 40
LOOKBACK = timedelta(hours=48)
CHANGED_STREAM = "events"
APPENDED = "campusgroups_appended"
MAX_LOG_LINES = 45
KEYS: Mapping[str, str] = {
    "events": "event_id",
    "checkins": "checkin_id",
    "rsvp": "rsvp_id",
    "users": "user_id",
    "groups": "group_id",
    "members": "membership_id",
    "budgets": "budget_id",
    "budget_transactions": "transaction_id",
}
"""Key of each stream's staging model."""

HARD_VALUES: Mapping[str, Mapping[str, Any]] = {
    "payments": {
        "transactionDetails": 'tab\t, backslash \\, null \\N, "quotes", \r\n line\u2028 and 👩🏽‍🎓',
        "itemTitle": "NULL, 100 %, %s, %(id)s, :id, {} and '; --",
        "refundRequest": "",
        "amount": "12345678901234567890.123456789",
        "fee": 0.1,
        "rsvpId": 2**53 + 1,
    },
    "budgets": {"totalAllocation": "98765432109876543210.01", "deleted": False},
    "budget_transactions": {
        "amountFromAllocation": "-0.1234567890123456789",
        "budgetId": 2,
        "deleted": False,
    },
    "surveys": {
        "createdOn": "0001-01-01T00:00:00Z",
        "openDate": "9999-12-31T23:59:59.999999Z",
        "closeDate": "2025-03-04T05:06:07.123456+05:30",
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
"""Fields of a stream's second row that wrong quoting, floats or time zones would change."""

Table = dict[int, dict[str, Any]]


@dataclass
class PipelineRun:
    """The result of a run through Meltano.

    Attributes:
        finished: How Meltano ended.
        requests: Requests to the service.
        source: Rows of the service by stream.
        tables: Rows of the database by stream and id.
        counts: Number of rows of the database by stream.
    """

    finished: Finished
    requests: list[RecordedRequest]
    source: dict[str, list[Row]]
    tables: dict[str, Table]
    counts: dict[str, int]

    def requests_of(self, method: str, stream: str) -> list[RecordedRequest]:
        """Return the requests with a method for a stream."""
        return [one for one in self.requests if (one.method, one.stream) == (method, stream)]


class Pipeline(NamedTuple):
    """The service, the database, and Meltano between them."""

    service: Simulator
    database: Postgres
    workspace: pipeline.Workspace

    def run(self, **variables: str) -> PipelineRun:
        """Run Meltano with additional variables, and return what it has loaded."""
        self.service.reset_log()
        finished = self.workspace.shell(shlex.join(nightly.container_command()), variables)
        assert finished.code == 0, finished.output
        streams = self.service.dataset.streams
        rows = {stream: self.database.rows(SCHEMA, stream) for stream in streams}
        return PipelineRun(
            finished=finished,
            requests=self.service.requests,
            source={stream: deepcopy(self.service.dataset[stream]) for stream in streams},
            tables={stream: {row["id"]: row for row in found} for stream, found in rows.items()},
            counts={stream: len(found) for stream, found in rows.items()},
        )


def make_dataset() -> Dataset:
    """Return one to three pages of rows per stream, in different numbers."""
    streams = Dataset(0, newest=NEWEST).streams
    counts = {stream: 30 + 17 * number % 71 for number, stream in enumerate(streams)}
    dataset = Dataset(counts, newest=NEWEST)
    for stream, values in HARD_VALUES.items():
        dataset[stream][1].update(deepcopy(dict(values)))
    # Some members attend an event of their group.
    group_of = {row["id"]: row["groupId"] for row in dataset["events"]}
    for row, checkin in zip(dataset["members"][::2], dataset["checkins"][3:], strict=False):
        group = group_of.get(checkin["eventId"])
        row.update(userId=checkin["checkedinUserId"], groupId=group, member=1, validated=True)
        row.update(createdOn=f"{NEWEST - timedelta(days=500)}", membershipEndDate=None)
    return dataset


@pytest.fixture(scope="module")
def pipe(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    """The pipeline before its first run."""
    with postgres(postgres_server) as database, Simulator(make_dataset()) as service:
        with database.connect() as connection:
            name = sql.Identifier(connection.info.dbname)
            # With any time zone but UTC, timestamps shift unless the loader's session has UTC.
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET timezone = 'America/New_York'").format(name)
            )
        home = tmp_path_factory.mktemp("home")
        workspace = pipeline.Workspace(home, service=service, database=database)
        workspace.environment |= {
            "TAP_CAMPUSGROUPS_PAGE_SIZE": str(PAGE_SIZE),
            "MELTANO_DATABASE_URI": database.sqlalchemy_url,
        }
        yield Pipeline(service, database, workspace)


@pytest.fixture(scope="module")
def first(pipe: Pipeline) -> PipelineRun:
    """The first run, which loads everything."""
    debug = str(pipe.workspace.folder / "examples" / "logging" / "debug.yaml")
    return pipe.run(SINGER_SDK_LOG_CONFIG=debug, TARGET_POSTGRES_LOG_CONFIG=debug)


@pytest.fixture(scope="module")
def second(pipe: Pipeline, first: PipelineRun) -> PipelineRun:
    """The second run, after changes and new rows."""
    assert first.tables
    with pipe.database.connect() as connection:
        connection.execute(f"CREATE SCHEMA {APPENDED}".encode())
        for stream in KEYS:
            query = f"CREATE TABLE {APPENDED}.{stream} AS TABLE {SCHEMA}.{stream}"
            connection.execute(query.encode())
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
    """The models of both runs' rows as an appending loader stores them: a row per version."""
    with pipe.database.connect() as connection:
        for stream in KEYS:
            query = (
                f"INSERT INTO {APPENDED}.{stream} SELECT * FROM {SCHEMA}.{stream}"  # noqa: S608
                f" WHERE _sdc_batched_at > (SELECT max(_sdc_batched_at) FROM {APPENDED}.{stream})"
            )
            connection.execute(query.encode())
    finished = pipe.workspace.meltano(
        *pipeline.MODEL,
        variables={"DBT_POSTGRES_RAW_SCHEMA": APPENDED, "DBT_POSTGRES_SCHEMA": "analytics"},
    )
    assert finished.code == 0, finished.output
    return replace(second, finished=finished)


def deleted_and_restored(checkins: list[Row]) -> list[Row]:
    """Return two check-ins that the second run finds deleted and one that it finds restored."""
    there = [row for row in checkins[3:] if row["deleted"] is False]
    gone = [row for row in checkins[3:] if row["deleted"] is True]
    return [*there[:2], *gone[:1]]


def after_newest(hours: int) -> str:
    """Return a timestamp after the newest row of the first run."""
    return (NEWEST + timedelta(hours=hours)).isoformat(timespec="milliseconds")


# Comparing


def all_differences(dataset: Dataset, stage: PipelineRun) -> list[str]:
    """Compare all rows of all streams with the database in both directions."""
    found = []
    for stream, rows in stage.source.items():
        schema, table = dataset.schema(stream), dict(stage.tables[stream])
        for row in rows:
            key = row["id"]
            loaded = table.pop(key, {})
            found += [
                f"{stream} {key} {text}"
                for text in differences(schema, {"_extra": None, **row}, loaded)
            ]
        found += [f"{stream} {key}: not in the service" for key in table]
    return found


# The first run


def test_first_run_loads_every_value_of_every_row(pipe: Pipeline, first: PipelineRun) -> None:
    assert len(first.tables) == 23
    assert first.counts == {stream: len(rows) for stream, rows in first.source.items()}
    assert all_differences(pipe.service.dataset, first) == []


def test_documented_query_shows_the_age_of_the_data(pipe: Pipeline, first: PipelineRun) -> None:
    assert first.tables
    query = documents.block("docs/nightly.md", "What to watch", "sql")
    with pipe.database.connect() as connection:
        ((age,),) = connection.execute(query.encode())
    # A day, or less by the hours of the changes of the second run.
    assert timedelta(hours=14) < age < timedelta(hours=25)


def test_first_run_fetches_every_page_once(first: PipelineRun) -> None:
    for stream, rows in first.source.items():
        assert len(first.requests_of("POST", stream)) == 1
        assert len(first.requests_of("GET", stream)) == -(-len(rows) // PAGE_SIZE)
    assert max(len(rows) for rows in first.source.values()) > 2 * PAGE_SIZE


def test_no_file_contains_the_secret(pipe: Pipeline, first: PipelineRun) -> None:
    files = [path for path in pipe.workspace.folder.rglob("*") if path.is_file()]
    texts = [first.finished.output.encode(), *(path.read_bytes() for path in files)]
    assert len(texts) > 10
    assert not any(pipe.service.api_secret.encode() in text for text in texts)


def test_debug_log_has_every_step_and_no_record(first: PipelineRun) -> None:
    log = first.finished.output
    for text in (
        *("DEBUG   Export submitted: stream={}", "DEBUG   Stream completed: stream={}"),
        *("DEBUG   Beginning sync of '{}'", "METRIC: {{.*", '"stream":"{}"'),
    ):
        missing = [one for one in first.source if not re.search(text.format(one), log)]
        assert missing == [], text
    assert "DEBUG   Skipping parse of env var settings" in log
    assert log.count("Inserting with SQL: ") >= len(first.source)
    emails = {row["email"] for row in first.source["users"] if row["email"]}
    assert emails
    assert not [email for email in emails if email in log]


# The second run


def test_night_of_all_streams_is_a_page_of_log(second: PipelineRun) -> None:
    """Lines of Meltano, the tap's summary with a line per stream, and a few of the loader."""
    lines = second.finished.output.splitlines()
    assert len(lines) < MAX_LOG_LINES, second.finished.output
    rows = [line for stream in second.source for line in lines if line.split()[:1] == [stream]]
    assert len(rows) == len(second.source)
    assert [line for line in lines if "target-postgres " in line and "completed processing" in line]


def test_second_run_loads_changes_and_new_rows(pipe: Pipeline, second: PipelineRun) -> None:
    assert second.counts == {stream: len(rows) for stream, rows in second.source.items()}
    assert all_differences(pipe.service.dataset, second) == []
    assert second.tables[CHANGED_STREAM][1]["name"].endswith(", moved ✔")


def test_second_run_does_not_reload_older_rows(first: PipelineRun, second: PipelineRun) -> None:
    for stream, table in first.tables.items():
        newer = {
            key
            for key, row in second.tables[stream].items()
            if row["updatedOn"].replace(tzinfo=UTC) >= (NEWEST - LOOKBACK).replace(microsecond=0)
        }
        old = {key: row for key, row in table.items() if key not in newer}
        assert len(old) > len(newer)
        # Including the loader's own columns, which every load changes.
        assert {key: second.tables[stream][key] for key in old} == old


def test_second_run_reads_from_bookmark_minus_lookback(
    pipe: Pipeline, first: PipelineRun, second: PipelineRun
) -> None:
    states = pipeline.database_states(pipe.database)
    assert states.keys() == {"dev:tap-campusgroups-to-target-postgres"}
    for stream in second.source:
        (before,) = first.requests_of("POST", stream)
        assert before.query["updatedStart"] == "1900-01-01T00:00:00Z"
        (submitted,) = second.requests_of("POST", stream)
        assert submitted.query["updatedStart"] == f"{NEWEST - LOOKBACK:%Y-%m-%dT%H:%M:%SZ}"
        assert submitted.query["updatedEnd"] > before.query["updatedEnd"]
        assert len(second.requests_of("GET", stream)) == 1


# Models


def figures(database: Postgres, query: str) -> attendance.Figures:
    """Return the rows of a model by their first column."""
    with database.connect() as connection:
        return {key: tuple(rest) for key, *rest in connection.execute(query.encode())}


def test_models_build_without_errors_and_warnings(models: PipelineRun) -> None:
    assert "ERROR=0" in models.finished.output
    assert "WARN=0" in models.finished.output


def test_staging_models_have_the_latest_version_of_rows_not_deleted(
    pipe: Pipeline, first: PipelineRun, models: PipelineRun
) -> None:
    for stream, key in KEYS.items():
        query = f"SELECT {key}, updated_on FROM analytics.stg_campusgroups__{stream}"  # noqa: S608
        expected = {
            number: (row["updatedOn"],)
            for number, row in models.tables[stream].items()
            if row.get("deleted") is not True
        }
        assert figures(pipe.database, query) == expected
    *deleted, restored = deleted_and_restored(deepcopy(first.source["checkins"]))
    there = figures(pipe.database, "SELECT checkin_id FROM analytics.stg_campusgroups__checkins")
    assert restored["id"] in there
    assert not {row["id"] for row in deleted} & set(there)


def test_attendance_models_agree_with_the_service(pipe: Pipeline, models: PipelineRun) -> None:
    events = attendance.by_event(models.source)
    assert sum(checkins for *_, checkins, _, _ in events.values()) > 0
    query = (
        "SELECT event_id, week, rsvps, going, checkins, attendees, show_up_rate"
        " FROM analytics.attendance_by_event"
    )
    assert figures(pipe.database, query) == events
    sums = "SELECT 1, sum(going), sum(checkins), sum(attendees) FROM analytics.attendance_by_"
    of_events = figures(pipe.database, f"{sums}event WHERE week IS NOT NULL")
    assert figures(pipe.database, f"{sums}week") == of_events
