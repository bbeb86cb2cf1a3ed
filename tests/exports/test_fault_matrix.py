"""Every fault in every phase, once and every time: all rows, or an error and the old bookmark.

`tests/support/fault_cases.py` has the faults and the expected results. Requests are real HTTP, time
is not real.
"""

from __future__ import annotations

import re
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Simulator
from tests.support.fault_cases import (
    DENIED_FOR_A_MOMENT,
    FAULT_CASES,
    RETRIED,
    RETRIED_AND_RESUBMITTED,
    SECONDS_TO_DATE,
    close_leaked_sockets,
)
from tests.support.harness import time_out_when_held
from tests.support.three_streams import (
    AFTER,
    BEFORE,
    FAULTY,
    NEW,
    ROWS,
    by_id,
    make_dataset,
    result,
    sync_three,
    sync_without_faults,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator import Phase
    from tests.support.fake_time import FakeTime
    from tests.support.fault_cases import Expected, FaultCase
    from tests.support.harness import Output

DATASET = make_dataset(timedelta(days=365))
RETRY_DELAYS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
POLL_INTERVALS = [1.0, 1.5]
RESUBMISSION_DELAYS = [5.0, 20.0]
ATTEMPTS_AFTER_DENIAL = 4


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """A service on fake time."""
    with Simulator(DATASET, clock=fake_time.monotonic) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def complete() -> Output:
    """The output of a run without faults."""
    return sync_without_faults(DATASET)


def parameters() -> Iterator[Any]:
    """Yield every case in every phase, once and every time."""
    for case in FAULT_CASES:
        ignored = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
        for phase, expected in case.expected.items():
            for is_once in (True, False):
                often, words = ("once", expected.once) if is_once else ("always", expected.always)
                yield pytest.param(
                    *(case, phase, expected),
                    is_once,
                    id=f"{case.name}, {phase}, {often} - {words}",
                    marks=[ignored] if case.leaks_socket else [],
                )


@pytest.mark.parametrize(("case", "phase", "expected", "is_once"), list(parameters()))
def test_stream_with_fault_is_complete_or_keeps_its_bookmark(  # noqa: PLR0913, PLR0917 - a case
    simulator: Simulator,
    fake_time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    complete: Output,
    case: FaultCase,
    phase: Phase,
    expected: Expected,
    is_once: bool,  # noqa: FBT001 - a parameter
) -> None:
    is_retried = expected in {RETRIED, RETRIED_AND_RESUBMITTED}
    settings: dict[str, Any] = {}
    if is_retried and (is_once or phase == "submit"):
        settings["max_concurrent_exports"] = 1  # the delays below are those of one export
    if case.hangs:
        time_out_when_held(simulator, monkeypatch)
    # With a fault, a poll that the service counts may not reach the tap: enough for 8 attempts.
    simulator.timing.queued_polls = {FAULTY: 12 if phase == "poll" and not is_once else 2}
    fault = simulator.inject(case.fault_type.on(FAULTY, phase, times=1 if is_once else None))
    began = perf_counter()
    output = sync_three(simulator, **settings)
    elapsed = perf_counter() - began
    if case.leaks_socket:
        close_leaked_sockets(output.error)

    words = expected.once if is_once else expected.always
    assert result(output, complete) == re.split("[ :]", words)[0]
    for stream in (BEFORE, AFTER):
        assert by_id(output.records[stream]) == by_id(complete.records[stream])
        assert len(output.records[stream]) == ROWS[stream]
        assert output.bookmarks[stream] == NEW
    if output.error is None:
        assert expected.may_repeat_rows or len(output.records[FAULTY]) == ROWS[FAULTY]
    else:
        assert isinstance(output.error, expected.error)
        check_error(output.error, case.reason)
    if is_once:
        assert fault.fired == 1
    elif expected.occurrences is None:
        assert fault.fired > 10
    else:
        assert fault.fired == expected.occurrences
    if is_retried or expected is DENIED_FOR_A_MOMENT:
        waits = expected_waits(case, expected, is_once=is_once, polls=unnecessary_polls(simulator))
        # A date has whole seconds and is read some time after it was written.
        tolerance = 1 + elapsed if case.retry_after == SECONDS_TO_DATE else 1e-6
        assert sorted(fake_time.slept) == pytest.approx(sorted(waits), abs=tolerance)


def expected_waits(
    case: FaultCase, expected: Expected, *, is_once: bool, polls: int
) -> list[float]:
    """Return the delays of all retries, polls and resubmissions, in seconds."""
    if is_once:
        retries = 1
    elif expected is DENIED_FOR_A_MOMENT:
        retries = ATTEMPTS_AFTER_DENIAL - 1
    else:
        retries = len(RETRY_DELAYS)
    requested = case.retry_after or 0.0
    delays = [max(delay, requested) for delay in RETRY_DELAYS[:retries]] + POLL_INTERVALS[:polls]
    if expected is RETRIED_AND_RESUBMITTED and not is_once:
        return delays * 3 + [max(delay, requested) for delay in RESUBMISSION_DELAYS]
    return delays


def check_error(error: Exception, reason: str) -> None:
    """Check that an error names the stream and the reason in one line."""
    assert str(error).startswith(f"Stream '{FAULTY}': ")
    assert "\n" not in str(error)
    assert re.search(reason, str(error))


def unnecessary_polls(simulator: Simulator) -> int:
    """Count the responses without a fault that told the tap to wait."""
    return sum(request.phase == "poll" and request.fault is None for request in simulator.requests)
