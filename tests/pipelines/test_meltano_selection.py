"""Which streams Meltano has the tap read: `select`, and the catalog that it keeps of a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.simulator import Dataset, Simulator
from tests.support.pipeline import TAP, Workspace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.pipeline import Finished

INVOKE_TEST = ("invoke", TAP, "--test")


@pytest.fixture
def service() -> Iterator[Simulator]:
    """The service."""
    newest = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    with Simulator(Dataset(2, newest=newest)) as simulator:
        yield simulator


def meltano(workspace: Workspace, *command: str, select: list[str]) -> Finished:
    """Run a command of Meltano with a selection."""
    return workspace.meltano(*command, variables={"TAP_CAMPUSGROUPS__SELECT": json.dumps(select)})


def asked(service: Simulator) -> set[str | None]:
    """Name the streams of which exports were asked for."""
    return {one.stream for one in service.requests if one.method == "POST"}


def test_connection_test_reads_the_selection_once_meltano_has_written_it(
    service: Simulator, tmp_path: Path
) -> None:
    """`meltano invoke` with an option uses the catalog as it is; `meltano select` writes it."""
    workspace = Workspace(tmp_path, service=service)
    loaded = meltano(workspace, "run", TAP, "target-jsonl", select=["rooms.*"])
    assert loaded.code == 0, loaded.output

    select = ["events.*", "tags.*"]
    service.reset_log()
    stale = meltano(workspace, *INVOKE_TEST, select=select)
    assert "Testing 1 of 23 streams, as selected by --catalog " in stale.output
    assert asked(service) == {"rooms"}

    listed = meltano(workspace, "select", TAP, "--list", select=select)
    assert listed.code == 0, listed.output
    service.reset_log()
    fresh = meltano(workspace, *INVOKE_TEST, select=select)
    assert fresh.code == 0, fresh.output
    assert "Testing 2 of 23 streams, as selected by --catalog " in fresh.output
    assert asked(service) == {"events", "tags"}


def test_selection_that_matches_nothing_fails_the_run(service: Simulator, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, service=service)
    loaded = meltano(workspace, "run", TAP, "target-jsonl", select=["event.*"])
    assert loaded.code != 0
    assert "No stream is selected: --catalog " in loaded.output
    assert "selects none of 23." in loaded.output
    assert service.requests == []

    checked = meltano(workspace, *INVOKE_TEST, select=["event.*"])
    assert checked.code != 0
    assert "No stream is selected: --catalog " in checked.output
    assert service.requests == []
