"""The state rule: where a run begins to read, and when a bookmark moves.

* A stream has one bookmark: the newest `updatedOn` that was emitted, in the form of
  `records.canonical_instant`.
* A run reads from `bookmark - lookback`, for rows reach the service's data lake late, and never
  from before `start_date`. The true value is stored, not the one with the lookback.
* A bookmark moves forward only, never past the run's upper bound, and only when the whole export
  was emitted.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from datetime import datetime, timedelta


def read_from(bookmark: datetime | None, *, start_date: datetime, lookback: timedelta) -> datetime:
    """Say from which instant of `updatedOn` a run has to read.

    Args:
        bookmark: The stream's bookmark, aware; `None` on the first run.
        start_date: The setting, aware.
        lookback: How much later than its `updatedOn` a row may reach the data lake.

    Returns:
        An aware instant, inclusive.
    """
    return start_date if bookmark is None else max(start_date, bookmark - lookback)


def after_export(bookmark: str | None, *, newest: str | None, bound: str) -> str | None:
    """Say where the bookmark stands after an export that was emitted as a whole.

    Args:
        bookmark: The bookmark so far, in canonical form; `None` on the first run.
        newest: The newest `updatedOn` that was emitted, likewise; `None` without a usable one.
        bound: The run's upper bound, likewise.

    Returns:
        The bookmark, which canonical forms let be compared as strings.
    """
    if newest is None:
        return bookmark
    return max(bookmark or "", min(newest, bound))
