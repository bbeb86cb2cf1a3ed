"""The state rule: where a run starts to read, and when a bookmark moves.

* A stream has one bookmark in canonical form (see `values.canonical_timestamp`). All rows up to it
  have been emitted, except rows that reach the service's data lake late.
* A run reads from the bookmark less the lookback, to catch late rows, but not from before
  `start_date`. The stored bookmark does not include the lookback.
* After each complete window the bookmark moves to the newest `updatedOn` of its records; without
  any, to the end of the window, but not past the watermark. It never moves back.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from datetime import datetime, timedelta


def range_start(
    bookmark: datetime | None, *, start_date: datetime, lookback: timedelta
) -> datetime:
    """Return the inclusive start of a run's range; all timestamps are aware."""
    # The difference is compared because `bookmark - lookback` may lie before the year 1.
    if bookmark is None or bookmark - start_date <= lookback:
        return start_date
    return bookmark - lookback


def next_bookmark(bookmark: str | None, *, newest: str | None, end: str, watermark: str) -> str:
    """Return the bookmark after a complete window; canonical forms compare as strings.

    Args:
        bookmark: The bookmark before the window.
        newest: The newest `updatedOn` of the window's records.
        end: The end of the window.
        watermark: The start of the run less the lookback: older rows have arrived by now.
    """
    return max(bookmark or "", min(newest or "", end), min(end, watermark))
