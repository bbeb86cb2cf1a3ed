"""The dbt commands of meltano.yml with the tables of one group, and their warnings."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from psycopg import sql

from tests.simulator import Dataset, Simulator
from tests.support.pipeline import PROJECT, Workspace
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

STREAMS = ("events", "rsvp", "checkins")
LOOKBACK = timedelta(hours=48)
COMPLETE = datetime.now(UTC).replace(microsecond=0) - LOOKBACK
NEWEST = COMPLETE - timedelta(hours=1)
PER_WEEK, REMAINING = 60, 25
LAST_WEEK = COMPLETE.date() - timedelta(days=COMPLETE.weekday() + 7)
"""Monday of the last complete week."""

PROJECT_FILE: dict[str, Any] = yaml.safe_load((PROJECT / "meltano.yml").read_text("utf-8"))
MARTS = {
    "attendance": "attendance_by_week",
    "membership": "membership_by_week",
    "budgets": "spending_by_budget",
}
"""Last model of each command."""


def make_dataset() -> Dataset:
    """Return weeks of answers and check-ins, and one check-in of more than a year ago."""
    count = 9 * PER_WEEK
    dataset = Dataset({"events": 20, "rsvp": count, "checkins": count + 1}, newest=NEWEST)
    for stream in ("rsvp", "checkins"):
        for number, row in enumerate(dataset[stream]):
            week = LAST_WEEK - timedelta(weeks=number // PER_WEEK)
            row["createdOn"] = f"{week + timedelta(days=number % 7)}T12:00:00Z"
            row["deleted"] = False
    dataset["checkins"][-1]["createdOn"] = f"{LAST_WEEK - timedelta(weeks=60)}T12:00:00Z"
    return dataset


def freshness(output: str) -> dict[str, str]:
    """Return the results of `dbt source freshness` by name."""
    found = re.findall(r"(PASS|WARN|ERROR)\w* freshness of campusgroups_freshness\.(\w+)", output)
    return {name: result for result, name in found}


def warnings(output: str) -> list[str]:
    """Return the names of the data tests that warned."""
    return sorted(set(re.findall(r" of \d+ WARN \d+ (\w+)", output)))


def delete_last_week(database: Postgres, stream: str) -> None:
    """Delete most rows of the last complete week."""
    query = sql.SQL('DELETE FROM {} WHERE "createdOn" >= %s AND id > %s')
    with database.connect() as connection:
        connection.execute(
            query.format(sql.Identifier("campusgroups", stream)), [LAST_WEEK, REMAINING]
        )


def shift(database: Postgres, column: str, by: timedelta) -> None:
    """Move all values of a timestamp column."""
    query = sql.SQL("UPDATE {} SET {column} = {column} + %s")
    with database.connect() as connection:
        for stream in STREAMS:
            table = sql.Identifier("campusgroups", stream)
            connection.execute(query.format(table, column=sql.Identifier(column)), [by])


def events(database: Postgres) -> str:
    """Return the ids of the events with attendance."""
    query = "SELECT event_id FROM analytics.attendance_by_event ORDER BY event_id"
    with database.connect() as connection:
        return " ".join(str(key) for (key,) in connection.execute(query))


@pytest.fixture(scope="module")
def runs(
    postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """Outputs of a run of the events group, and of the same commands after rows were lost.

    The data lake is older than the lookback at first; then it has moved on, but the run is old.
    """
    home = tmp_path_factory.mktemp("home")
    with postgres(postgres_server) as database, Simulator(make_dataset()) as service:
        workspace = Workspace(home, service=service, database=database)

        def run(*blocks: str) -> str:
            finished = workspace.meltano("run", *blocks)
            assert finished.code == 0, finished.output
            return finished.output

        commands = ("dbt-postgres:attendance", "dbt-postgres:freshness")
        outputs = {"first": run("events", *commands)}
        outputs["relations"] = " ".join(sorted(database.schemas()["analytics"]))
        manifest = workspace.system_folder / "dbt" / "target" / "manifest.json"
        outputs["manifest"] = manifest.read_text("utf-8")
        outputs["events"] = events(database)
        with database.connect() as connection:
            connection.execute(
                "UPDATE campusgroups.events SET _sdc_deleted_at = now() WHERE id = 3"
            )
        for stream in ("rsvp", "checkins"):
            delete_last_week(database, stream)
        shift(database, "updatedOn", timedelta(days=1))
        shift(database, "_sdc_extracted_at", -LOOKBACK)
        outputs["second"] = run(*commands)
        outputs["remaining events"] = events(database)
        yield outputs


def test_attendance_with_only_the_events_group_passes(runs: dict[str, str]) -> None:
    assert runs["relations"] == "attendance_by_event attendance_by_week"
    assert warnings(runs["first"]) == []
    assert "WARN=0 ERROR=0 SKIP=0" in runs["first"]


def test_freshness_with_rows_older_than_the_lookback_warns(runs: dict[str, str]) -> None:
    assert freshness(runs["first"]) == {"data_lake": "WARN", "last_run": "PASS"}


def test_freshness_with_a_run_older_than_the_lookback_warns(runs: dict[str, str]) -> None:
    assert freshness(runs["second"]) == {"data_lake": "PASS", "last_run": "WARN"}


def test_row_that_a_full_read_found_missing_is_not_in_the_models(runs: dict[str, str]) -> None:
    assert runs["events"].startswith("3 ")
    assert runs["remaining events"] == runs["events"].removeprefix("3 ")


def test_sudden_drop_in_the_last_complete_week_warns(runs: dict[str, str]) -> None:
    """Check-ins dropped as well, but the same weeks of the year before had none."""
    assert warnings(runs["second"]) == ["sudden_drop_stg_campusgroups__rsvp_created_on"]


@pytest.mark.parametrize("command", MARTS)
def test_command_reads_only_streams_of_the_jobs_in_its_description(
    runs: dict[str, str], command: str
) -> None:
    (plugin,) = PROJECT_FILE["plugins"]["utilities"]
    definition = plugin["commands"][command]
    assert f"build --select +{MARTS[command]} " in definition["args"]
    jobs = definition["description"].rpartition("Requires the job")[2]
    selected = {
        pattern.removesuffix(".*")
        for extractor in PROJECT_FILE["plugins"]["extractors"]
        if extractor["name"].partition("--")[2] in re.findall(r"\w+", jobs)
        for pattern in extractor.get("select", ())
    }
    parents = json.loads(runs["manifest"])["parent_map"]
    found, waiting = set[str](), [f"model.campusgroups.{MARTS[command]}"]
    while waiting:
        node = waiting.pop()
        found.add(node)
        waiting += parents[node]
    streams = {node.rpartition(".")[2] for node in found if node.startswith("source.")}
    assert streams
    assert streams <= selected
