"""The state rule: where a run begins to read, and when a bookmark moves.

* A stream has one bookmark: the newest `updatedOn` that was emitted, in the form of
  `records.canonical_instant`.
* A run reads from `bookmark - lookback`, for rows reach the service's data lake late, and never
  from before `start_date`. The true value is stored, not the one with the lookback.
* A bookmark moves forward only, and only when the whole stream was read.
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


def moves_to(seen: str | None, bookmark: str | None) -> bool:
    """Say whether an emitted row moves the bookmark.

    Args:
        seen: The row's `updatedOn` in canonical form; `None` if it has no usable one.
        bookmark: The bookmark in canonical form; `None` on the first run.

    Returns:
        Whether `seen` is newer. Canonical forms order as strings.
    """
    return seen is not None and (bookmark is None or seen > bookmark)
