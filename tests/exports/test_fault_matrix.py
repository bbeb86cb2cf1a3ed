"""Every fault in every phase, once and every time: all rows, or an error and the old bookmark.

`tests/support/fault_cases.py` has the faults and the expected results. Requests are real HTTP, time
is not real.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.simulator import Simulator
from tests.support.fault_cases import FAULT_CASES, close_leaked_sockets
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
def test_stream_with_fault_is_complete_or_keeps_its_bookmark(
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    complete: Output,
    case: FaultCase,
    phase: Phase,
    expected: Expected,
    is_once: bool,  # noqa: FBT001 - a parameter
) -> None:
    if case.hangs:
        time_out_when_held(simulator, monkeypatch)
    # With a fault, a poll that the service counts may not reach the tap: enough for 8 attempts.
    simulator.timing.queued_polls = {FAULTY: 12 if phase == "poll" and not is_once else 2}
    fault = simulator.inject(case.fault_type.on(FAULTY, phase, times=1 if is_once else None))
    # Beside another export, a submission has more attempts after HTTP 429.
    output = sync_three(simulator, max_concurrent_exports=1 if phase == "submit" else 4)
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
        assert str(output.error).startswith(f"Stream '{FAULTY}': ")
        assert "\n" not in str(output.error)
        assert re.search(case.reason, str(output.error))
    if is_once:
        assert fault.fired == 1
    elif expected.occurrences is None:
        assert fault.fired > 10
    else:
        assert fault.fired == expected.occurrences
