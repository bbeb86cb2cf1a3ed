"""Dagster runs the groups of streams of two schools with two workers.

The services are simulators; Dagster, Meltano and PostgreSQL are real. One school denies a stream,
and another run of one of its groups is in progress.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterInstance

from examples.dagster.definitions import exports_per_step
from examples.dagster.errors import StepRefusedError
from examples.dagster.lock import VARIABLE, lock
from examples.dagster.plan import Plan, School, load, streams_of
from examples.dagster.steps import environment
from examples.demo import scale_out
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Simulator, Status, StillRunning
from tests.support.harness import wait_until
from tests.support.pipeline import database_states
from tests.support.postgres import postgres
from tests.support.processes import processes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

GROUPS = {
    "money": {"payments", "budgets", "budget_transactions"},
    "people": {"users", "academic_experiences", "work_experiences", "groups", "members"},
}
MAX_EXPORTS, WORKERS = 4, 2
DENIED = "payments"
"""A stream that one of the schools denies."""

IN_PROGRESS = (
    "Another run of group 'people' of school 'south-college' is in progress."
    " Run it again when that one has ended."
)

SCHOOLS = {"north": 7, "south": 11}
"""Rows per stream, by the school's schema."""

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


@dataclass
class Night:
    """The result of a run of all groups of both schools.

    Attributes:
        schools: The services by the school's schema.
        home: Folder of everything that the programs wrote.
        user: Folder to which the settings of the user lead.
    """

    schools: dict[str, Simulator]
    database: Postgres
    home: Path
    user: Path
    finished: Finished

    def streams(self, schema: str) -> set[str]:
        """Return the streams that can be loaded."""
        return (
            GROUPS["money"] | GROUPS["people"] if schema == "north" else GROUPS["money"] - {DENIED}
        )


class Together:
    """Condition: more exports were active at once than a single worker may have."""

    def __init__(self, schools: Iterable[Simulator]) -> None:
        self._schools = tuple(schools)
        self._is_reached = False

    def __call__(self) -> bool:
        """Return whether the condition has been met so far."""
        active = sum(school.active for school in self._schools)
        self._is_reached |= active > MAX_EXPORTS // WORKERS
        return self._is_reached


def user_settings(user: Path) -> dict[str, str]:
    """Return settings with which the programs would reach the user's files and servers."""
    return {
        "CAMPUSGROUPS_SCHOOLS": str(user / "schools.yml"),
        "DAGSTER_HOME": str(user),
        "DBT_POSTGRES_HOST": "127.0.0.1",
        "DBT_TARGET_PATH": str(user / "target"),
        "MELTANO_DATABASE_URI": f"sqlite:///{user}/meltano.db",
        "MELTANO_ENVIRONMENT": "of-the-user",
        "MELTANO_PROJECT_ROOT": str(user),
        "MELTANO_STATE_BACKEND_URI": f"file://{user}/state",
        "PGSERVICE": "of_the_user",
        "TAP_CAMPUSGROUPS_API_URL": "http://127.0.0.1:9",
        "TARGET_POSTGRES_SQLALCHEMY_URL": "postgresql+psycopg:///of_the_user",
    }


@pytest.fixture(scope="module")
def night(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    """Run all groups of two schools with separate secrets."""
    home, user = tmp_path_factory.mktemp("orchestrate"), tmp_path_factory.mktemp("user")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in user_settings(user).items():
            patch.setenv(name, value)
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
        schools["south"].inject(Status(403).on(stream=DENIED, times=None))
        database = stack.enter_context(postgres(postgres_server))
        workspace = scale_out.prepare(
            schools,
            database,
            home,
            max_concurrent_exports=MAX_EXPORTS,
            workers=WORKERS,
            groups=list(GROUPS),
            retries=1,
            retry_delay_seconds=0.1,
        )
        workspace.meltano("upgrade", "database")
        patch.setenv(VARIABLE, database.sqlalchemy_url)
        with lock("group 'people' of school 'south-college'"):
            finished = scale_out.execute(workspace)
        patch.undo()
        yield Night(schools, database, home, user, finished)


@pytest.mark.slow
def test_rows_are_in_the_schema_of_their_school(night: Night) -> None:
    for schema, rows in SCHOOLS.items():
        for stream in night.schools[schema].dataset.streams:
            expected = list(range(1, rows + 1)) if stream in night.streams(schema) else []
            loaded = [row["id"] for row in night.database.rows(schema, stream)]
            assert loaded == expected, (schema, stream)


@pytest.mark.slow
def test_nothing_of_the_user_is_used(night: Night) -> None:
    assert list(night.user.iterdir()) == []


@pytest.mark.slow
def test_failed_group_is_retried_and_a_refused_one_is_not(night: Night) -> None:
    assert night.finished.code != 0
    ends = sorted(
        (step, event)
        for _, step, event in scale_out.step_events(night.home)
        if not event.startswith("started")
    )
    assert ends == [
        ("north__money", "succeeded"),
        ("north__people", "succeeded"),
        ("south__money", "failed"),
        ("south__money", "failed, will be retried"),
        ("south__people", "failed"),
    ], night.finished.output


@pytest.mark.slow
def test_page_shows_rows_of_loaded_streams_and_the_reason_of_the_others(night: Night) -> None:
    rows, failed = scale_out.results(night.home)
    assert rows == {
        (schema, stream): SCHOOLS[schema] for schema in SCHOOLS for stream in night.streams(schema)
    }
    ((stream, reason),) = failed.items()
    assert stream == ("south", DENIED)
    assert "HTTP 403" in reason


@pytest.mark.slow
def test_failed_group_reports_the_error_of_the_tap(night: Night) -> None:
    refused, reason = sorted(set(re.findall(r"dagster\..*Failure: (.*)", night.finished.output)))
    assert refused == IN_PROGRESS
    assert reason.startswith(f"Stream '{DENIED}': ")
    assert "HTTP 403" in reason


@pytest.mark.slow
def test_two_workers_run_at_once_and_stay_within_the_limit_of_exports(night: Night) -> None:
    running = peak = 0
    for _, _, event in scale_out.step_events(night.home):
        running += 1 if event.startswith("started") else -1
        peak = max(peak, running)
    assert peak == WORKERS
    peaks = [school.peak_active for school in night.schools.values()]
    assert 1 < max(peaks) <= MAX_EXPORTS


@pytest.mark.slow
def test_each_step_has_its_own_state(night: Night) -> None:
    expected = {
        f"dev:tap-campusgroups--{group}-to-target-postgres:{school.school_code}": streams
        for schema, school in night.schools.items()
        for group in GROUPS
        if (streams := GROUPS[group] & night.streams(schema))
    }
    assert {
        state_id: {name for name, bookmark in state["bookmarks"].items() if bookmark}
        for state_id, state in database_states(night.database).items()
    } == expected


@pytest.mark.slow
def test_no_secret_is_written_and_no_process_is_left(night: Night) -> None:
    texts = [night.finished.output.encode()]
    texts += [path.read_bytes() for path in night.home.rglob("*") if path.is_file()]
    assert len(texts) > 10
    for school in night.schools.values():
        assert not any(school.api_secret.encode() in text for text in texts)
    wait_until(lambda: not processes_of(night.home))  # Dagster's own ones end by themselves


# The plan


def school(max_exports: int = 4, code: str = "a") -> School:
    """Return a school."""
    return School(code, f"{code.upper()}_SECRET", code, max_exports)


def test_streams_of_all_groups_are_those_of_the_tap() -> None:
    plan = load()
    assert set(plan.groups) == {"events", "people", "money", "content"}
    streams = [stream for group in plan.groups for stream in streams_of(group)]
    assert sorted(streams) == sorted(STREAMS[ApiVersion.V1_0])


def test_exports_of_all_steps_use_the_limit_and_stay_within_it() -> None:
    with DagsterInstance.ephemeral() as instance:
        with pytest.raises(StepRefusedError, match=r"^The concurrency pool 'a' does not limit"):
            exports_per_step(school(), instance)
        for steps, limit in product(range(1, 5), range(1, 5)):
            instance.event_log_storage.set_concurrency_slots("a", steps)
            if steps > limit:
                with pytest.raises(StepRefusedError, match=f"school 'a' to {limit}"):
                    exports_per_step(school(limit), instance)
            else:
                exports = exports_per_step(school(limit), instance)
                assert steps * exports <= limit < steps * (exports + 1)


def test_plan_that_mixes_schools_is_rejected() -> None:
    with pytest.raises(ValueError, match="two schools have the same code"):
        Plan((school(), school()), ("events",), 2)


def test_environment_of_a_step_holds_only_the_secret_of_its_school(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, other = school(), school(code="b")
    plan = Plan((one, other), ("events",), 2)
    exports = 2
    monkeypatch.setenv("MELTANO_SYS_DIR_ROOT", str(tmp_path))
    monkeypatch.setenv("A_SECRET", "alpha")
    variables = environment(plan, one, "events", exports)
    assert "alpha" in variables.values()
    monkeypatch.setenv("B_SECRET", "beta")
    assert "beta" not in environment(plan, one, "events", exports).values()
    monkeypatch.delenv("A_SECRET")
    with pytest.raises(StepRefusedError, match=r"^A_SECRET is not set\. "):
        environment(plan, one, "events", exports)
