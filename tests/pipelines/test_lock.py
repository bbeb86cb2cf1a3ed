"""The lock of a step in the shared system database, and the reason of a failed step.

`test_orchestration` has a run that the lock refuses, and the states in that database.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from examples.dagster.errors import StepFailedError, StepRefusedError
from examples.dagster.lock import VARIABLE, lock
from examples.dagster.steps import forward
from tests.support import documents
from tests.support.harness import wait_until
from tests.support.pipeline import PROJECT
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.postgres import Postgres

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
        for name in ("definitions", "lock", "steps")
    )
    source = source.replace("{VARIABLE}", VARIABLE).replace("{name}", "group")
    section = documents.section("docs/scale-out.md", "Many schools with Dagster")
    reasons = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(reasons) == 7
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
