"""Meltano's commands `run`, `select`, `invoke` and `config test` in one project with target-jsonl.

target-jsonl forgets its state when records follow it: only a final STATE reaches Meltano. The
commands build on each other: two nights, then other selections.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Dataset, Hang, Simulator
from tests.support import messages
from tests.support.pipeline import TAP, Workspace, tap_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.pipeline import Finished

pytestmark = pytest.mark.slow

MOVING, QUIET = "groups", "users"
"""A stream with a new row every night, and the run's last stream, which has none."""

STREAMS = (MOVING, "rsvp", QUIET)
ROWS = 6
NIGHTS = 2
INVOKE_TEST = ("invoke", TAP, "--test")
CONFIG_TEST = ("config", "test", TAP)

NEWEST = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
"""Within the lookback, so that every night reads the rows of the night before again."""


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """A service with a few rows per stream."""
    dataset = Dataset(dict.fromkeys(STREAMS, ROWS), newest=NEWEST)
    with Simulator(dataset) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def workspace(service: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A Meltano project for all commands."""
    return Workspace(tmp_path_factory.mktemp("jsonl"), service=service)


def meltano(workspace: Workspace, *command: str, select: Sequence[str] = STREAMS) -> Finished:
    """Run Meltano with a selection of streams."""
    return workspace.meltano(
        *command,
        variables={
            "TAP_CAMPUSGROUPS__SELECT": json.dumps([f"{stream}.*" for stream in select]),
        },
    )


def exported(service: Simulator) -> set[str | None]:
    """Return the streams of the submitted exports."""
    return {one.stream for one in service.requests if one.method == "POST"}


# Runs


@pytest.fixture(scope="module")
def nights(workspace: Workspace, service: Simulator) -> list[tuple[dict[str, Any], str]]:
    """Two runs: each night's bookmarks, and the newest `updatedOn` of the stream with a new row."""
    found = []
    for night in range(NIGHTS):
        newest = f"{NEWEST + timedelta(hours=night + 1):%Y-%m-%dT%H:%M:%S}"
        rows = service.dataset[MOVING]
        rows.append(rows[0] | {"id": 1000 + night, "updatedOn": f"{newest}Z"})
        finished = meltano(workspace, "run", TAP, "target-jsonl")
        assert finished.code == 0, finished.output
        state = workspace.states()[f"dev:{TAP}-to-target-jsonl"]
        found.append((state["bookmarks"], f"{newest}.000000Z"))
    return found


def test_each_run_stores_its_bookmarks(nights: list[tuple[dict[str, Any], str]]) -> None:
    for bookmarks, newest in nights:
        assert set(bookmarks) == set(STREAMS)
        assert bookmarks[MOVING]["replication_key_value"] == newest


# Selections


def test_connection_test_reads_the_selection_that_meltano_wrote_last(
    workspace: Workspace, service: Simulator
) -> None:
    """`meltano invoke` with an option reuses a catalog; `meltano select` writes a new one."""
    select = ["events", "tags"]
    listed = meltano(workspace, "select", TAP, "--list")
    assert listed.code == 0, listed.output
    service.reset_log()
    stale = meltano(workspace, *INVOKE_TEST, select=select)
    assert messages.connection_test_started(len(STREAMS), 23) in stale.output
    assert exported(service) == set(STREAMS)

    listed = meltano(workspace, "select", TAP, "--list", select=select)
    assert listed.code == 0, listed.output
    service.reset_log()
    fresh = meltano(workspace, *INVOKE_TEST, select=select)
    assert fresh.code == 0, fresh.output
    assert messages.connection_test_started(2, 23) in fresh.output
    assert f"{messages.CONNECTION_TEST}2 of 2 streams readable" in fresh.output
    assert exported(service) == set(select)


def test_run_with_selection_that_matches_nothing_fails(
    workspace: Workspace, service: Simulator
) -> None:
    service.reset_log()
    finished = meltano(workspace, "run", TAP, "target-jsonl", select=["event"])
    assert finished.code != 0
    assert messages.NO_STREAM_SELECTED in finished.output
    assert "selects 0 of 23." in finished.output
    assert service.requests == []


# `meltano config test`, which ends the tap after the first record


def test_config_test_ends_with_the_first_record(workspace: Workspace) -> None:
    """With the settings that the documentation recommends: few days and one export at a time."""
    recent = datetime.now(UTC) - timedelta(days=3)
    first, *others = sorted(Dataset(0, newest=NEWEST).streams)
    with Simulator(Dataset(300, newest=NEWEST)) as service:
        # Only the first stream is answered, however late Meltano ends the tap.
        for stream in others:
            service.inject(Hang().on(stream, times=None))
        finished = workspace.meltano(
            *CONFIG_TEST,
            variables={
                **tap_settings(service),
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


def test_config_test_with_wrong_secret_shows_the_reason_after_one_request(
    workspace: Workspace, service: Simulator
) -> None:
    service.reset_log()
    finished = workspace.meltano(
        *CONFIG_TEST, variables={"TAP_CAMPUSGROUPS_API_SECRET": "no-such-secret-8e2f"}
    )
    assert finished.code != 0
    assert f"{messages.DENIED}401" in finished.output
    assert messages.CHECK_SECRET in finished.output
    assert "no-such-secret-8e2f" not in finished.output
    assert len(service.requests) == 1
