"""Rows that vanish at the source, in a real PostgreSQL: the recipes of docs/deleted-rows.md.

tests/state/test_full_reads.py shows when the tap lets a target remove rows.
"""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.simulator import Dataset, FailQuery, Hang, JsonBody, Simulator, Status
from tests.support import documents, messages, pipeline
from tests.support.harness import only, read_in_full, settings_for, sync, wait_until
from tests.support.postgres import postgres
from tests.support.tap_process import TapProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.simulator import Fault
    from tests.support.pipeline import Finished
    from tests.support.postgres import Postgres

pytestmark = pytest.mark.slow

ROWS = 12
ALL = set(range(1, ROWS + 1))
NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
GUIDE = "docs/deleted-rows.md"
SCHEMA = "campusgroups"
STATE_ID = "dev:tap-campusgroups--full-to-target-postgres"


@pytest.fixture
def database(postgres_server: str) -> Iterator[Postgres]:
    """An empty database."""
    with postgres(postgres_server) as database:
        yield database


def ids(database: Postgres, stream: str, *, marked: bool = False) -> set[int]:
    """Return the ids of a table's rows that are, or are not, marked as deleted."""
    rows = database.rows(SCHEMA, stream)
    return {row["id"] for row in rows if (row["_sdc_deleted_at"] is not None) == marked}


def test_recipes_remove_vanished_rows(database: Postgres, tmp_path: Path) -> None:
    """The weekly recipe, then the erasure, with the streams rsvp and users."""
    with Simulator(Dataset(ROWS, newest=NEWEST)) as service:
        workspace = pipeline.Workspace(tmp_path, service=service, database=database)
        path = workspace.folder / "meltano.yml"
        project = yaml.safe_load(path.read_text(encoding="utf-8"))
        added = documents.block(GUIDE, "Every week, after the nightly run", "yaml")
        project["plugins"]["extractors"] += yaml.safe_load(added)["plugins"]["extractors"]
        path.write_text(yaml.safe_dump(project), encoding="utf-8")
        workspace.environment["TAP_CAMPUSGROUPS__SELECT_FILTER"] = '["rsvp", "users"]'
        nightly, weekly, erasure = documents.blocks(documents.read(GUIDE), "sh")
        assert nightly.strip() in weekly  # the weekly recipe begins with the nightly run

        def run(script: str) -> Finished:
            finished = workspace.shell(script, {})
            assert finished.code == 0, finished.output
            return finished

        run(weekly)
        assert ids(database, "rsvp") == ids(database, "users") == ALL
        assert all(row["_sdc_table_version"] for row in database.rows(SCHEMA, "rsvp"))
        states = workspace.states()
        assert states[STATE_ID]["bookmarks"]["rsvp"]["full_read"]["rows"] == ROWS
        bookmarks = states["dev:tap-campusgroups-to-target-postgres"]["bookmarks"]
        assert set(bookmarks) == {"rsvp", "users"}
        assert all(one["replication_key_value"] for one in bookmarks.values())

        del service.dataset["rsvp"][4:6], service.dataset["users"][4]
        assert messages.ROWS_STAY not in run(erasure).output
        for stream, gone in {"rsvp": {5, 6}, "users": {5}}.items():
            assert {row["id"] for row in database.rows(SCHEMA, stream)} == ALL - gone
        reads = workspace.states()[STATE_ID]["bookmarks"]
        counts = {name: one["full_read"]["rows"] for name, one in reads.items()}
        assert counts == {"rsvp": ROWS - 2, "users": ROWS - 1}


# The tap and the loader without Meltano


def load(output: list[dict[str, Any]], database: Postgres, folder: Path) -> dict[str, Any]:
    """Load messages with target-postgres, without hard deletes, and return the last state."""
    config = folder / "target.json"
    settings = {"sqlalchemy_url": database.sqlalchemy_url, "default_target_schema": SCHEMA}
    config.write_text(json.dumps({**settings, "validate_records": False}), encoding="utf-8")
    loaded = subprocess.run(
        [pipeline.plugin("target-postgres"), "--config", config],
        env=pipeline.bare_environment(folder),
        input="\n".join(map(json.dumps, output)).encode(),
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert loaded.returncode == 0, loaded.stderr
    state: dict[str, Any] = json.loads(loaded.stdout.splitlines()[-1])
    return state


FAULTS: Mapping[str, Fault] = {
    "badges": Status(403).on("badges", times=None),
    "budgets": FailQuery().on("budgets", times=None),
    "checkins": JsonBody({"message": "-"}).on("checkins", "later_page", times=None),
}
CHANGES: Mapping[str, Callable[[list[dict[str, Any]]], object]] = {
    "events": lambda rows: rows[0].update(id=None),
    "groups": lambda rows: rows.clear(),
    "members": lambda rows: rows.__delitem__(slice(5)),
}
"""A failure or an implausible result per stream."""


@pytest.mark.usefixtures("fake_time")
def test_vanished_rows_are_marked_and_no_failure_marks_a_row(
    database: Postgres, tmp_path: Path
) -> None:
    failing = {*FAULTS, *CHANGES}
    state: dict[str, Any] = {}

    def read(*streams: str) -> Exception | None:
        nonlocal state
        catalog = read_in_full(only(*streams), *streams)
        config = settings_for(service, page_size=5)
        output = sync(config, *streams, catalog=catalog, state=state, started=None)
        state = load(output.messages, database, tmp_path)
        return output.error

    with Simulator(Dataset(ROWS, newest=NEWEST)) as service:
        assert read("rsvp", *failing) is None
        assert all(ids(database, stream) == ALL for stream in ("rsvp", *failing))
        for stream in ("rsvp", *failing):
            del service.dataset[stream][2:5]
        for fault in FAULTS.values():
            service.inject(fault)
        for stream, change in CHANGES.items():
            change(service.dataset[stream])
        error = read("rsvp", *failing)
        assert str(error).startswith("4 of 7 streams failed: badges, budgets, checkins, events.")
        assert ids(database, "rsvp") == ALL - {3, 4, 5}
        assert ids(database, "rsvp", marked=True) == {3, 4, 5}
        assert {name: ids(database, name) for name in failing} == dict.fromkeys(failing, ALL)
        # A row that returns is no longer marked.
        service.dataset["rsvp"].append(service.dataset["rsvp"][0] | {"id": 4})
        assert read("rsvp") is None
        assert ids(database, "rsvp", marked=True) == {3, 5}


def test_interrupted_read_activates_nothing(tmp_path: Path) -> None:
    """So the target removes no row."""
    with Simulator(Dataset({"rsvp": ROWS}, newest=NEWEST)) as service:
        service.inject(Hang().on("rsvp", "later_page"))
        catalog = read_in_full(only("rsvp"), "rsvp")
        with TapProcess(tmp_path, settings_for(service, page_size=5), catalog=catalog) as tap:
            wait_until(lambda: service.hanging)
            tap.send(signal.SIGTERM)
            output = tap.rest()
            assert tap.wait() == 143
    assert b'"SCHEMA"' in output
    assert b'"ACTIVATE_VERSION"' not in output
