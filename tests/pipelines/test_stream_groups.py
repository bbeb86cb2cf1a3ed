"""Streams in separate jobs: the same rows and bookmarks as in one job, with separate states."""

from __future__ import annotations

import fnmatch
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Hang, Simulator
from tests.support import documents, pipeline
from tests.support.harness import settings_for, sync, wait_until
from tests.support.postgres import postgres

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.support.harness import Output

NAMES = tuple(stream.name for stream in STREAMS[ApiVersion.V1_0])[::3]
UNCHANGED = "rooms"

# Within the lookback: the bookmarks are the newest rows, not the end of the range.
NEWEST = datetime.now(UTC).replace(microsecond=250_000) - timedelta(days=1)


# One run per stream


@pytest.fixture
def service() -> Iterator[Simulator]:
    """A service with some pages per stream."""
    counts = {name: 5 + 7 * number % 11 for number, name in enumerate(NAMES)}
    with Simulator(Dataset(counts, newest=NEWEST)) as service:
        yield service


def change_rows(dataset: Dataset) -> None:
    """Change a row and add one in every stream but `UNCHANGED`."""
    for number, name in enumerate(NAMES):
        if name == UNCHANGED:
            continue
        rows = dataset[name]
        changed, new = (
            (NEWEST + timedelta(minutes=minutes + number)).isoformat() for minutes in (1, 30)
        )
        rows[2]["updatedOn"] = changed
        rows.append({**dataset.row(name, len(rows) + 1), "updatedOn": new})


def comparable(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return messages in a fixed order and without their times."""
    return sorted(
        json.dumps({key: value for key, value in message.items() if key != "time_extracted"})
        for message in messages
    )


def merged_state(runs: Mapping[str, Output]) -> dict[str, Any]:
    """Combine the last states of the runs of single streams."""
    return {"bookmarks": {name: runs[name].states[-1]["bookmarks"][name] for name in runs}}


def check_same(together: Output, separate: Mapping[str, Output]) -> None:
    """Check that runs of single streams had the output of one run of all streams."""
    assert together.error is None
    for kind in ("SCHEMA", "RECORD"):
        messages = [message for run in separate.values() for message in run.of_type(kind)]
        assert comparable(messages) == comparable(together.of_type(kind))
    for name, run in separate.items():
        assert run.error is None
        assert list(run.states[-1]["bookmarks"]) == [name]
    assert merged_state(separate) == together.states[-1]


def test_run_per_stream_has_the_output_of_one_run(service: Simulator) -> None:
    # A fixed range: the outputs can be equal.
    config = settings_for(
        service,
        start_date=(NEWEST - timedelta(days=300)).isoformat(),
        end_date=(NEWEST + timedelta(hours=2)).isoformat(),
        export_window_days=200,
        page_size=3,
    )
    first = sync(config, *NAMES, started=None)
    firsts = {name: sync(config, name, started=None) for name in NAMES}
    check_same(first, firsts)
    assert set(first.records) == set(NAMES)

    change_rows(service.dataset)
    second = sync(config, *NAMES, state=first.states[-1], started=None)
    seconds = {
        name: sync(config, name, state=firsts[name].states[-1], started=None) for name in NAMES
    }
    check_same(second, seconds)
    moved = {name for name in NAMES if second.bookmarks[name] != first.bookmarks[name]}
    assert moved == set(NAMES) - {UNCHANGED}
    assert len(second.of_type("RECORD")) < len(first.of_type("RECORD"))


# Groups of streams in `meltano.yml`


PROJECT_FILE: dict[str, Any] = yaml.safe_load(
    (pipeline.PROJECT / "meltano.yml").read_text(encoding="utf-8")
)
GROUPS = {
    extractor["name"].partition("--")[2]: extractor
    for extractor in PROJECT_FILE["plugins"]["extractors"]
    if "inherit_from" in extractor
}


def streams_of(group: str, version: ApiVersion) -> list[str]:
    """Return the streams that a group selects."""
    patterns = [pattern.removesuffix(".*") for pattern in GROUPS[group]["select"]]
    names = [stream.name for stream in STREAMS[version]]
    return [name for pattern in patterns for name in fnmatch.filter(names, pattern)]


@pytest.mark.parametrize("version", ApiVersion)
def test_groups_have_every_stream_once(version: ApiVersion) -> None:
    found = [name for group in GROUPS for name in streams_of(group, version)]
    assert sorted(found) == sorted(stream.name for stream in STREAMS[version])


def test_meltano_yml_schedules_only_the_job_of_all_streams() -> None:
    assert [schedule["job"] for schedule in PROJECT_FILE["schedules"]] == ["nightly"]


def test_documented_schedules_start_each_group_at_a_minute_of_its_own() -> None:
    block = documents.block("docs/scale-out.md", "Groups of streams", "yaml")
    schedules = yaml.safe_load(block)["schedules"]
    assert [schedule["job"] for schedule in schedules] == list(GROUPS)
    assert len({schedule["interval"].split()[0] for schedule in schedules}) == len(GROUPS)


def test_each_group_has_a_job_and_a_part_of_the_concurrent_exports() -> None:
    jobs = {job["name"]: job["tasks"] for job in PROJECT_FILE["jobs"]}
    for group, extractor in GROUPS.items():
        assert jobs[group] == [f"{extractor['name']} target-postgres"]
    parts = [extractor["config"]["max_concurrent_exports"] for extractor in GROUPS.values()]
    (max_concurrent,) = (
        setting["value"]
        for setting in PROJECT_FILE["plugins"]["extractors"][0]["settings"]
        if setting["name"] == "max_concurrent_exports"
    )
    assert sum(parts) == max_concurrent


def run_group(workspace: pipeline.Workspace, *arguments: str) -> str:
    """Run the job of a group, check that it succeeds, and return its log."""
    finished = workspace.meltano("run", *arguments)
    assert finished.code == 0, finished.output
    return finished.output


@pytest.mark.slow
def test_two_groups_at_the_same_time_have_states_of_their_own(
    postgres_server: str, tmp_path: Path
) -> None:
    """The second group starts and ends while the first one waits for the service.

    They do not start at the same moment: Meltano writes the loader's logging configuration into one
    file per folder, and a loader that starts then reads half of it.
    """
    with postgres(postgres_server) as database, Simulator(Dataset(3, newest=NEWEST)) as service:
        workspace = pipeline.Workspace(tmp_path, service=service, database=database)
        first, *_, last = sorted(streams_of("money", ApiVersion.V1_0))
        service.inject(Hang().on(last, "first_page"))

        def is_waiting() -> bool:
            return service.hanging == 1 and first in database.schemas().get("campusgroups", ())

        with ThreadPoolExecutor(1) as pool:
            money = pool.submit(run_group, workspace, "--state-id-suffix=my-school", "money")
            try:
                wait_until(lambda: money.done() or is_waiting())
                run_group(workspace, "people")
                assert not money.done(), money.result()
            finally:
                service.clear_faults()  # or the other run would hang after an interruption
                service.release()
            money.result()
        tables = database.schemas()["campusgroups"]
    streams = {group: set(streams_of(group, ApiVersion.V1_0)) for group in ("money", "people")}
    assert tables == streams["money"] | streams["people"]
    assert {
        state_id: set(state["bookmarks"]) for state_id, state in workspace.states().items()
    } == {
        "dev:tap-campusgroups--money-to-target-postgres:my-school": streams["money"],
        "dev:tap-campusgroups--people-to-target-postgres": streams["people"],
    }
