"""Signals while a process waits for a response or a retry; pauses while it waits for its target.

`test_busy_process` has signals while it waits for exports, and while the target does not read.
"""

from __future__ import annotations

import signal
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Dataset, FaultType, Hang, Phase, Simulator, Status
from tests.support import messages
from tests.support.fake_target import FakeTarget
from tests.support.harness import WAIT_LIMIT, canonical, catalog_of, settings_for
from tests.support.notify import CallAtRequest
from tests.support.tap_process import TapProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STREAMS = ("checkins", "rooms", "tags")
CATALOG = catalog_of(STREAMS)
DAY = timedelta(days=1)
PIPE_SIZE = 4096
"""So small that the tap is never far ahead of its reader."""


@pytest.fixture
def service() -> Iterator[Simulator]:
    """A service with rows of three streams in a week."""
    newest = datetime.now(UTC) - timedelta(hours=1)
    with Simulator(Dataset(dict.fromkeys(STREAMS, 40), newest=newest, span=7 * DAY)) as simulator:
        yield simulator


@pytest.fixture
def backfill(service: Simulator) -> dict[str, Any]:
    """Settings of a backfill of that week."""
    start = (service.dataset.newest - 8 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    return settings_for(service, start_date=start.isoformat(), export_window_days=1, page_size=2)


@pytest.mark.parametrize(
    ("fault_type", "phase"),
    [
        (Hang(), "submit"),
        (Hang(), "later_page"),
        (Status(503, headers={"Retry-After": "600"}), "later_page"),
    ],
    ids=["response to submit", "response to later page", "retry of page"],
)
def test_signal_while_waiting_for_response_or_retry_ends_after_the_last_window(
    service: Simulator,
    backfill: dict[str, Any],
    tmp_path: Path,
    fault_type: FaultType,
    phase: Phase,
) -> None:
    is_waiting = threading.Event()
    fault = CallAtRequest(is_waiting.set, fault_type).on("checkins", phase, after=3, times=None)
    service.inject(fault)
    with TapProcess(tmp_path, backfill | {"max_concurrent_exports": 1}, catalog=CATALOG) as process:
        assert is_waiting.wait(WAIT_LIMIT)
        process.send(signal.SIGTERM)
        rest, code = process.rest(), process.wait()
    assert code == 143
    target = FakeTarget(service)
    target.load(rest)
    # The first window is older than the lookback, so the bookmark is at least its end.
    first_end = canonical(datetime.fromisoformat(backfill["start_date"]) + DAY)
    assert (target.bookmark("checkins") or "") >= first_end
    assert process.log.count(messages.SUMMARY) == 1
    assert messages.stopped_by("SIGTERM") in process.error()


@pytest.mark.parametrize("unbuffered", [False, True], ids=["buffered", "unbuffered"])
def test_pause_in_a_page_does_not_cut_a_line(
    service: Simulator, backfill: dict[str, Any], tmp_path: Path, *, unbuffered: bool
) -> None:
    """SIGSTOP and SIGCONT: Ctrl-Z and `fg`, or a container that is paused."""
    config = backfill | {"page_size": 40, "export_window_days": 30}
    with TapProcess(
        tmp_path, config, catalog=CATALOG, pipe_size=PIPE_SIZE, unbuffered=unbuffered
    ) as process:
        process.wait_until_blocked()
        process.pause_and_resume()
        rest, code = process.rest(), process.wait()
    target = FakeTarget(service)
    target.load(rest)
    assert code == 0
    assert target.missing(service.dataset.newest) == set()
