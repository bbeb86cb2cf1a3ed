"""The probe sees every difference of a service, agrees with one that has none, and shows no value.

It runs over HTTP against the simulator, with a clock that every wait moves on.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.config import Settings
from tap_campusgroups.probe.assumptions import ASSUMPTIONS
from tap_campusgroups.probe.client import MAX_EXPORTS, ProbeClient
from tap_campusgroups.probe.questions import Plan
from tap_campusgroups.probe.run import probe
from tests.simulator import Dataset, Simulator
from tests.simulator.differences import DIFFERENCES
from tests.support.fake_time import FakeTime
from tests.support.harness import settings_for

if TYPE_CHECKING:
    from collections.abc import Callable

STREAMS = ("events", "checkins")
LOGGER = logging.getLogger("tap-campusgroups")


def service(time: FakeTime, **more: Any) -> Simulator:
    """Return a service whose rows are of the last 25 days."""
    now = datetime.now(UTC)
    dataset = Dataset(
        dict.fromkeys(STREAMS, 24), newest=now - timedelta(hours=20), span=timedelta(days=25)
    )
    return Simulator(dataset, clock=time.monotonic, **more)


def probed(
    simulator: Simulator, time: FakeTime, *, sleep: Callable[[float], None] | None = None
) -> tuple[dict[str, Any], int]:
    """Probe a service; return the result and the exit code."""
    now = datetime.now(UTC)
    settings = Settings.from_config(settings_for(simulator), now)
    client = ProbeClient(settings, clock=time.monotonic, sleep=sleep or time.sleep)
    plan = Plan(STREAMS, 300.0, tries_wrong_secret=True, now=now.replace(microsecond=0))
    return probe(client, plan, LOGGER)


def results(contents: dict[str, Any]) -> dict[str, str]:
    """Return the results by the names of the assumptions."""
    return {one["name"]: one["result"] for one in contents["assumptions"]}


def test_probe_of_the_plain_simulator_agrees_throughout() -> None:
    time = FakeTime()
    with service(time, queued_polls=1, running_polls=1) as simulator:
        contents, code = probed(simulator, time)
    assert code == 0
    assert contents["ended"] == "complete"
    seen = {one["name"]: one["seen"] for one in contents["assumptions"]}
    assert {name: seen[name] for name, one in results(contents).items() if one != "agrees"} == {}
    assert contents["requests"] == len(simulator.requests) < 100
    assert simulator.peak_active <= MAX_EXPORTS


@pytest.mark.parametrize("name", [one.name for one in ASSUMPTIONS])
def test_probe_sees_a_difference(name: str) -> None:
    time = FakeTime()
    with service(time) as simulator:
        DIFFERENCES[name](simulator)
        contents, code = probed(simulator, time)
    assert code == 0
    assert results(contents)[name] == "differs", contents["assumptions"]
    assert json.dumps(contents)
