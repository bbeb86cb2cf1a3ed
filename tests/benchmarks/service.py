"""What the simulated service holds."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from tests.simulator import Dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE: Final = 999

_NEWEST: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
_USUAL: Final = {"events": 20_000, "users": 40_000, "rsvp": 120_000}


@cache
def streams() -> tuple[str, ...]:
    """Name the streams."""
    return Dataset(0, newest=_NEWEST).streams


def rows(big: Mapping[str, int], others: int, scale: float) -> dict[str, int]:
    """Say how many rows each stream has.

    Args:
        big: Rows of the big streams.
        others: Rows of each other stream.
        scale: Factor on all of them.
    """
    counts = dict.fromkeys(streams(), others) | dict(big)
    return {stream: max(1, round(count * scale)) for stream, count in counts.items()}


def usual_rows(scale: float) -> dict[str, int]:
    """Say how many rows each stream has where nothing else is said: 200,000 in all."""
    return rows(_USUAL, 1_000, scale)


def dataset(counts: Mapping[str, int]) -> Dataset:
    """Make rows, all of them before anything is measured."""
    made = Dataset(counts, newest=_NEWEST)
    made.freeze()
    made.preload()
    return made
