"""The recipes of docs/nightly.md in real Meltano: the cron line and the container's command.

The cron line loads into target-jsonl, the container's command into PostgreSQL.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.simulator import Dataset, Hang, Simulator
from tests.support import documents, nightly
from tests.support.harness import wait_until
from tests.support.pipeline import PROJECT, TAP, Workspace, database_states, tap_settings
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pipeline import Finished

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("flock") is None, reason="flock of util-linux is missing"),
]

FIRST, LAST = "groups", "users"
ROWS = 5
SECRET = "nightly-secret-5d0c"  # noqa: S105 - the simulator's
STATE_ID = f"dev:{TAP}-to-target-jsonl"
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


class Nightly(NamedTuple):
    """A project that cron runs."""

    workspace: Workspace
    service: Simulator

    @property
    def log(self) -> str:
        """The log of all runs."""
        return (self.workspace.folder / "nightly.log").read_text("utf-8")

    @property
    def meltano_pid(self) -> int:
        """Process id of the last Meltano that was started."""
        return int((self.workspace.folder / "meltano.pid").read_text("utf-8"))

    def run(self) -> Finished:
        """Run the command of the cron line, as cron does."""
        command = nightly.cron_line().command.replace(nightly.FOLDER, str(self.workspace.folder))
        return self.workspace.shell(command, {})

    def write_settings(self, **more: str) -> None:
        """Write the file with the settings."""
        settings = {
            **tap_settings(self.service),
            "TAP_CAMPUSGROUPS__SELECT": json.dumps([f"{FIRST}.*", f"{LAST}.*"]),
            **more,
        }
        path = self.workspace.folder / ".env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}='{text}'\n" for name, text in settings.items()), "utf-8")

    def loaded(self) -> dict[str, set[int]]:
        """Return the ids of the loaded rows by stream."""
        return {
            file.stem: {json.loads(line)["id"] for line in file.read_text("utf-8").splitlines()}
            for file in (self.workspace.folder / "output" / "campusgroups").iterdir()
        }

    def expected(self) -> dict[str, set[int]]:
        """Return the ids of the service's rows by stream."""
        return {name: {row["id"] for row in self.service.dataset[name]} for name in (FIRST, LAST)}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nightly]:
    """A project whose job `nightly` loads into target-jsonl."""
    dataset = Dataset({FIRST: ROWS, LAST: ROWS}, newest=NEWEST)
    with Simulator(dataset, api_secret=SECRET) as service:
        workspace = Workspace(tmp_path_factory.mktemp("nightly"))
        definition = workspace.folder / "meltano.yml"
        text = definition.read_text("utf-8")
        task = f"- name: nightly\n  tasks:\n  - {TAP} target-"
        assert task in text
        definition.write_text(text.replace(f"{task}postgres", f"{task}jsonl"), "utf-8")
        meltano = workspace.folder / ".venv" / "bin" / "meltano"
        meltano.parent.mkdir(parents=True)
        installed = Path(sys.executable).with_name("meltano")
        meltano.write_text(f'#!/bin/sh\necho $$ > meltano.pid\nexec "{installed}" "$@"\n', "utf-8")
        meltano.chmod(0o755)
        yield Nightly(workspace, service)


@pytest.fixture(scope="module")
def finished(project: Nightly) -> Finished:
    """A successful run."""
    project.write_settings()
    return project.run()


def test_cron_line_with_successful_run_loads_all_and_prints_nothing(
    project: Nightly, finished: Finished
) -> None:
    assert (finished.code, finished.output) == (0, ""), project.log
    assert project.loaded() == project.expected()
    assert "Summary: 2/2 streams" in project.log
    assert SECRET not in project.log


def test_cron_line_with_failed_run_prints_the_exit_code(project: Nightly) -> None:
    """Meltano does not resolve a relative date, which would cut the lookback."""
    project.write_settings(TAP_CAMPUSGROUPS_START_DATE="1 day ago")
    project.service.reset_log()
    finished = project.run()
    assert finished.output.splitlines() == [alert(project, 1)]
    assert 'Invalid settings: start_date "1 day ago" is not a valid date' in project.log
    assert project.service.requests == []


def test_cron_line_refuses_a_second_run_and_recovers_from_a_killed_one(project: Nightly) -> None:
    project.write_settings()
    hang = project.service.inject(Hang().on(LAST, "first_page"))
    rows = project.service.dataset[FIRST]
    rows.append(rows[0] | {"id": 1000, "updatedOn": f"{NEWEST + timedelta(hours=1):%FT%TZ}"})
    with ThreadPoolExecutor() as pool:
        first = pool.submit(project.run)
        try:
            wait_until(lambda: hang.fired)
            second = project.run()
            os.kill(project.meltano_pid, signal.SIGKILL)
            killed = first.result()
        finally:
            project.service.release()
    assert second.output.splitlines() == [alert(project, 75)]
    assert "flock: failed to get lock" in project.log
    assert killed.output.splitlines() == [alert(project, 128 + signal.SIGKILL)]

    # Meltano takes the killed run for a running one during five minutes.
    third = project.run()
    assert (third.code, third.output) == (0, ""), project.log
    assert project.loaded() == project.expected()


def alert(project: Nightly, code: int) -> str:
    """Return the line that cron mails."""
    return (
        f"The nightly run of CampusGroups failed with exit code {code}. "
        f"Log: {project.workspace.folder}/nightly.log"
    )


@pytest.mark.usefixtures("finished")
def test_saved_state_is_restored_into_a_new_system_database(project: Nightly) -> None:
    before = project.workspace.states()
    save, restore = (
        script.replace("target-postgres", "target-jsonl")
        for script in documents.blocks(
            documents.section("docs/nightly.md", "State and backup"), "sh"
        )
    )
    assert project.workspace.shell(save, {}).code == 0
    (project.workspace.system_folder / "meltano.db").unlink()
    restored = project.workspace.shell(restore, {})
    assert restored.code == 0, restored.output
    assert project.workspace.states() == {STATE_ID: before[STATE_ID]}


# The container


def container(home: Path) -> Path:
    """Create a folder with the files that the Containerfile copies and the installed plugins."""
    for source, destination in nightly.copied_files():
        target = home / destination / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
    for name in ("extractors", "loaders"):
        (home / ".meltano").mkdir(exist_ok=True)
        (home / ".meltano" / name).symlink_to(PROJECT / ".meltano" / name)
    return home


def test_container_stores_its_state_in_postgresql(postgres_server: str, tmp_path: Path) -> None:
    """tests/pipelines/test_two_machines.py shows that another one resumes from there."""
    dataset = Dataset({FIRST: ROWS, LAST: ROWS}, newest=NEWEST)
    folder = container(tmp_path / "image")
    with Simulator(dataset) as service, postgres(postgres_server) as database:
        workspace = Workspace(tmp_path, service=service, database=database, folder=folder)
        finished = workspace.meltano(
            *nightly.container_command(),
            variables={
                **nightly.container_environment(),
                "MELTANO_DATABASE_URI": database.sqlalchemy_url,
                "TAP_CAMPUSGROUPS__SELECT": json.dumps([f"{FIRST}.*", f"{LAST}.*"]),
            },
        )
        assert finished.code == 0, finished.output
        for stream in (FIRST, LAST):
            assert len(database.rows("campusgroups", stream)) == ROWS
        states = database_states(database)
        query = documents.block("docs/nightly.md", "What to watch", "sql")
        with database.connect() as connection:
            ((age,),) = connection.execute(re.sub("events", FIRST, query).encode())
    assert set(states[f"dev:{TAP}-to-target-postgres"]["bookmarks"]) == {FIRST, LAST}
    assert timedelta(hours=23) < age < timedelta(hours=25)
