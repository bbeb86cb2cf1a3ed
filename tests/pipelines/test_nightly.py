"""The recipes of docs/nightly.md in real Meltano with target-jsonl.

target-jsonl forgets its state when records follow it: only a final STATE reaches Meltano. `meltano
invoke` and `meltano config test` run in the project of the cron line.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.simulator import Dataset, Hang, Simulator, Status
from tests.support import documents, messages, nightly
from tests.support.harness import wait_until
from tests.support.pipeline import TAP, Workspace, tap_settings

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
NO_RESULT = "The tap has written no result: it was killed, or another run is active.\n"
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
"""Within the lookback, so that every run reads the rows of the one before again."""


def selection(*streams: str) -> dict[str, str]:
    """Return the variable that selects streams."""
    return {"TAP_CAMPUSGROUPS__SELECT": json.dumps([f"{stream}.*" for stream in streams])}


class Nightly(NamedTuple):
    """A project that cron runs."""

    workspace: Workspace
    service: Simulator

    @property
    def log(self) -> str:
        """The log of all runs."""
        return (self.workspace.folder / "nightly.log").read_text("utf-8")

    def run(self) -> Finished:
        """Run the command of the cron line, as cron does."""
        command = nightly.cron_line().command.replace(nightly.FOLDER, str(self.workspace.folder))
        return self.workspace.shell(command.replace("target-postgres", "target-jsonl"), {})

    def write_settings(self, **more: str) -> None:
        """Write the file with the settings."""
        settings = {**tap_settings(self.service), **selection(FIRST, LAST), **more}
        path = self.workspace.folder / ".env"
        path.touch(mode=0o600)
        path.write_text("".join(f"{name}='{text}'\n" for name, text in settings.items()), "utf-8")

    def is_loaded(self) -> bool:
        """Return whether the loader's files have the ids of exactly the service's rows."""
        files = (self.workspace.folder / "output" / "campusgroups").iterdir()
        loaded = {
            file.stem: {json.loads(line)["id"] for line in file.read_text("utf-8").splitlines()}
            for file in files
        }
        rows = self.service.dataset
        return loaded == {name: {row["id"] for row in rows[name]} for name in (FIRST, LAST)}

    def bookmark(self) -> Any:
        """Return the bookmark of the first stream."""
        return self.workspace.states()[STATE_ID]["bookmarks"][FIRST]["replication_key_value"]

    def alert(self, code: int, problem: str = "") -> str:
        """Return what cron mails."""
        return (
            f"The nightly run of CampusGroups failed with exit code {code}. "
            f"Log: {self.workspace.folder}/nightly.log\n{problem}"
        )

    def exported(self) -> set[str | None]:
        """Return the streams of the submitted exports."""
        return {one.stream for one in self.service.requests if one.method == "POST"}


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
        meltano.with_name("python").symlink_to(sys.executable)
        project = Nightly(workspace, service)
        project.write_settings()
        yield project


@pytest.fixture(scope="module")
def finished(project: Nightly) -> tuple[Finished, bool, Any]:
    """A successful run, whether it loaded all rows, and its bookmark."""
    project.write_settings()
    finished = project.run()
    return finished, project.is_loaded(), project.bookmark()


def test_cron_line_with_successful_run_loads_all_and_prints_nothing(
    project: Nightly, finished: tuple[Finished, bool, Any]
) -> None:
    run, is_loaded, bookmark = finished
    assert (run.code, run.output) == (0, ""), project.log
    assert is_loaded
    assert bookmark == f"{NEWEST:%Y-%m-%dT%H:%M:%S}.000000Z"
    assert "Summary: 2/2 streams" in project.log
    assert SECRET not in project.log


def test_cron_line_with_failed_run_prints_the_exit_code(project: Nightly) -> None:
    """Meltano does not resolve a relative date, which would cut the lookback."""
    project.write_settings(TAP_CAMPUSGROUPS_START_DATE="1 day ago")
    project.service.reset_log()
    finished = project.run()
    problem = 'Invalid settings: start_date "1 day ago" is not a valid date'
    assert finished.output.startswith(project.alert(1, problem))
    assert problem in project.log
    assert project.service.requests == []


@pytest.mark.usefixtures("finished")
def test_cron_line_refuses_a_second_run_and_recovers_from_a_killed_one(project: Nightly) -> None:
    project.write_settings()
    hang = project.service.inject(Hang().on(LAST, "first_page"))
    rows = project.service.dataset[FIRST]
    rows.append(rows[0] | {"id": 1000, "updatedOn": f"{NEWEST + timedelta(hours=1):%FT%TZ}"})
    with ThreadPoolExecutor() as pool:
        first = pool.submit(project.run)
        try:
            wait_until(lambda: hang.fired or first.done())
            second = project.run()
            pid = int((project.workspace.folder / "meltano.pid").read_text("utf-8"))
            os.kill(pid, signal.SIGKILL)
            killed = first.result()
        finally:
            project.service.release()
    assert second.output == project.alert(75, NO_RESULT)
    assert "flock: failed to get lock" in project.log
    assert killed.output == project.alert(128 + signal.SIGKILL, NO_RESULT)

    # Meltano takes the killed run for a running one during five minutes.
    project.service.reset_log()
    third = project.run()
    assert (third.code, third.output) == (0, ""), project.log
    assert project.is_loaded()
    assert project.bookmark() == f"{NEWEST + timedelta(hours=1):%FT%T}.000000Z"
    starts = {one.query["updatedStart"] for one in project.service.requests if one.method == "POST"}
    assert starts == {f"{NEWEST - timedelta(hours=48):%FT%TZ}"}


@pytest.mark.usefixtures("finished")
def test_saved_state_is_restored_into_a_new_system_database(project: Nightly) -> None:
    before = project.workspace.states()
    recipes = documents.blocks(documents.section("docs/nightly.md", "State and backup"), "sh")
    save, restore = (one.replace("target-postgres", "target-jsonl") for one in recipes)
    assert project.workspace.shell(save, {}).code == 0
    (project.workspace.system_folder / "meltano.db").unlink()
    restored = project.workspace.shell(restore, {})
    assert restored.code == 0, restored.output
    assert project.workspace.states() == {STATE_ID: before[STATE_ID]}


def starts(service: Simulator) -> dict[str | None, str]:
    """Return where the submitted exports begin, by stream."""
    posted = [one for one in service.requests if one.method == "POST"]
    return {one.stream: one.query["updatedStart"][:10] for one in posted}


@pytest.mark.usefixtures("finished")
def test_failed_full_refresh_is_forgotten_and_the_recipe_to_start_over_is_not(
    project: Nightly,
) -> None:
    project.write_settings()
    recent = f"{datetime.fromisoformat(project.bookmark()) - timedelta(hours=48):%F}"
    recipe = documents.block("docs/backfills.md", "Start over", "sh")
    for script, expected in (
        ("meltano run --full-refresh nightly", recent),
        (recipe.replace("target-postgres", "target-jsonl"), "1900-01-01"),
    ):
        project.service.inject(Status(403).on(LAST, times=None))
        project.service.reset_log()
        failed = project.workspace.shell(script, {})
        assert failed.code == 1, failed.output
        assert starts(project.service) == {FIRST: "1900-01-01", LAST: "1900-01-01"}
        project.service.clear_faults()
        project.service.reset_log()
        assert project.run().code == 0, project.log
        assert starts(project.service) == {FIRST: recent, LAST: expected}


def test_state_that_cannot_be_stored_fails_the_nightly_run_but_not_meltano(
    project: Nightly,
) -> None:
    """A process that is killed while it takes the lock of a file or S3 backend leaves it empty."""
    states = project.workspace.folder / "states"
    states.mkdir()
    project.write_settings(MELTANO_STATE_BACKEND_URI=f"file://{states}")
    folder = states / STATE_ID
    folder.mkdir()
    (folder / "lock").touch()
    failed = project.run()
    assert failed.output == project.alert(1), project.log
    for message in (
        "could not convert string to float: ''",
        "Failed to persist state to the configured state backend",
        f"Run incomplete: the state '{STATE_ID}' does not have the last bookmarks of {FIRST}, ",
    ):
        assert message in project.log
    assert project.run().code == 0, project.log
    assert [one.name for one in folder.iterdir()] == ["state.json"]


# `meltano invoke` and `meltano config test`


def test_connection_test_reads_the_selection_that_meltano_wrote_last(project: Nightly) -> None:
    """`meltano select` writes a new catalog; `meltano invoke` with an option reuses it."""
    project.write_settings()
    select = ("events", "tags")
    listed = project.workspace.meltano("select", TAP, "--list", variables=selection(*select))
    assert listed.code == 0, listed.output
    project.service.reset_log()
    tested = project.workspace.meltano("invoke", TAP, "--test")
    assert tested.code == 0, tested.output
    assert messages.connection_test_started(2, 23) in tested.output
    assert f"{messages.CONNECTION_TEST}2 of 2 streams readable" in tested.output
    assert project.exported() == set(select)


def test_config_test_ends_with_the_first_record(project: Nightly) -> None:
    """With the settings that the documentation recommends: few days and one export at a time."""
    recent = datetime.now(UTC) - timedelta(days=3)
    first, *others = sorted(Dataset(0, newest=NEWEST).streams)
    with Simulator(Dataset(300, newest=NEWEST)) as service:
        # Only the first stream is answered, however late Meltano ends the tap.
        for stream in others:
            service.inject(Hang().on(stream, times=None))
        finished = project.workspace.meltano(
            *("config", "test", TAP),
            variables={
                **tap_settings(service),
                **selection("*"),
                "TAP_CAMPUSGROUPS_START_DATE": f"{recent:%Y-%m-%d}",
                "TAP_CAMPUSGROUPS_MAX_CONCURRENT_EXPORTS": "1",
            },
        )
        posted = [one for one in service.requests if one.method == "POST"]
    assert finished.code == 0, finished.output
    assert "Plugin configuration is valid" in finished.output
    # The tap may submit the second export before Meltano ends it, but no other one.
    assert [one.stream for one in posted] in ([first], [first, others[0]])
    assert posted[0].query["updatedStart"].startswith(f"{recent:%Y-%m-%d}")


def test_meltano_drops_the_offset_of_a_timestamp_without_quotes(project: Nightly) -> None:
    definition = project.workspace.folder / "meltano.yml"
    text = definition.read_text("utf-8")
    quoted = "2022-09-01T00:00:00+02:00"
    config = f"    config:\n      start_date: {quoted}\n      end_date: '{quoted}'\n"
    at = "    load_schema: campusgroups\n"
    definition.write_text(text.replace(at, f"{at}{config}", 1), "utf-8")
    try:
        printed = project.workspace.meltano("config", "print", TAP)
    finally:
        definition.write_text(text, "utf-8")
    assert '"start_date": "2022-09-01T00:00:00"' in printed.output
    assert f'"end_date": "{quoted}"' in printed.output
    assert f'start_date: "{quoted}"' in documents.section("docs/backfills.md", "The first run")
