"""Signals while a process waits: for exports, for a response, for a retry, or for its target.

`test_busy_process` has more signals while the target does not read.
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
from tests.support.harness import MAX_RETRY_DELAY, canonical, catalog_of, settings_for
from tests.support.notify import CallAtRequest
from tests.support.tap_process import EXIT_CODES, TapProcess

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response

STREAMS = ("checkins", "rooms", "tags")
CATALOG = catalog_of(STREAMS)
DAY = timedelta(days=1)
PIPE_SIZE = 4096
"""So small that the tap is never far ahead of its reader."""

each_buffering = pytest.mark.parametrize(
    "unbuffered", [False, True], ids=["buffered", "unbuffered"]
)


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
    return settings_for(service, start_date=start.isoformat(), export_window_days=1, page_size=5)


class RunningExports:
    """Waits until the tap has polled a number of exports that keep running."""

    def __init__(self, simulator: Simulator, count: int) -> None:
        """Watch the polls of a service."""
        self._simulator = simulator
        self._count = count
        self._is_reached = threading.Event()
        simulator.inject(CallAtRequest(self._look).on(None, "poll", times=None))

    @property
    def query_ids(self) -> set[str]:
        """The query ids of the polled exports."""
        polls = (
            one.query.get("queryId") for one in self._simulator.requests if one.phase == "poll"
        )
        return {query_id for query_id in polls if query_id}

    def _look(self) -> None:
        # The current request is not recorded yet; the next poll of the same export finds it.
        if len(self.query_ids) >= self._count:
            self._is_reached.set()

    def wait(self) -> None:
        """Wait for them."""
        assert self._is_reached.wait(MAX_RETRY_DELAY)


# For the service


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_signal_while_exports_run_ends_the_run_and_logs_abandoned_exports(
    service: Simulator, backfill: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    class OtherExportsKeepRunning(FaultType):
        def respond(self, context: RequestContext) -> Response:
            response = context.execute()
            service.timing.running_seconds = 1e9  # of exports that are submitted later
            return response

    service.inject(OtherExportsKeepRunning().on("checkins", "submit"))
    running = RunningExports(service, 4)  # the default of max_concurrent_exports
    with TapProcess(tmp_path, backfill, catalog=CATALOG) as process:
        running.wait()
        target = FakeTarget(service)
        while not target.bookmark("checkins"):
            target.load_line(process.stdout.readline())
        process.send(number)
        rest, code = process.rest(), process.wait()
    assert code == EXIT_CODES[number]
    assert set(process.abandoned()) == running.query_ids
    assert not rest  # the state was already written
    # The first window is older than the lookback, so the bookmark is its end.
    assert target.bookmark("checkins") == canonical(
        datetime.fromisoformat(backfill["start_date"]) + DAY
    )
    assert process.log.count(messages.SUMMARY) == 1
    assert messages.stopped_by(number.name) in process.log.splitlines()[-1]
    assert "Traceback" not in process.log


@pytest.mark.parametrize(
    ("fault_type", "phase"),
    [
        (Hang(), "submit"),
        (Hang(), "first_page"),
        (Hang(), "later_page"),
        (Status(503, headers={"Retry-After": "600"}), "later_page"),
        (Status(429, headers={"Retry-After": "600"}), "submit"),
    ],
    ids=[
        "response to submit",
        "response to first page",
        "response to later page",
        "retry of page",
        "retry of submit",
    ],
)
def test_signal_while_waiting_for_response_or_retry_ends_the_run(
    service: Simulator,
    backfill: dict[str, Any],
    tmp_path: Path,
    fault_type: FaultType,
    phase: Phase,
) -> None:
    is_waiting = threading.Event()
    fault = CallAtRequest(is_waiting.set, fault_type).on("checkins", phase, after=3, times=None)
    service.inject(fault)
    config = backfill | {"max_concurrent_exports": 1, "page_size": 2}
    with TapProcess(tmp_path, config, catalog=CATALOG) as process:
        assert is_waiting.wait(MAX_RETRY_DELAY)
        process.send(signal.SIGTERM)
        rest, code = process.rest(), process.wait()
    assert code == 143
    FakeTarget(service).load(rest)
    assert process.log.count(messages.SUMMARY) == 1


def test_second_signal_has_no_effect(
    service: Simulator, backfill: dict[str, Any], tmp_path: Path
) -> None:
    """Ctrl-C under Meltano: the terminal and Meltano both send a signal."""
    service.timing.running_seconds = 1e9
    running = RunningExports(service, 1)
    with TapProcess(tmp_path, backfill, catalog=CATALOG) as process:
        running.wait()
        process.send(signal.SIGINT)
        process.send(signal.SIGTERM)
        rest, code = process.rest(), process.wait()
    assert code == 130
    FakeTarget(service).load(rest)
    assert "SIGTERM" not in process.log


# For its target


@each_buffering
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
