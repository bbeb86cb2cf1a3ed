"""Dagster runs schools x groups of streams, by its own executor with two workers.

The services are simulators; Dagster, Meltano and PostgreSQL are real.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from examples.dagster.plan import Plan, School, load
from examples.dagster.steps import StepFailedError, environment
from examples.demo import scale_out
from tests.simulator import Dataset, Simulator, Status, StillRunning
from tests.support import pipeline
from tests.support.harness import wait_until
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.pipeline import Finished, Workspace
    from tests.support.postgres import Postgres

GROUPS = {
    "money": {"payments", "budgets", "budget_transactions"},
    "people": {"users", "academic_experiences", "work_experiences", "groups", "members"},
}
CAP, WORKERS = 4, 2
REFUSED = "payments"
"""A stream that one of the schools refuses."""

SCHOOLS = {"north": 7, "south": 11}
"""Rows a stream, by the school's schema."""

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


@dataclass
class Night:
    """What a run of all groups of all schools left.

    Attributes:
        schools: The services, by the school's schema.
        database: Where they were loaded to.
        home: The folder of all other files.
        workspace: Where Dagster ran.
        finished: How Dagster ended.
        timeline: What `examples.dagster.timeline` says of it.
    """

    schools: dict[str, Simulator]
    database: Postgres
    home: Path
    workspace: Workspace
    finished: Finished
    timeline: list[str]

    def ids(self, schema: str, stream: str) -> list[int]:
        """List the ids of a table, none if there is no such table."""
        query = sql.SQL("SELECT id FROM {} ORDER BY id").format(sql.Identifier(schema, stream))
        with self.database.connect() as connection:
            try:
                return [key for (key,) in connection.execute(query)]
            except psycopg.errors.UndefinedTable:
                return []


class Together:
    """Whether more exports than one worker may have have been at the services at once."""

    def __init__(self, schools: Iterable[Simulator]) -> None:
        self._schools = tuple(schools)
        self._is_reached = False

    def __call__(self) -> bool:
        """Return whether it has happened by now."""
        self._is_reached |= sum(school.active for school in self._schools) > CAP // WORKERS
        return self._is_reached


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """The run, of two schools with secrets of their own; one of them refuses a stream."""
    if missing := pipeline.missing_plugins():
        pytest.fail(f"not installed: {', '.join(missing)}; run `make test`, which does it")
    home = tmp_path_factory.mktemp("orchestrate")
    with ExitStack() as stack:
        schools = {
            schema: stack.enter_context(
                Simulator(
                    Dataset(rows, seed=rows, newest=NEWEST),
                    school_code=f"{schema}-college",
                    api_secret=f"sentinel-{schema}-9b1c",
                )
            )
            for schema, rows in SCHOOLS.items()
        }
        together = StillRunning(Together(schools.values()))
        for school in schools.values():
            school.inject(together.on(times=None))
        schools["south"].inject(Status(403).on(stream=REFUSED, times=None))
        database = stack.enter_context(postgres())
        workspace = scale_out.prepare(
            schools,
            database,
            home,
            max_concurrent_exports=CAP,
            workers=WORKERS,
            groups=list(GROUPS),
            retries=1,
            retry_delay_seconds=0.1,
        )
        finished = scale_out.execute(workspace)
        timeline = workspace.timeline().output.splitlines()
        yield Night(schools, database, home, workspace, finished, timeline)


def test_every_row_is_where_it_belongs_but_for_the_stream_that_is_refused(night: Night) -> None:
    assert night.timeline, night.finished.output
    for schema, rows in SCHOOLS.items():
        for stream in night.schools[schema].dataset.streams:
            is_there = stream in set().union(*GROUPS.values())
            is_there &= (schema, stream) != ("south", REFUSED)
            expected = list(range(1, rows + 1)) if is_there else []
            assert night.ids(schema, stream) == expected, (schema, stream)


def test_a_group_that_fails_says_why_is_tried_again_and_the_others_go_on(night: Night) -> None:
    assert night.finished.code != 0
    steps = [line for line in night.timeline if line.startswith("worker ")]
    results = sorted((line.split()[2], " ".join(line.split()[8:])) for line in steps)
    assert results == [
        ("north__money", "done"),
        ("north__people", "done"),
        ("south__money", "again later"),
        ("south__money", "failed"),
        ("south__people", "done"),
    ], night.finished.output
    reasons = [line for line in night.timeline if not line.startswith("worker ") and line]
    assert len(reasons) == 2
    for reason in reasons:
        assert f"Stream '{REFUSED}': the service refuses access (HTTP 403" in reason


def test_two_workers_keep_the_cap(night: Night) -> None:
    workers = {line.split()[1] for line in night.timeline if line.startswith("worker ")}
    assert workers == {"1", "2"}
    peaks = [school.peak_active for school in night.schools.values()]
    assert 1 < max(peaks) <= CAP


def test_each_step_has_a_state_of_its_own(night: Night) -> None:
    for schema, school in night.schools.items():
        for group, streams in GROUPS.items():
            folder = night.workspace.system_folder / "steps" / school.school_code / group
            with closing(sqlite3.connect(folder / "meltano.db")) as connection:
                found = connection.execute("SELECT state_id, completed_state FROM state").fetchall()
            ((state_id, state),) = found
            assert state_id == (
                f"dev:tap-campusgroups--{group}-to-target-postgres:{school.school_code}"
            )
            bookmarks = json.loads(state)["singer_state"]["bookmarks"]
            with_value = {name for name, one in bookmarks.items() if one}
            expected = streams - ({REFUSED} if schema == "south" else set())
            assert with_value == expected


def test_no_secret_is_written_anywhere_and_no_process_is_left(night: Night) -> None:
    texts = [night.finished.output.encode(), "\n".join(night.timeline).encode()]
    texts += [path.read_bytes() for path in night.home.rglob("*") if path.is_file()]
    assert len(texts) > 10
    for school in night.schools.values():
        assert not any(school.api_secret.encode() in text for text in texts)
    wait_until(lambda: not processes_of(night.home))  # what Dagster leaves behind ends by itself


def processes_of(home: Path) -> list[Path]:
    """List the processes that have a folder in their environment."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(home).encode() in file.read_bytes():
                found.append(file)
        except OSError:
            continue  # ended, or somebody else's
    return found


# The plan


def school(cap: int = 4, code: str = "a") -> School:
    """Make a school."""
    return School(code, f"{code.upper()}_SECRET", code, cap)


def test_the_workers_parts_are_never_more_than_the_cap() -> None:
    for cap, workers, groups in product(range(1, 10), range(1, 10), (1, 4)):
        plan = Plan((school(cap),), tuple("abcd"[:groups]), workers)
        at_once = plan.workers_of(plan.schools[0])
        exports = plan.exports_of(plan.schools[0])
        assert 1 <= at_once <= workers
        assert exports >= 1
        assert at_once * exports <= cap < at_once * (exports + 1)


def test_a_plan_that_would_mix_schools_is_refused() -> None:
    with pytest.raises(ValueError, match="two schools have the same code"):
        Plan((school(), school()), ("events",), 2)
    with pytest.raises(ValueError, match="workers must be 1 or more"):
        Plan((school(),), ("events",), 0)


def test_a_step_has_the_secret_of_its_own_school_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, other = school(), school(code="b")
    plan = Plan((one, other), ("events",), 2)
    monkeypatch.setenv("MELTANO_SYS_DIR_ROOT", str(tmp_path))
    monkeypatch.setenv("A_SECRET", "alpha")
    variables = environment(plan, one, "events")
    assert "alpha" in variables.values()
    monkeypatch.setenv("B_SECRET", "beta")
    assert "beta" not in environment(plan, one, "events").values()
    monkeypatch.delenv("A_SECRET")
    with pytest.raises(StepFailedError, match=r"^A_SECRET is not set$"):
        environment(plan, one, "events")


def test_the_example_plan_runs_all_groups() -> None:
    plan = load()
    assert set(plan.groups) == {"events", "people", "money", "content"}
    assert [plan.exports_of(one) for one in plan.schools] == [2, 2]
