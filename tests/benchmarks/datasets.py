"""The data that the simulated service returns in the benchmarks."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import cycle
from typing import TYPE_CHECKING, Final

from tests.simulator import Dataset

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator import Row

PAGE_SIZE: Final = 999

_NEWEST: Final = datetime(2025, 6, 1, 12, tzinfo=UTC)
# More digits than a float has.
_AMOUNTS: Final = ("0.1234567890123456789", "12345678901234567890.123456789", "-0.10")
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


def generate_with_rows(counts: Mapping[str, int]) -> tuple[Dataset, dict[str, list[Row]]]:
    """Generate all rows in advance, and return them too. Payments have long decimals."""
    dataset = Dataset(counts, newest=_NEWEST)
    rows = {stream: dataset[stream] for stream in dataset.streams}
    for row, amount in zip(rows["payments"], cycle(_AMOUNTS), strict=False):
        row["amount"] = amount
    dataset.freeze()
    dataset.preload()
    return dataset, rows
