"""The state rule: where a run begins to read, and when a bookmark moves.

* A stream has one bookmark, in the form of `values.canonical_timestamp`: everything up to it was
  emitted, but for rows that reach the service's data lake late.
* A run reads from `bookmark - lookback`, for late rows, and never from before `start_date`. The
  true value is stored, not the one with the lookback.
* After each window that was emitted as a whole, the bookmark moves to the newest `updatedOn` in it;
  without any, to the window's end, but not past what the lake may still deliver late. It never
  moves back.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from datetime import datetime, timedelta


def range_start(
    bookmark: datetime | None, *, start_date: datetime, lookback: timedelta
) -> datetime:
    """Say from which instant of `updatedOn` a run has to read.

    Args:
        bookmark: The stream's bookmark, aware; `None` on the first run.
        start_date: The setting, aware.
        lookback: How much later than its `updatedOn` a row may reach the data lake.

    Returns:
        An aware instant, inclusive.
    """
    # Not the later of both: before the year 1 there is no instant.
    if bookmark is None or bookmark - start_date <= lookback:
        return start_date
    return bookmark - lookback


def next_bookmark(bookmark: str | None, *, newest: str | None, end: str, watermark: str) -> str:
    """Say where the bookmark stands after a window that was emitted as a whole.

    Args:
        bookmark: The bookmark so far, in canonical form; `None` on the first run.
        newest: The newest `updatedOn` in the window, likewise; `None` without a usable one.
        end: The window's last instant, likewise.
        watermark: The run's start less the lookback, likewise: later than that, the lake may still
            deliver anything.

    Returns:
        The bookmark; canonical forms can be compared as strings.
    """
    return max(bookmark or "", min(newest or "", end), min(end, watermark))
