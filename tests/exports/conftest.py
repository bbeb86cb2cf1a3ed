"""Fixtures of the tests of exports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.exports import SimulatorClock, supervised

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEDULER = "tap_campusgroups.exports.scheduler"


@pytest.fixture
def no_threads_left() -> Iterator[None]:
    """Check that a test leaves no thread of the tap behind."""
    with supervised():
        yield


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> int:
    """Limit the buffer to ten pages of 100 bytes; return its size."""
    monkeypatch.setattr(f"{SCHEDULER}.MAX_BUFFERED_BYTES", 1000)
    monkeypatch.setattr(f"{SCHEDULER}.PAGE_ESTIMATE", 100)
    return 1000


@pytest.fixture
def clock() -> SimulatorClock:
    """A clock for `frozen_simulator`."""
    return SimulatorClock()
