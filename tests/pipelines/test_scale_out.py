"""One stream a process, or one group of streams a job: the same rows and the same state."""

from __future__ import annotations

import fnmatch
import json
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Hang, Simulator
from tests.support import pipeline
from tests.support.harness import Output, catalog_of, settings_for, wait_until
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.postgres import Postgres

NAMES = tuple(stream.name for stream in STREAMS[ApiVersion.V1_0])
WITHOUT_NEWS = "rooms"

# A day ago, within the lookback: bookmarks are the newest rows. Earlier, they would be the end of
# the range.
NEWEST = datetime.now(UTC).replace(microsecond=250_000) - timedelta(days=1)
PROCESSES = 2
"""How many run at once."""


def run_process(
    config: Mapping[str, Any], home: Path, streams: Sequence[str], state: Mapping[str, Any] | None
) -> Output:
    """Run the tap as a process of its own, for some streams; it must succeed.

    Args:
        config: The settings.
        home: Folder for its files.
        streams: The streams to select.
        state: The state of an earlier run.
    """
    files = {"config": config, "catalog": catalog_of(streams), "state": state or {}}
    folder = home / ("all" if len(streams) > 1 else streams[0])
    folder.mkdir(exist_ok=True)
    arguments = []
    for name, content in files.items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(content))
        arguments += [f"--{name}", str(file)]
    finished = subprocess.run(
        [sys.executable, "-m", "tap_campusgroups", *arguments],
        env=os.environ,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    return Output([json.loads(line) for line in finished.stdout.splitlines()])


def run_each(
    config: Mapping[str, Any], home: Path, states: Mapping[str, Mapping[str, Any]]
) -> dict[str, Output]:
    """Run one process a stream, each with its own state."""
    run = partial(run_process, config, home)
    with ThreadPoolExecutor(PROCESSES) as pool:
        outputs = pool.map(lambda name: run([name], states.get(name)), NAMES)
        return dict(zip(NAMES, outputs, strict=True))


def comparable(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Bring messages into an order, without the moments at which they were made."""
    return sorted(
        json.dumps({key: value for key, value in message.items() if key != "time_extracted"})
        for message in messages
    )


def check_same(all_at_once: Output, each: Mapping[str, Output]) -> None:
    """Make sure that single-stream processes gave what one process gave for all streams."""
    for kind in ("SCHEMA", "RECORD"):
        apart = [message for output in each.values() for message in output.of_type(kind)]
        assert comparable(apart) == comparable(all_at_once.of_type(kind))
    assert {name: list(output.states[-1]["bookmarks"]) for name, output in each.items()} == {
        name: [name] for name in NAMES
    }
    assert merged(each) == all_at_once.states[-1]


def merged(each: Mapping[str, Output]) -> dict[str, Any]:
    """Make one state of the last states of single-stream processes."""
    return {"bookmarks": {name: each[name].states[-1]["bookmarks"][name] for name in NAMES}}


@pytest.fixture
def service() -> Iterator[Simulator]:
    """The service, with some pages of each stream."""
    counts = {name: 5 + 7 * number % 11 for number, name in enumerate(NAMES)}
    with Simulator(Dataset(counts, newest=NEWEST)) as service:
        yield service


def let_an_hour_pass(dataset: Dataset) -> None:
    """Change a row and add one, in every stream but one."""
    for number, name in enumerate(NAMES):
        if name == WITHOUT_NEWS:
            continue
        rows = dataset[name]
        changed, new = (
            (NEWEST + timedelta(minutes=minutes + number)).isoformat() for minutes in (1, 30)
        )
        rows[2]["updatedOn"] = changed
        rows.append({**dataset.row(name, len(rows) + 1), "updatedOn": new})


def test_a_process_a_stream_gives_what_one_process_gives(
    service: Simulator, tmp_path: Path
) -> None:
    # The bounds are the settings', not the start of each process: the outputs can be equal.
    config = settings_for(
        service,
        start_date=(NEWEST - timedelta(days=300)).isoformat(),
        end_date=(NEWEST + timedelta(hours=2)).isoformat(),
        export_window_days=200,
        page_size=3,
    )
    first = run_process(config, tmp_path, NAMES, None)
    firsts = run_each(config, tmp_path, {})
    check_same(first, firsts)
    assert set(first.records) == set(NAMES)

    let_an_hour_pass(service.dataset)
    second = run_process(config, tmp_path, NAMES, first.states[-1])
    seconds = run_each(
        config, tmp_path, {name: output.states[-1] for name, output in firsts.items()}
    )
    check_same(second, seconds)
    moved = {name for name in NAMES if second.bookmarks[name] != first.bookmarks[name]}
    assert moved == set(NAMES) - {WITHOUT_NEWS}
    assert len(second.of_type("RECORD")) < len(first.of_type("RECORD"))


# Groups of streams, as `meltano.yml` has them


PROJECT_FILE: dict[str, Any] = yaml.safe_load(
    (pipeline.PROJECT / "meltano.yml").read_text(encoding="utf-8")
)
GROUPS = {
    extractor["name"].partition("--")[2]: extractor
    for extractor in PROJECT_FILE["plugins"]["extractors"]
    if "inherit_from" in extractor
}


def streams_of(group: str, version: ApiVersion) -> list[str]:
    """List the streams that a group selects."""
    patterns = [pattern.removesuffix(".*") for pattern in GROUPS[group]["select"]]
    names = [stream.name for stream in STREAMS[version]]
    return [name for pattern in patterns for name in fnmatch.filter(names, pattern)]


@pytest.mark.parametrize("version", ApiVersion)
def test_the_groups_have_every_stream_once(version: ApiVersion) -> None:
    found = [name for group in GROUPS for name in streams_of(group, version)]
    assert sorted(found) == sorted(stream.name for stream in STREAMS[version])


def test_meltano_yml_schedules_nightly_alone() -> None:
    """The groups read the same."""
    assert [schedule["job"] for schedule in PROJECT_FILE["schedules"]] == ["nightly"]


def test_readme_schedules_each_group_at_a_minute_of_its_own() -> None:
    readme = (pipeline.PROJECT / "README.md").read_text(encoding="utf-8")
    block = readme.split("## Scale out")[1].split("```yaml\n")[1].split("```")[0]
    schedules = yaml.safe_load(block)["schedules"]
    assert [schedule["job"] for schedule in schedules] == list(GROUPS)
    assert len({schedule["interval"].split()[0] for schedule in schedules}) == len(GROUPS)


def test_each_group_has_a_job_and_its_part_of_the_cap() -> None:
    jobs = {job["name"]: job["tasks"] for job in PROJECT_FILE["jobs"]}
    for group, extractor in GROUPS.items():
        assert jobs[group] == [f"{extractor['name']} target-postgres"]
    parts = [extractor["config"]["max_concurrent_exports"] for extractor in GROUPS.values()]
    (cap,) = (
        setting["value"]
        for setting in PROJECT_FILE["plugins"]["extractors"][0]["settings"]
        if setting["name"] == "max_concurrent_exports"
    )
    assert sum(parts) == cap


def meltano(workspace: pipeline.Workspace, *arguments: str) -> str:
    """Run Meltano; return its log. It must succeed."""
    finished = workspace.meltano(*arguments)
    assert finished.code == 0, finished.output
    return finished.output


def tables_of(database: Postgres) -> set[str]:
    """List the loaded tables."""
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'campusgroups'"
    with database.connect() as connection:
        return {name for (name,) in connection.execute(query)}


def test_two_groups_at_once_have_states_of_their_own(tmp_path: Path) -> None:
    """The second one begins and ends while the first one waits for the service.

    Not in the same moment: Meltano writes the loader's logging configuration into one file for all
    runs of a loader in a folder, and a loader that starts just then reads half of it.
    """
    if missing := pipeline.missing_plugins():
        pytest.fail(f"not installed: {', '.join(missing)}; run `make test`, which does it")
    with postgres() as database, Simulator(Dataset(3, newest=NEWEST)) as service:
        with database.connect() as connection:
            connection.execute("CREATE SCHEMA campusgroups")
        workspace = pipeline.Workspace(tmp_path, service=service, database=database)
        first, *_, last = sorted(streams_of("money", ApiVersion.V1_0))
        service.inject(Hang().on(last, "first_page"))
        with ThreadPoolExecutor(1) as pool:
            money = pool.submit(meltano, workspace, "run", "--state-id-suffix=my-school", "money")
            try:
                wait_until(lambda: money.done() or first in tables_of(database))
                wait_until(lambda: money.done() or service.hanging == 1)
                meltano(workspace, "run", "people")
                assert not money.done(), money.result()
            finally:
                service.clear_faults()  # or the other run would hang after an interruption
                service.release()
            money.result()
        tables = tables_of(database)
    expected = {
        "money:my-school": set(streams_of("money", ApiVersion.V1_0)),
        "people": set(streams_of("people", ApiVersion.V1_0)),
    }
    assert tables == set().union(*expected.values())
    with closing(sqlite3.connect(workspace.system_folder / "meltano.db")) as system:
        found = dict(system.execute("SELECT state_id, completed_state FROM state").fetchall())
    bookmarks = {
        state_id: set(json.loads(state)["singer_state"]["bookmarks"])
        for state_id, state in found.items()
    }
    assert bookmarks == {
        f"dev:tap-campusgroups--{group}-to-target-postgres{f':{suffix}' if suffix else ''}": names
        for (group, _, suffix), names in (
            (name.partition(":"), streams) for name, streams in expected.items()
        )
    }
