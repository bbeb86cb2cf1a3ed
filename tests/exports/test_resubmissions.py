"""Exports that fail or take too long: what is submitted again, in which windows, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportFailedError, ExportTimeoutError
from tests.simulator import (
    ConnectionReset,
    FailQuery,
    MessageOnly,
    RandomBytes,
    Simulator,
    Status,
    TruncatedBody,
)
from tests.support.three_streams import (
    FAULTY,
    ROWS,
    make_dataset,
    result,
    submissions,
    sync_three,
    sync_without_faults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.request_context import RequestContext
    from tests.support.fake_time import FakeTime
    from tests.support.harness import Output

DATASET = make_dataset(timedelta(days=365))
START, FIRST, MIDDLE, THIRD, END = (
    "2024-05-30T00:00:00Z",  # 48 hours before the bookmark
    "2024-08-29T21:15:00Z",
    "2024-11-29T18:30:00Z",
    "2025-03-01T15:45:00Z",
    "2025-06-01T13:00:00Z",
)
IN_QUARTERS = [
    *((START, END), (START, MIDDLE), (START, FIRST), (FIRST, MIDDLE)),
    *((MIDDLE, END), (MIDDLE, THIRD), (THIRD, END)),
]
LAST_DAY = datetime(2025, 5, 31, tzinfo=UTC)


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """A service on fake time."""
    with Simulator(DATASET, clock=fake_time.monotonic) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def complete() -> Output:
    """The output of a run without faults."""
    return sync_without_faults(DATASET)


def windows(simulator: Simulator) -> list[tuple[str, str]]:
    """Return the submitted windows of the stream with the fault."""
    return [
        (request.query["updatedStart"], request.query["updatedEnd"])
        for request in submissions(simulator)
    ]


@dataclass(frozen=True)
class FailWindows(FailQuery):
    """Fails the queries of windows that are too long, or that include a timestamp."""

    longest: timedelta
    never: datetime | None = None

    def applies(self, context: RequestContext) -> bool:
        """Apply to submissions of such a window."""
        if context.window is None:
            return False
        start, end = context.window
        return end - start > self.longest or (self.never is not None and start <= self.never <= end)


# Limits


def test_slow_export_with_passing_faults_is_submitted_once(
    simulator: Simulator, fake_time: FakeTime, complete: Output
) -> None:
    simulator.timing.queued_seconds = {FAULTY: 700}
    simulator.timing.running_seconds = {FAULTY: 700}
    # Two of each type, with two regular responses in between: a request has 8 attempts.
    types = [
        ConnectionReset(),
        TruncatedBody(),
        Status(503),
        RandomBytes(),
        Status(429),
        Status(201),
    ]
    faults = [
        simulator.inject(one.on(FAULTY, "poll", times=2, after=4 * place))
        for place, one in enumerate(types)
    ]
    faults.append(simulator.inject(MessageOnly().on(FAULTY)))
    output = sync_three(simulator)
    assert result(output, complete) == "complete"
    assert all(fault.fired for fault in faults)
    assert sum(fake_time.slept) > 1300
    assert len(submissions(simulator)) == 1
    assert len(output.records[FAULTY]) == ROWS[FAULTY]


def test_export_still_queued_at_the_timeout_is_not_submitted_again(
    simulator: Simulator, complete: Output
) -> None:
    simulator.timing.queued_seconds = {FAULTY: 1801}
    output = sync_three(simulator)
    assert result(output, complete) == "failed"
    assert isinstance(output.error, ExportTimeoutError)
    assert len(submissions(simulator)) == 1


# Halves


def test_window_that_is_too_long_is_complete_in_quarters(
    simulator: Simulator, complete: Output
) -> None:
    simulator.inject(FailWindows(timedelta(days=92)).on(FAULTY, times=None))
    assert result(sync_three(simulator), complete) == "complete"
    assert windows(simulator) == IN_QUARTERS


def test_window_that_always_fails_ends_with_an_error_after_seven_exports(
    simulator: Simulator, complete: Output
) -> None:
    simulator.inject(FailWindows(timedelta(days=92), LAST_DAY).on(FAULTY, times=None))
    output = sync_three(simulator)
    assert result(output, complete) == "failed"
    assert windows(simulator) == IN_QUARTERS
    assert str(output.error) == (
        f"Stream '{FAULTY}': the export of {THIRD}/{END} failed: the query failed (HTTP 500, "
        '"Query execution failed"). Run again later, or set export_window_days for shorter windows.'
    )


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (60, [(0, 60), (0, 60), (0, 60)]),
        (61, [(0, 61), (0, 30.5), (0, 30.5)]),
        (90, [(0, 90), (0, 45), (0, 45)]),
        (150, [(0, 150), (0, 75), (0, 37.5)]),
    ],
)
def test_window_of_an_hour_or_less_is_resubmitted_as_a_whole(
    simulator: Simulator, minutes: int, expected: list[tuple[float, float]]
) -> None:
    simulator.inject(FailQuery().on(FAULTY, times=None))
    start = datetime(2025, 6, 1, tzinfo=UTC)
    bounds = {"start_date": start, "end_date": start + timedelta(minutes=minutes)}
    settings = {name: bound.isoformat() for name, bound in bounds.items()}
    assert isinstance(sync_three(simulator, {}, **settings).error, ExportFailedError)
    submitted = [tuple(map(datetime.fromisoformat, window)) for window in windows(simulator)]
    assert submitted == [
        (start + timedelta(minutes=first), start + timedelta(minutes=last))
        for first, last in expected
    ]
