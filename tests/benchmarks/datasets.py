"""The data that the simulated service returns in the benchmarks."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from tests.simulator import Dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_SIZE: Final = 999

_NEWEST: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
_DEFAULT_ROWS: Final = {"events": 20_000, "users": 40_000, "rsvp": 120_000}


@cache
def streams() -> tuple[str, ...]:
    """Return the names of all streams."""
    return Dataset(0, newest=_NEWEST).streams


def row_counts(large: Mapping[str, int], others: int, scale: float) -> dict[str, int]:
    """Return the number of rows by stream.

    Args:
        large: Rows of the large streams.
        others: Rows of each other stream.
        scale: Factor for all numbers.
    """
    counts = dict.fromkeys(streams(), others) | dict(large)
    return {stream: max(1, round(count * scale)) for stream, count in counts.items()}


def default_row_counts(scale: float) -> dict[str, int]:
    """Return the number of rows by stream: 200,000 rows in total at scale 1."""
    return row_counts(_DEFAULT_ROWS, 1_000, scale)


def generate(counts: Mapping[str, int]) -> Dataset:
    """Generate all rows in advance, so that generation is not measured."""
    dataset = Dataset(counts, newest=_NEWEST)
    dataset.freeze()
    dataset.preload()
    return dataset
