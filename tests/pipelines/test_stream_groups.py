"""The groups of streams in meltano.yml: two run at the same time, and dbt reads one of them."""

from __future__ import annotations

import fnmatch
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import yaml
from psycopg import sql

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Simulator, StillRunning
from tests.support import documents
from tests.support.harness import wait_until
from tests.support.pipeline import Workspace
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Postgres

# The definitions


PROJECT_FILE: dict[str, Any] = yaml.safe_load(documents.read("meltano.yml"))
GROUPS = {
    extractor["name"].partition("--")[2]: extractor
    for extractor in PROJECT_FILE["plugins"]["extractors"]
    if "inherit_from" in extractor
}


def streams_of(group: str, version: ApiVersion = ApiVersion.V1_0) -> list[str]:
    """Return the streams that a group selects."""
    patterns = [pattern.removesuffix(".*") for pattern in GROUPS[group]["select"]]
    return [name for pattern in patterns for name in fnmatch.filter(STREAMS[version], pattern)]


@pytest.mark.parametrize("version", ApiVersion)
def test_groups_have_every_stream_once(version: ApiVersion) -> None:
    found = [name for group in GROUPS for name in streams_of(group, version)]
    assert sorted(found) == sorted(STREAMS[version])


def test_documented_schedules_start_each_group_at_a_minute_of_its_own() -> None:
    assert [schedule["job"] for schedule in PROJECT_FILE["schedules"]] == ["nightly"]
    block = documents.block("docs/scale-out.md", "Groups of streams", "yaml")
    schedules = yaml.safe_load(block)["schedules"]
    assert [schedule["job"] for schedule in schedules] == list(GROUPS)
    assert len({schedule["interval"].split()[0] for schedule in schedules}) == len(GROUPS)


def test_each_group_has_a_job_and_a_part_of_the_concurrent_exports() -> None:
    jobs = {job["name"]: job["tasks"] for job in PROJECT_FILE["jobs"]}
    for group, extractor in GROUPS.items():
        assert jobs[group] == [f"{extractor['name']} target-postgres"]
    parts = [extractor["config"]["max_concurrent_exports"] for extractor in GROUPS.values()]
    settings = PROJECT_FILE["plugins"]["extractors"][0]["settings"]
    (limit,) = (one["value"] for one in settings if one["name"] == "max_concurrent_exports")
    assert sum(parts) == limit


# Two groups and dbt

LOOKBACK = timedelta(hours=48)
COMPLETE = datetime.now(UTC).replace(microsecond=0) - LOOKBACK
PER_WEEK, REMAINING = 60, 25
LAST_WEEK = COMPLETE.date() - timedelta(days=COMPLETE.weekday() + 7)
"""Monday of the last complete week."""

ATTENDANCE, FRESHNESS = "dbt-postgres:attendance", "dbt-postgres:freshness"


class Runs(NamedTuple):
    """The results of a run of two groups, and of the dbt commands after rows were lost.

    Then the data lake has moved on, but the run is old.

    Attributes:
        states: Streams with a bookmark by state id.
        tables: Names of the tables by schema, at the end.
        output: Output of dbt.
        events: Ids of the events with attendance.
    """

    states: dict[str, set[str]]
    tables: dict[str, set[str]]
    output: str
    events: list[int]


def make_dataset() -> Dataset:
    """Return weeks of answers and check-ins, and one check-in of more than a year ago."""
    count = 9 * PER_WEEK
    counts = {"events": 20, "rsvp": count, "checkins": count + 1}
    counts |= dict.fromkeys(streams_of("money"), 3)
    dataset = Dataset(counts, newest=COMPLETE - timedelta(hours=1))
    for row in dataset["events"]:
        row.update(deleted=False, draft=False, template=False)
    for stream in ("rsvp", "checkins"):
        for number, row in enumerate(dataset[stream]):
            week = LAST_WEEK - timedelta(weeks=number // PER_WEEK)
            row["createdOn"] = f"{week + timedelta(days=number % 7)}T12:00:00Z"
            row["deleted"] = False
    dataset["checkins"][-1]["createdOn"] = f"{LAST_WEEK - timedelta(weeks=60)}T12:00:00Z"
    return dataset


def run(workspace: Workspace, *arguments: str) -> str:
    """Run Meltano, check that it succeeds, and return its log."""
    finished = workspace.meltano("run", *arguments)
    assert finished.code == 0, finished.output
    return finished.output


def run_two_groups(workspace: Workspace, service: Simulator, database: Postgres) -> None:
    """Run a group while another one waits for the service.

    They do not start at the same moment: Meltano writes the loader's logging configuration into one
    file per folder, and a loader that starts then reads half of it.
    """
    done = Event()
    first, *_, last = sorted(streams_of("money"))
    slow = service.inject(StillRunning(done.is_set).on(last, times=None))

    def is_waiting() -> bool:
        return bool(slow.fired) and first in database.schemas().get("campusgroups", ())

    with ThreadPoolExecutor(1) as pool:
        money = pool.submit(run, workspace, "--state-id-suffix=my-school", "money")
        try:
            wait_until(lambda: money.done() or is_waiting())
            run(workspace, "events")
            assert not money.done(), money.result()
        finally:
            done.set()
        money.result()


def event_ids(database: Postgres) -> list[int]:
    """Return the ids of the events with attendance."""
    query = "SELECT event_id FROM analytics.attendance_by_event ORDER BY event_id"
    with database.connect() as connection:
        return [key for (key,) in connection.execute(query)]


def lose_rows(database: Postgres) -> None:
    """Mark an event as deleted, delete most rows of the last complete week, and let time pass."""
    with database.connect() as connection:
        connection.execute("UPDATE campusgroups.events SET _sdc_deleted_at = now() WHERE id = 3")
        for stream in database.schemas()["campusgroups"]:
            table = sql.Identifier("campusgroups", stream)
            if stream in {"rsvp", "checkins"}:
                delete = sql.SQL('DELETE FROM {} WHERE "createdOn" >= %s AND id > %s')
                connection.execute(delete.format(table), [LAST_WEEK, REMAINING])
            update = sql.SQL(
                'UPDATE {} SET "updatedOn" = "updatedOn" + %s,'
                " _sdc_extracted_at = _sdc_extracted_at - %s"
            )
            connection.execute(update.format(table), [timedelta(days=1), LOOKBACK])


@pytest.fixture(scope="module")
def runs(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Two groups at the same time, one of them with dbt, and dbt again after rows were lost."""
    home = tmp_path_factory.mktemp("home")
    with postgres(postgres_server) as database, Simulator(make_dataset()) as service:
        workspace = Workspace(home, service=service, database=database)
        workspace.environment["TAP_CAMPUSGROUPS_POLL_INTERVAL_MAX_SECONDS"] = "1"
        run_two_groups(workspace, service, database)
        states = {name: set(one["bookmarks"]) for name, one in workspace.states().items()}
        lose_rows(database)
        output = run(workspace, ATTENDANCE, FRESHNESS)
        yield Runs(states, database.schemas(), output, event_ids(database))


def warnings(output: str) -> list[str]:
    """Return the names of the data tests that warned."""
    return sorted(set(re.findall(r" of \d+ WARN \d+ (\w+)", output)))


@pytest.mark.slow
def test_two_groups_at_the_same_time_have_states_of_their_own(runs: Runs) -> None:
    streams = {group: set(streams_of(group)) for group in ("money", "events")}
    assert runs.tables["campusgroups"] == streams["money"] | streams["events"]
    assert runs.states == {
        "dev:tap-campusgroups--money-to-target-postgres:my-school": streams["money"],
        "dev:tap-campusgroups--events-to-target-postgres": streams["events"],
    }


@pytest.mark.slow
def test_attendance_builds_with_only_the_events_group(runs: Runs) -> None:
    assert runs.tables["analytics"] == {"attendance_by_event", "attendance_by_week"}
    assert "ERROR=0 SKIP=0" in runs.output


@pytest.mark.slow
def test_freshness_with_a_run_older_than_the_lookback_warns(runs: Runs) -> None:
    pattern = r"(PASS|WARN|ERROR)\w* freshness of campusgroups_freshness\.(\w+)"
    found = {name: result for result, name in re.findall(pattern, runs.output)}
    assert found == {"data_lake": "PASS", "last_run": "WARN"}


@pytest.mark.slow
def test_lost_rows_are_not_in_the_models_and_a_sudden_drop_warns(runs: Runs) -> None:
    """Check-ins dropped as well, but the same weeks of the year before had none."""
    assert runs.events == [1, 2, *range(4, 21)]
    assert warnings(runs.output) == ["sudden_drop_stg_campusgroups__rsvp_created_on"]
