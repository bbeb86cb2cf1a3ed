"""Loaders that exit early with exit code 0: a success for Meltano, but not for our commands.

target-postgres does so after SIGTERM, as all loaders of the Singer SDK.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import pytest
from psycopg import sql

from examples.demo import scale_out
from tests.simulator import Dataset, Simulator, StillRunning
from tests.support import nightly
from tests.support.harness import NEWEST, wait_until
from tests.support.postgres import postgres
from tests.support.processes import processes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pipeline import Finished, Workspace
    from tests.support.postgres import Postgres

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc"),
]

SCHEMA, GROUP = "north", "money"
NIGHTLY = shlex.join(nightly.container_command())
FIRST, *_, LAST = STREAMS = ("budget_transactions", "budgets", "payments")
WAITING, ENDED = f"Export running: stream={LAST}", "Summary: 3/3 streams"
"""The tap waits for an export, or has emitted everything."""

STEP = f"""
from examples.dagster.plan import load
from examples.dagster.steps import run

plan = load()
run(plan, plan.schools[0], "{GROUP}")
"""


class School(NamedTuple):
    """A school, and the project that reads it."""

    service: Simulator
    database: Postgres
    workspace: Workspace
    home: Path

    def loader(self) -> int:
        """Return the process id of the loader once it handles SIGTERM, otherwise 0."""
        for process in processes_of(self.home):
            with suppress(OSError):  # it has ended
                if b"/bin/target-postgres\0" in (process / "cmdline").read_bytes():
                    (caught,) = re.findall(r"SigCgt:\s*(\w+)", (process / "status").read_text())
                    if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
                        return int(process.name)
        return 0

    def run(self, command: str, moment: str) -> Finished:
        """Run a command, and send SIGTERM to its loader at the line of the log that names a moment.

        Until then, the loader has read nothing: it waits for another transaction that creates its
        schema.
        """
        with self.database.connect() as other:
            other.autocommit = False
            other.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCHEMA)))
            is_ended = Event()

            def on_line(line: str) -> None:
                if moment in line and not is_ended.is_set():
                    is_ended.set()
                    wait_until(self.loader)
                    os.kill(self.loader(), signal.SIGTERM)
                    other.rollback()

            return self.workspace.shell(command, {}, on_line=on_line)

    def meltano_results(self) -> list[str]:
        """Return the results of the runs in Meltano's system database."""
        with self.database.connect() as connection:
            return [state for (state,) in connection.execute("SELECT state FROM runs")]


@pytest.fixture
def school(postgres_server: str, tmp_path: Path) -> Iterator[School]:
    """A school of which nothing is loaded."""
    dataset = Dataset(dict.fromkeys(STREAMS, 3), newest=NEWEST)
    with postgres(postgres_server) as database, Simulator(dataset) as service:
        plan = {"workers": 1, "groups": [GROUP]}
        workspace = scale_out.prepare({SCHEMA: service}, database, tmp_path, **plan)
        with database.connect() as connection:
            connection.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCHEMA)))
        workspace.environment |= {
            "TAP_CAMPUSGROUPS__SELECT": str([f"{name}.*" for name in STREAMS]).replace("'", '"'),
            "TAP_CAMPUSGROUPS__LOAD_SCHEMA": SCHEMA,
            "TAP_CAMPUSGROUPS_API_URL": service.url,
            "TAP_CAMPUSGROUPS_API_SECRET": service.api_secret,
            "TAP_CAMPUSGROUPS_SCHOOL_CODE": service.school_code,
            "PYTHONPATH": f"{workspace.folder}:{workspace.environment['PYTHONPATH']}",
        }
        assert workspace.meltano("upgrade", "database").code == 0
        yield School(service, database, workspace, tmp_path)


@pytest.mark.parametrize(
    ("command", "moment", "reason"),
    [
        (NIGHTLY, WAITING, "the loader exited before the tap had read everything"),
        (
            NIGHTLY,
            ENDED,
            rf"the state '\S+' does not have the last bookmarks of {FIRST}, budgets, ",
        ),
        (f"python -c '{STEP}'", WAITING, "the loader exited before the tap had read everything"),
    ],
    ids=["nightly, tap waits", "nightly, tap has ended", "Dagster, tap waits"],
)
def test_run_whose_loader_exits_early_fails(
    school: School, command: str, moment: str, reason: str
) -> None:
    if moment == WAITING:
        school.service.inject(StillRunning(lambda: False).on(LAST, times=None))
    finished = school.run(command, moment)
    assert "Received termination signal 15" in finished.output, finished.output
    # Meltano's exit code is 0.
    assert school.meltano_results() == ["SUCCESS"], finished.output
    assert finished.code == 1, finished.output
    assert re.search(f"Run incomplete: {reason}", finished.output), finished.output
    assert school.database.rows(SCHEMA, LAST) == []
