"""Two machines that share nothing but a PostgreSQL database take turns at a group of a school.

Each machine is a copy of the project with its own folder for Meltano.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING, Any, NamedTuple

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
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

SCHOOL, GROUP = "north", "money"
STREAMS = ("budget_transactions", "budgets", "payments")
LAST = STREAMS[-1]
LOOKBACK = timedelta(hours=48)
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
LATER = NEWEST + timedelta(minutes=3)
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


class Turn(NamedTuple):
    """A turn of a machine.

    Attributes:
        starts: Where the range of each stream started.
        loaded: Ids of the rows in the database by stream, after the turn.
    """

    finished: Finished
    starts: dict[str | None, datetime]
    loaded: dict[str, tuple[int, ...]]


class Machines:
    """The machines, the service that they read, and the database that they share."""

    def __init__(self, service: Simulator, database: Postgres, folder: Path) -> None:
        self.service = service
        self.database = database
        self.homes = [folder / "one", folder / "two"]
        self.workspaces = []
        for home in self.homes:
            home.mkdir()
            workspace = scale_out.prepare(
                {SCHOOL: service}, database, home, groups=[GROUP], workers=1
            )
            path = os.pathsep.join((str(workspace.folder), workspace.environment["PYTHONPATH"]))
            workspace.environment["PYTHONPATH"] = path
            workspace.environment["TAP_CAMPUSGROUPS_POLL_INTERVAL_MAX_SECONDS"] = "1"
            self.workspaces.append(workspace)
        self.workspaces[0].meltano("upgrade", "database")

    def run_step(self, number: int, meanwhile: Callable[[], object] | None = None) -> Turn:
        """Run the step of the group on a machine and return what it read and loaded.

        Args:
            number: Number of the machine.
            meanwhile: Called while the last export is running.
        """
        self.service.reset_log()
        done = Event()
        if meanwhile is not None:
            slow = self.service.inject(StillRunning(done.is_set).on(LAST, times=None))
        with ThreadPoolExecutor(1) as pool:
            step = pool.submit(self.workspaces[number].shell, STEP, {})
            try:
                if meanwhile is not None:
                    wait_until(lambda: slow.fired or step.done())
                    assert slow.fired, step.result().output
                    meanwhile()
            finally:
                done.set()
        self.service.clear_faults()
        starts = {
            request.stream: datetime.fromisoformat(request.query["updatedStart"])
            for request in reversed(self.service.requests)
            if request.method == "POST"
        }
        rows = {name: self.database.rows(SCHOOL, name) for name in STREAMS}
        loaded = {name: tuple(row["id"] for row in found) for name, found in rows.items()}
        return Turn(step.result(), starts, loaded)

    def kill(self, number: int) -> None:
        """Kill all programs of a machine but the shell, which reports the exit code."""
        for process in processes_of(self.homes[number]):
            with suppress(OSError):  # it ended in the meantime
                if (process / "comm").read_text(encoding="utf-8") != "sh\n":
                    os.kill(int(process.name), signal.SIGKILL)


class Story(NamedTuple):
    """What the machines did, in this order.

    Attributes:
        first: Machine one runs.
        refused: Machine two while machine one is running.
        killed: With a new row in every stream, machine two is killed while an export is running.
        second: Machine two runs at once.
        states: The states in the shared database after that.
        folders: Folders of both machines for steps.
    """

    first: Turn
    refused: Finished
    killed: Turn
    second: Turn
    states: dict[str, dict[str, Any]]
    folders: list[Path]


@pytest.fixture(scope="module")
def story(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Take turns."""
    dataset = Dataset(dict.fromkeys(STREAMS, 3), newest=NEWEST)
    with (
        postgres(postgres_server) as database,
        Simulator(dataset, school_code=SCHOOL) as service,
    ):
        machines = Machines(service, database, tmp_path_factory.mktemp("machines"))
        refused: list[Finished] = []
        first = machines.run_step(0, lambda: refused.append(machines.workspaces[1].shell(STEP, {})))
        for name in STREAMS:
            dataset[name].append({**dataset.row(name, 4), "updatedOn": LATER.isoformat()})
        killed = machines.run_step(1, lambda: machines.kill(1))
        second = machines.run_step(1)
        folders = [workspace.system_folder / "steps" for workspace in machines.workspaces]
        return Story(first, refused[0], killed, second, database_states(database), folders)


@pytest.mark.slow
def test_run_while_another_machine_runs_is_refused_and_leaves_it_undisturbed(story: Story) -> None:
    assert story.refused.code != 0
    assert story.refused.output.endswith(f"{StepRefusedError.__name__}: {IN_PROGRESS}\n")
    assert story.first.finished.code == 0, story.first.finished.output
    assert story.first.loaded == dict.fromkeys(STREAMS, (1, 2, 3))
    assert story.first.starts.keys() == set(STREAMS)


@pytest.mark.slow
def test_run_after_a_killed_one_starts_at_once(story: Story) -> None:
    assert story.killed.finished.code == 128 + signal.SIGKILL
    assert story.killed.loaded[LAST] == (1, 2, 3)
    assert story.second.finished.code == 0, story.second.finished.output


@pytest.mark.slow
def test_machine_continues_where_the_other_one_ended(story: Story) -> None:
    assert story.second.loaded == dict.fromkeys(STREAMS, (1, 2, 3, 4))
    assert story.second.starts == dict.fromkeys(STREAMS, NEWEST - LOOKBACK)
    ((state_id, state),) = story.states.items()
    assert state_id == f"dev:tap-campusgroups--{GROUP}-to-target-postgres:{SCHOOL}"
    bookmarks = {one["replication_key_value"] for one in state["bookmarks"].values()}
    assert bookmarks == {f"{LATER:%Y-%m-%dT%H:%M:%S.%f}Z"}
    for folder in story.folders:
        assert folder.exists()
        assert not list(folder.rglob("*.db"))


# Reasons of a failed step


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
        with pytest.raises(StepRefusedError, match=r"^Another run of events"), lock("events"):
            pass
        with lock("people"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
    wait_until(lambda: can_lock("events"))


def can_lock(name: str) -> bool:
    """Return whether a lock is free."""
    with suppress(StepRefusedError), lock(name):
        return True
    return False


def test_lost_connection_fails_the_step(system_database: Postgres) -> None:
    others = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    with (
        pytest.raises(StepFailedError, match=r"^Connection to Meltano's system database failed: "),
        lock("events"),
        system_database.connect() as connection,
    ):
        connection.execute(others)


@pytest.mark.parametrize(
    "url", ["", "sqlite:///meltano.db", "postgresql://user:sentinel@host/db?a=%zz"]
)
def test_system_database_of_one_machine_is_refused(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, url)
    expected = f"^{VARIABLE} is not the URL of a PostgreSQL"
    with pytest.raises(StepRefusedError, match=expected) as error, lock("events"):
        pass
    assert "sentinel" not in str(error.value)


def test_system_database_without_tables_is_refused(system_database: Postgres) -> None:
    with system_database.connect() as connection:
        connection.execute("DROP TABLE alembic_version")
    expected = "Run `meltano upgrade database` once"
    with pytest.raises(StepRefusedError, match=expected), lock("events"):
        pass
