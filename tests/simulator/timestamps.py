"""Timestamp formats that the service reads and writes.

Timestamps are aware UTC `datetime`s, or milliseconds since 1970-01-01 UTC where speed matters.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH_ORDINAL = EPOCH.toordinal()
_CLOCK = tuple(f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in range(60))
_BOUND = re.compile(
    r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2}))?", re.ASCII
)


def to_milliseconds(timestamp: datetime) -> int:
    """Return whole milliseconds since 1970-01-01 UTC, rounded down."""
    return (timestamp - EPOCH) // timedelta(milliseconds=1)


@cache
def format_date(day: int) -> str:
    """Return `YYYY-MM-DD` for a number of days since 1970-01-01."""
    return date.fromordinal(_EPOCH_ORDINAL + day).isoformat()


def format_timestamp(milliseconds: int) -> str:
    """Return the regular format, `2026-01-31T12:34:56.789Z`."""
    day, rest = divmod(milliseconds, DAY)
    minute, rest = divmod(rest, MINUTE)
    return f"{format_date(day)}T{_CLOCK[minute]}:{rest // SECOND:02d}.{rest % SECOND:03d}Z"


UNUSUAL_FORMATS: tuple[Callable[[int], str], ...] = (
    lambda at: format_timestamp(at)[:-5] + "Z",
    lambda at: format_timestamp(at)[:-1] + "+00:00",
    lambda at: format_timestamp(at - 5 * HOUR)[:-1] + "-05:00",
    lambda at: format_timestamp(at + 5 * HOUR + 30 * MINUTE)[:-1] + "+05:30",
    lambda at: format_timestamp(at).replace("T", " "),
)
"""Valid formats that sort wrongly when they are compared as strings."""


def parse_bound(text: str) -> datetime | None:
    """Parse `updatedStart` or `updatedEnd`; return None if the service would reject it.

    Accepts a date (midnight UTC) and a date-time with `Z` or an offset and an optional fraction
    (specification 1.1, parameters UpdatedStart and UpdatedEnd).
    """
    if _BOUND.fullmatch(text) is None:
        return None
    return parse_timestamp(text)


def parse_timestamp(value: object) -> datetime | None:
    """Parse a row's `updatedOn` as UTC; return None if it is not a usable timestamp."""
    if not isinstance(value, str):
        return None
    try:
        timestamp = datetime.fromisoformat(value)
        is_naive = timestamp.tzinfo is None
        return timestamp.replace(tzinfo=UTC) if is_naive else timestamp.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
