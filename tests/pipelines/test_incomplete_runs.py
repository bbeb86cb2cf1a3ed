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
import sys

from examples.dagster.plan import load
from examples.dagster.steps import run

plan = load()
sys.exit(run(plan, plan.schools[0], "{GROUP}", 2).problem)
"""


class School(NamedTuple):
    """A school, and the project that reads it."""

    service: Simulator
    database: Postgres
    workspace: Workspace
    home: Path

    def process(self, program: str) -> int:
        """Return the id of a program's process once it handles SIGTERM, otherwise 0."""
        for process in processes_of(self.home):
            with suppress(OSError):  # it has ended
                words = (process / "cmdline").read_text().split("\0")
                (caught,) = re.findall(r"SigCgt:\s*(\w+)", (process / "status").read_text())
                if words[1:2] and words[1].endswith(program):
                    return int(process.name) * (int(caught, 16) >> (signal.SIGTERM - 1) & 1)
        return 0

    def run(self, command: str, moment: str, program: str) -> Finished:
        """Run a command; end a program at the line of the log that names a moment.

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
                    wait_until(lambda: self.process(program))
                    os.kill(self.process(program), signal.SIGTERM)
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
            "SINGER_SDK_LOG_CONFIG": str(workspace.folder / "examples/logging/debug.yaml"),
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
    finished = school.run(command, moment, "target-postgres")
    assert "Received termination signal 15" in finished.output, finished.output
    # Meltano's exit code is 0.
    assert school.meltano_results() == ["SUCCESS"], finished.output
    assert finished.code == 1, finished.output
    assert re.search(f"Run incomplete: {reason}", finished.output), finished.output
    assert school.database.rows(SCHEMA, LAST) == []


def test_nightly_command_passes_sigterm_on_to_meltano(school: School) -> None:
    """A container's runtime signals only the command itself."""
    school.service.inject(StillRunning(lambda: False).on(LAST, times=None))
    finished = school.run(NIGHTLY, WAITING, "examples/nightly/run.py")
    assert finished.code == 143, finished.output
    assert "Stopped by SIGTERM. The next run resumes" in finished.output
    assert school.meltano_results() == ["FAIL"]
    wait_until(lambda: not processes_of(school.home))
