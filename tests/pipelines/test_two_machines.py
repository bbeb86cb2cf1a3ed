"""Two machines that share nothing but a PostgreSQL database take turns at a group of a school.

Each machine is a copy of the project with separate folders for Meltano and Dagster.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

import pytest

from examples.dagster.errors import StepFailedError, StepRefusedError
from examples.dagster.lock import VARIABLE, lock
from examples.dagster.steps import forward
from examples.demo import scale_out
from tests.simulator import Dataset, Simulator, StillRunning
from tests.support import documents
from tests.support.harness import wait_until
from tests.support.pipeline import PROJECT, database_states
from tests.support.postgres import postgres
from tests.support.processes import processes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.pipeline import Finished, Workspace
    from tests.support.postgres import Postgres

SCHOOL, GROUP = "north", "money"
STREAMS = ("budget_transactions", "budgets", "payments")
LAST = STREAMS[-1]
LOOKBACK = timedelta(hours=48)
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
IN_PROGRESS = (
    f"Another run of group '{GROUP}' of school '{SCHOOL}' is in progress."
    " Run it again when that one has ended."
)
STEP = (
    f"{sys.executable} -c 'from examples.dagster.plan import load;"
    " from examples.dagster.steps import run;"
    f' plan = load(); run(plan, plan.schools[0], "{GROUP}")\' || exit $?'
)
"""What Dagster runs for a step, without the seconds that Dagster takes."""


@dataclass
class Turn:
    """A turn of a machine, and the rows at the service at that time.

    Attributes:
        starts: Where the range of each stream started.
        newest: The newest `updatedOn` of each stream.
        complete: Whether the database has every row of each stream exactly once.
    """

    finished: Finished
    starts: Mapping[str, datetime]
    newest: Mapping[str, datetime]
    complete: Mapping[str, bool]


class Machines:
    """The machines, the service that they read, and the database that they share."""

    def __init__(self, service: Simulator, database: Postgres, folder: Path) -> None:
        self.service = service
        self.database = database
        self.homes = [folder / "one", folder / "two"]
        self.workspaces = [self._set_up(home) for home in self.homes]
        self.workspaces[0].meltano("upgrade", "database")

    def _set_up(self, home: Path) -> Workspace:
        home.mkdir()
        plan = {"workers": 1, "groups": [GROUP], "retries": 1, "retry_delay_seconds": 0.1}
        workspace = scale_out.prepare({SCHOOL: self.service}, self.database, home, **plan)
        workspace.environment["TAP_CAMPUSGROUPS_POLL_INTERVAL_MAX_SECONDS"] = "1"
        return workspace

    def run_step(self, number: int, **variables: str) -> Finished:
        """Run the step of the group on a machine."""
        workspace = self.workspaces[number]
        path = os.pathsep.join((str(workspace.folder), workspace.environment["PYTHONPATH"]))
        return workspace.shell(STEP, {"PYTHONPATH": path, **variables})

    def run_slow_step(self, number: int, meanwhile: Callable[[], object]) -> Finished:
        """Run the step on a machine; call a function while the last export is running."""
        done = Event()
        slow = self.service.inject(StillRunning(done.is_set).on(LAST, times=None))
        with ThreadPoolExecutor(1) as pool:
            finished = pool.submit(self.run_step, number)
            try:
                wait_until(lambda: slow.fired or finished.done())
                assert slow.fired, finished.result().output
                meanwhile()
            finally:
                done.set()
        self.service.clear_faults()
        return finished.result()

    def take_turn(self, run: Callable[[], Finished]) -> Turn:
        """Run a step and return what it read and loaded."""
        self.service.reset_log()
        finished = run()
        starts = {
            request.stream: datetime.fromisoformat(request.query["updatedStart"])
            for request in reversed(self.service.requests)
            if request.method == "POST" and request.stream is not None
        }
        newest, complete = {}, {}
        for name in STREAMS:
            rows = self.service.dataset[name]
            newest[name] = max(datetime.fromisoformat(row["updatedOn"]) for row in rows)
            loaded = [row["id"] for row in self.database.rows(SCHOOL, name)]
            complete[name] = loaded == sorted(row["id"] for row in rows)
        return Turn(finished, starts, newest, complete)

    def add_rows(self) -> None:
        """Add a row to every stream."""
        for name in STREAMS:
            rows = self.service.dataset[name]
            updated = (NEWEST + timedelta(minutes=len(rows))).isoformat()
            rows.append({**self.service.dataset.row(name, len(rows) + 1), "updatedOn": updated})

    def kill(self, number: int) -> None:
        """Kill all programs of a machine but the shell, which reports the exit code."""
        for process in processes_of(self.homes[number]):
            with suppress(OSError):  # it ended in the meantime
                if (process / "comm").read_text(encoding="utf-8") != "sh\n":
                    os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def machines(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two machines that have not run yet."""
    dataset = Dataset(dict.fromkeys(STREAMS, 3), newest=NEWEST)
    with (
        postgres(postgres_server) as database,
        Simulator(dataset, school_code=SCHOOL) as service,
    ):
        yield Machines(service, database, tmp_path_factory.mktemp("machines"))


@dataclass
class Story:
    """What the machines did, in this order.

    Attributes:
        first: Machine one runs.
        refused: Machine two, with Dagster, while machine one is running.
        killed: Machine two is killed while an export is running.
        second: Machine two runs at once.
        third: Machine one runs.
    """

    first: Turn
    refused: Finished
    killed: Turn
    second: Turn
    third: Turn


@pytest.fixture(scope="module")
def story(machines: Machines) -> Story:
    """Take turns; before each turn but the first, the service has new rows."""
    refused = []

    def run_on_two() -> None:
        refused.append(scale_out.execute(machines.workspaces[1]))

    first = machines.take_turn(lambda: machines.run_slow_step(0, run_on_two))
    machines.add_rows()
    killed = machines.take_turn(lambda: machines.run_slow_step(1, lambda: machines.kill(1)))
    second = machines.take_turn(lambda: machines.run_step(1))
    machines.add_rows()
    third = machines.take_turn(lambda: machines.run_step(0))
    return Story(first, refused[0], killed, second, third)


@pytest.mark.slow
def test_run_while_another_machine_runs_is_refused_without_retry(
    machines: Machines, story: Story
) -> None:
    assert story.refused.code != 0
    assert f"Failure: {IN_PROGRESS}\n" in story.refused.output
    steps = [event for _, _, event in scale_out.step_events(machines.homes[1])]
    assert steps == ["started", "failed"]


@pytest.mark.slow
def test_refused_run_leaves_the_other_one_undisturbed(story: Story) -> None:
    assert story.first.finished.code == 0, story.first.finished.output
    assert all(story.first.complete.values())
    assert sorted(story.first.starts) == sorted(STREAMS)


@pytest.mark.slow
def test_run_after_a_killed_one_starts_at_once(story: Story) -> None:
    assert story.killed.finished.code == 128 + signal.SIGKILL
    assert not story.killed.complete[LAST]
    assert story.second.finished.code == 0, story.second.finished.output


@pytest.mark.slow
def test_machines_continue_where_the_other_one_ended(story: Story) -> None:
    for before, after in ((story.first, story.second), (story.second, story.third)):
        assert all(after.complete.values())
        assert after.starts == {name: at - LOOKBACK for name, at in before.newest.items()}


@pytest.mark.slow
def test_machines_have_one_state(machines: Machines, story: Story) -> None:
    ((state_id, state),) = database_states(machines.database).items()
    assert state_id == f"dev:tap-campusgroups--{GROUP}-to-target-postgres:{SCHOOL}"
    assert {
        name: datetime.fromisoformat(bookmark["replication_key_value"])
        for name, bookmark in state["bookmarks"].items()
    } == story.third.newest
    for home in machines.homes:
        assert not list((home / "project" / ".meltano" / "steps").rglob("*.db"))


# Reasons of a failed step


@pytest.mark.slow
def test_failed_loader_is_the_reason_of_the_step(machines: Machines) -> None:
    """A role that may read all tables, but not write them."""
    url = machines.database.sqlalchemy_url
    url += f"{'&' if '?' in url else '?'}options=-c%20role%3Dpg_read_all_data"
    finished = machines.run_step(0, TARGET_POSTGRES_SQLALCHEMY_URL=url)
    reason = finished.output.rstrip().rpartition("\n")[2]
    assert reason.startswith(f"examples.dagster.errors.{StepFailedError.__name__}: sqlalchemy.exc.")
    assert "(psycopg.errors.InsufficientPrivilege) permission denied for " in reason


TAP = "[error    ] tap-campusgroups--money Stream 'payments': HTTP 403."
CLOSED = "[error    ] tap-campusgroups--money Output pipe closed: the target exited early."
LOADER = "[info     ] target-postgres sqlalchemy.exc.OperationalError: connection failed"
MELTANO = ("[error    ] meltano      Loader failed", "[error    ] meltano      Block run completed")


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ((TAP, *MELTANO), "Stream 'payments': HTTP 403."),
        ((LOADER, CLOSED, *MELTANO), "sqlalchemy.exc.OperationalError: connection failed"),
        ((TAP, LOADER, *MELTANO), "Stream 'payments': HTTP 403."),
        (MELTANO, "Loader failed"),
        (("[info     ] meltano      Run completed",), None),
    ],
)
def test_reason_is_the_error_of_the_plugin_that_failed_first(
    log: tuple[str, ...], reason: str | None
) -> None:
    assert forward(f"2026-11-26T05:00:00Z {line}\n" for line in log) == reason


def test_documented_reasons_are_those_of_the_adapter() -> None:
    source = "".join(
        (PROJECT / f"examples/dagster/{name}.py").read_text(encoding="utf-8")
        for name in ("lock", "steps")
    )
    source = source.replace("{VARIABLE}", VARIABLE).replace("{name}", "group")
    section = documents.section("docs/scale-out.md", "Many schools with Dagster")
    reasons = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(reasons) == 5
    for reason in reasons:
        for part in reason.split("…"):
            assert part.strip() in source, reason


# The lock


@pytest.fixture
def system_database(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A system database with the table that Meltano creates first."""
    with postgres(postgres_server) as database:
        with database.connect() as connection:
            connection.execute("CREATE TABLE alembic_version ()")
        monkeypatch.setenv(VARIABLE, database.sqlalchemy_url)
        yield database


HOLDER = """
import subprocess
from examples.dagster.lock import lock

with lock("events") as descriptor:
    child = subprocess.Popen(["sleep", "300"], pass_fds=[descriptor])
    print(child.pid, flush=True)
    child.wait()
"""


@pytest.mark.usefixtures("system_database")
def test_lock_of_a_killed_process_is_held_until_its_child_has_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as holder:
        child = int((holder.stdout or sys.stdin).readline())
        holder.kill()
        holder.wait()
    try:
        with (
            pytest.raises(StepRefusedError, match=r"^Another run of events is in progress\."),
            lock("events"),
        ):
            pass
        with lock("people"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: can_lock("events"))


def can_lock(name: str) -> bool:
    """Return whether a lock is free."""
    try:
        with lock(name):
            return True
    except StepRefusedError:
        return False


def test_lost_connection_fails_the_step(system_database: Postgres) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with (
        pytest.raises(
            StepFailedError, match=r"^Connection to Meltano's system database failed: "
        ) as error,
        lock("events"),
        system_database.connect() as connection,
    ):
        connection.execute(others)
    assert not isinstance(error.value, StepRefusedError)


@pytest.mark.parametrize(
    "url", ["", "sqlite:///meltano.db", "postgresql://user:sentinel@host/db?a=%zz"]
)
def test_system_database_of_one_machine_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, url)
    with (
        pytest.raises(
            StepRefusedError, match=f"^{VARIABLE} is not the URL of a PostgreSQL"
        ) as error,
        lock("events"),
    ):
        pass
    assert "sentinel" not in str(error.value)


def test_system_database_without_tables_is_refused(system_database: Postgres) -> None:
    with system_database.connect() as connection:
        connection.execute("DROP TABLE alembic_version")
    with (
        pytest.raises(StepRefusedError, match="Run `meltano upgrade database` once"),
        lock("events"),
    ):
        pass
