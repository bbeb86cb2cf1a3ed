"""The progress line of a run, once a minute."""

from __future__ import annotations

import logging
import re
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Hang, Simulator, Status
from tests.support.exports import (
    LOGGER,
    NAMES,
    SECONDS,
    SimulatorClock,
    assert_complete,
    background,
    frozen_simulator,
)
from tests.support.harness import settings_for, sync, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("no_threads_left")

FIRST, SECOND = NAMES[:2]
INTERVAL = "tap_campusgroups.exports.scheduler.PROGRESS_INTERVAL"


class ExpectedRecords(logging.Handler):
    """Waits for log records with a property.

    Attributes:
        records: The records.
        complete: Set when there are enough.
    """

    def __init__(self, count: int, is_expected: Callable[[logging.LogRecord], bool]) -> None:
        """Wait for a number of records."""
        super().__init__()
        self._count = count
        self._is_expected = is_expected
        self.records: list[logging.LogRecord] = []
        self.complete = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record if it is expected."""
        if not self.complete.is_set() and self._is_expected(record):
            self.records.append(record)
            if len(self.records) == self._count:
                self.complete.set()


def figures(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields that structured logs show of a progress line."""
    names = {"stream", "rows", "seconds", "prefetched_bytes"}
    return {
        name: value
        for name, value in vars(record).items()
        if name in names or name.startswith("jobs_")
    }


@contextmanager
def logged(handler: logging.Handler) -> Iterator[None]:
    """Add a handler to the tap's logger."""
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)


@pytest.mark.usefixtures("impatient")
def test_progress_of_a_waiting_run_is_logged_at_each_interval(
    clock: SimulatorClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INTERVAL, 0.01)
    expected = ExpectedRecords(2, lambda record: getattr(record, "jobs_active", 0) == 2)
    with frozen_simulator(clock) as simulator:
        simulator.inject(Hang().on(FIRST, "poll"))

        def release() -> None:
            clock.finish_exports()
            simulator.release()

        config = settings_for(simulator, max_concurrent_exports=2)
        with logged(expected), background(lambda: sync(config), release=release) as running:
            assert expected.complete.wait(SECONDS)
            wait_until(lambda: simulator.hanging == 1)
            release()
            assert_complete(running.result(SECONDS))
    times = [record.__dict__["seconds"] for record in expected.records]
    assert 0 <= times[0] <= times[1] < SECONDS
    for record in expected.records:
        assert figures(record) | {"seconds": 0} == {
            "stream": FIRST,
            "rows": 0,
            "seconds": 0,
            "jobs_pending": len(NAMES) - 2,
            "jobs_active": 2,
            "jobs_done": 0,
            "prefetched_bytes": 0,
        }
        assert record.levelno == logging.INFO
        assert re.fullmatch(
            rf"Sync progress: stream={FIRST} rows=0 seconds=\d+ jobs_pending=21 jobs_active=2 "
            "jobs_done=0 prefetched_bytes=0",
            record.getMessage(),
        )


@pytest.mark.usefixtures("impatient")
def test_progress_counts_rows_of_all_streams_and_prefetched_bytes(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second stream stops after its first page; by then the third is prefetched."""
    monkeypatch.setattr(INTERVAL, 0.01)
    expected = ExpectedRecords(
        1,
        lambda record: getattr(record, "rows", 0) == 7 and record.__dict__["jobs_done"] == 2,
    )
    simulator.inject(Hang().on(SECOND, "later_page"))
    config = settings_for(simulator, page_size=2)
    streams = NAMES[:3]
    with (
        logged(expected),
        background(lambda: sync(config, *streams), release=simulator.release) as running,
    ):
        assert expected.complete.wait(SECONDS)
        wait_until(lambda: simulator.hanging == 1)
        simulator.release()
        assert_complete(running.result(SECONDS), streams)
    found = figures(expected.records[0])
    assert (found["stream"], found["jobs_pending"], found["jobs_active"]) == (SECOND, 0, 0)
    assert found["prefetched_bytes"] > 0


@pytest.mark.usefixtures("impatient")
def test_progress_after_a_failure_counts_dropped_jobs_as_done(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(INTERVAL, 0.01)
    expected = ExpectedRecords(
        1,
        lambda record: (
            getattr(record, "stream", "") == SECOND and record.__dict__.get("jobs_active") == 1
        ),
    )
    simulator.inject(Status(400).on(FIRST, "submit"))
    simulator.inject(Hang().on(SECOND, "first_page"))
    config = settings_for(
        simulator,
        start_date="2025-01-01",
        end_date="2025-07-01",
        export_window_days=100,
        max_concurrent_exports=1,
    )
    with (
        logged(expected),
        background(lambda: sync(config, FIRST, SECOND), release=simulator.release) as running,
    ):
        assert expected.complete.wait(SECONDS)
        wait_until(lambda: simulator.hanging == 1)
        simulator.release()
        assert str(running.result(SECONDS).error).startswith(f"Stream '{FIRST}': ")
    found = figures(expected.records[0])
    assert (found["jobs_pending"], found["jobs_active"], found["jobs_done"]) == (1, 1, 2)


def test_run_shorter_than_the_interval_logs_no_progress(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    assert_complete(sync(settings_for(simulator), *NAMES[:2]), NAMES[:2])
    assert "Sync progress" not in caplog.text
