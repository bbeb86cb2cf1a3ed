"""Rows that vanish at the source, in a real PostgreSQL: the recipes of docs/deleted-rows.md."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any

import pytest
import yaml

from tests.simulator import Dataset, FailQuery, Hang, JsonBody, Simulator, Status
from tests.support import documents, messages, pipeline
from tests.support.harness import only, read_in_full, settings_for, sync, wait_until
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

ROWS = 12
ALL = set(range(1, ROWS + 1))
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
GUIDE = "docs/deleted-rows.md"
SCHEMA = "campusgroups"
FULL = "tap-campusgroups--full"
HARD_DELETE = "TARGET_POSTGRES_HARD_DELETE"
STATE_ID = f"dev:{FULL}-to-target-postgres"


def ids(database: Postgres, stream: str) -> set[int]:
    """Return the ids of a table's rows that are not marked as deleted."""
    rows = database.rows(SCHEMA, stream)
    return {row["id"] for row in rows if row["_sdc_deleted_at"] is None}


def marked(database: Postgres, stream: str) -> set[int]:
    """Return the ids of a table's rows that are marked as deleted."""
    return {row["id"] for row in database.rows(SCHEMA, stream)} - ids(database, stream)


@pytest.fixture
def database(postgres_server: str) -> Iterator[Postgres]:
    """An empty database."""
    with postgres(postgres_server) as database:
        yield database


# Through Meltano


def test_recipes_remove_vanished_rows(database: Postgres, tmp_path: Path) -> None:
    """The weekly recipe, then the erasure, with the streams rsvp and users."""
    with Simulator(Dataset(ROWS, newest=NEWEST)) as service:
        workspace = pipeline.Workspace(tmp_path, service=service, database=database)
        add_plugin(workspace.folder / "meltano.yml")
        workspace.environment["TAP_CAMPUSGROUPS__SELECT_FILTER"] = '["rsvp", "users"]'
        nightly, weekly, erasure = recipes()
        assert nightly.strip() in weekly  # the weekly recipe begins with the nightly run

        run(workspace, weekly)
        assert ids(database, "rsvp") == ids(database, "users") == ALL
        assert all(row["_sdc_table_version"] for row in database.rows(SCHEMA, "rsvp"))
        states = workspace.states()
        assert states[STATE_ID]["bookmarks"]["rsvp"]["full_read"]["rows"] == ROWS
        bookmarks = states["dev:tap-campusgroups-to-target-postgres"]["bookmarks"]
        assert set(bookmarks) == {"rsvp", "users"}
        assert all(one["replication_key_value"] for one in bookmarks.values())

        del service.dataset["rsvp"][4:6], service.dataset["users"][4]
        finished = run(workspace, erasure)
        assert messages.ROWS_STAY not in finished.output
        for stream, gone in {"rsvp": {5, 6}, "users": {5}}.items():
            assert {row["id"] for row in database.rows(SCHEMA, stream)} == ALL - gone
        reads = workspace.states()[STATE_ID]["bookmarks"]
        assert {name: one["full_read"]["rows"] for name, one in reads.items()} == {
            "rsvp": ROWS - 2,
            "users": ROWS - 1,
        }


def add_plugin(project: Path) -> None:
    """Add the guide's plugin to a `meltano.yml`."""
    section = "Every week, after the nightly run"
    content = yaml.safe_load(project.read_text(encoding="utf-8"))
    added = yaml.safe_load(documents.block(GUIDE, section, "yaml"))
    content["plugins"]["extractors"] += added["plugins"]["extractors"]
    project.write_text(yaml.safe_dump(content), encoding="utf-8")


def recipes() -> list[str]:
    """Return the commands of the guide: each night, each week, erasure."""
    found = documents.blocks(documents.read(GUIDE), "sh")
    assert len(found) == 3
    return found


def run(workspace: pipeline.Workspace, script: str) -> Finished:
    """Run a recipe, which succeeds."""
    finished = workspace.shell(script, {})
    assert finished.code == 0, finished.output
    return finished


# The tap and the loader without Meltano


@dataclass
class Warehouse:
    """Full reads of a service, loaded by target-postgres.

    Attributes:
        state: The state after the last run, as the loader returned it.
    """

    service: Simulator
    database: Postgres
    folder: Path
    is_hard: bool
    state: dict[str, Any]

    def ids(self, stream: str) -> set[int]:
        """Return the ids of the rows that are not marked as deleted."""
        return ids(self.database, stream)

    def read(self, *streams: str, **settings: Any) -> Exception | None:
        """Read streams in full and load them; return the error of the tap."""
        config = settings_for(self.service, page_size=5, **settings)
        catalog = read_in_full(only(*streams), *streams)
        output = sync(config, *streams, catalog=catalog, state=self.state, started=None)
        lines = "\n".join(json.dumps(message) for message in output.messages)
        with self._loader(subprocess.PIPE) as loader:
            self._end(loader, lines.encode())
        return output.error

    def interrupt(self, stream: str, is_time: Callable[[], object]) -> int:
        """Read a stream into the loader, send SIGTERM when it is time; return the exit code."""
        files = {
            "config": settings_for(self.service, page_size=5),
            "catalog": read_in_full(only(stream), stream),
            "state": self.state,
        }
        command = [sys.executable, "-m", "tap_campusgroups"]
        for name, content in files.items():
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            command += [f"--{name}", str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as tap:
            assert tap.stdout is not None
            try:
                with self._loader(tap.stdout) as loader:
                    tap.stdout.close()
                    wait_until(is_time)
                    tap.terminate()
                    self._end(loader)
                return tap.wait()
            finally:
                tap.kill()

    def _loader(self, stdin: int | IO[bytes]) -> subprocess.Popen[bytes]:
        config = self.folder / "target.json"
        settings = {
            "sqlalchemy_url": self.database.sqlalchemy_url,
            "default_target_schema": SCHEMA,
            "hard_delete": self.is_hard,
            "validate_records": False,
        }
        config.write_text(json.dumps(settings), encoding="utf-8")
        return subprocess.Popen(
            [pipeline.plugin("target-postgres"), "--config", config],
            env=pipeline.bare_environment(self.folder),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def _end(self, loader: subprocess.Popen[bytes], lines: bytes | None = None) -> None:
        try:
            states, log = loader.communicate(lines, timeout=120)
        finally:
            loader.kill()
        assert loader.returncode == 0, log
        if found := states.splitlines():
            self.state = json.loads(found[-1])


@pytest.fixture
def warehouse(
    database: Postgres, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Warehouse]:
    """A warehouse, with hard deletes unless the parameter says otherwise."""
    with Simulator(Dataset(ROWS, newest=NEWEST)) as service:
        yield Warehouse(service, database, tmp_path, getattr(request, "param", True), {})


FAILURES: Mapping[str, tuple[str, Callable[[Simulator, str], object]]] = {
    "badges": (
        "denied",
        lambda service, name: service.inject(Status(403).on(name, times=None)),
    ),
    "budgets": (
        "query failed",
        lambda service, name: service.inject(FailQuery().on(name, times=None)),
    ),
    "checkins": (
        "page lost",
        lambda service, name: service.inject(
            JsonBody({"message": "-"}).on(name, "later_page", times=None)
        ),
    ),
    "events": (
        "row without id",
        lambda service, name: service.dataset[name][0].update(id=None),
    ),
    "groups": ("no rows", lambda service, name: service.dataset[name].clear()),
    "members": (
        "less than half",
        lambda service, name: service.dataset[name].__delitem__(slice(5)),
    ),
}
"""A failure per stream, and how to cause it."""


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize("warehouse", [True, False], ids=["hard", "soft"], indirect=True)
def test_vanished_rows_are_removed_and_no_failure_removes_a_row(warehouse: Warehouse) -> None:
    service = warehouse.service
    assert warehouse.read("rsvp", *FAILURES) is None
    assert all(warehouse.ids(stream) == ALL for stream in ("rsvp", *FAILURES))
    for stream in ("rsvp", *FAILURES):
        del service.dataset[stream][2:5]
    for stream, (_, fail) in FAILURES.items():
        fail(service, stream)
    error = warehouse.read("rsvp", *FAILURES)
    assert str(error).startswith("4 of 7 streams failed: badges, budgets, checkins, events.")
    assert warehouse.ids("rsvp") == ALL - {3, 4, 5}
    assert marked(warehouse.database, "rsvp") == (set() if warehouse.is_hard else {3, 4, 5})
    assert {name: warehouse.ids(name) for name in FAILURES} == dict.fromkeys(FAILURES, ALL)
    if not warehouse.is_hard:
        # A row that returns is no longer marked.
        service.dataset["rsvp"].append(service.dataset["rsvp"][0] | {"id": 4})
        assert warehouse.read("rsvp") is None
        assert marked(warehouse.database, "rsvp") == {3, 5}


def test_interrupted_and_shortened_reads_remove_no_row(
    warehouse: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    service = warehouse.service
    assert warehouse.read("rsvp") is None
    before = warehouse.state
    del service.dataset["rsvp"][2:5]

    fault = service.inject(Hang().on("rsvp", "later_page"))
    assert warehouse.interrupt("rsvp", lambda: service.hanging) == 143
    service.release()
    assert fault.fired
    assert warehouse.ids("rsvp") == ALL
    assert warehouse.state == before

    settings: dict[str, Any]
    for settings in ({"end_date": NEWEST.isoformat()}, {"start_date": "2000-01-02"}):
        caplog.clear()
        assert warehouse.read("rsvp", **settings) is None
        assert messages.ROWS_STAY in caplog.text
        assert warehouse.ids("rsvp") == ALL
        assert warehouse.state == before

    assert warehouse.read("rsvp") is None
    assert warehouse.ids("rsvp") == ALL - {3, 4, 5}
