"""The state rule: where a run starts to read, when a bookmark moves, when a target may remove rows.

* A stream has one bookmark in canonical form (see `values.canonical_timestamp`). All rows up to it
  have been emitted, except rows that reach the service's data lake late.
* A run reads from the bookmark less the lookback, to catch late rows, but not from before
  `start_date`. The stored bookmark does not include the lookback.
* After each complete window the bookmark moves to the newest `updatedOn` of its records; without
  any, to the end of the window, but not past the watermark. It never moves back.
* A full read (FULL_TABLE) has no bookmark. The state remembers the last complete one, and only a
  read that is plausible compared with it may remove rows from the target.
"""

from __future__ import annotations

import typing as t

from tap_campusgroups.config import EARLIEST
from tap_campusgroups.records.values import format_timestamp

if t.TYPE_CHECKING:
    from datetime import datetime, timedelta

FULL_READ_KEY: t.Final = "full_read"
"""The key of `FullRead` in a stream's state."""


class FullRead(t.TypedDict):
    """A complete full read.

    Attributes:
        rows: RECORD messages, without those that a failed export repeated; of several stream map
            aliases, those of the smallest one.
        start: Start of its range in canonical form; `None` in an older state means 2000.
        version: Version of its records.
    """

    rows: int
    start: str | None
    version: int


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

    `newest` is the newest `updatedOn` of the window's records. The watermark is the start of the
    run less the lookback: older rows have arrived by now.
    """
    return max(bookmark or "", min(newest or "", end), min(end, watermark))


def removal_problem(read: FullRead, last: FullRead | None) -> str | None:
    """Return why a target must not remove the rows that a complete full read lacks, if so.

    `last` is the last complete full read of the same state; without one, the target may hold rows
    of any age.
    """
    problem = None
    accept = 'If that is right, remove "full_read" of the stream from the state.'
    if not read["rows"]:
        problem = "the read returned no rows. If that is right, empty the table yourself."
    elif last is None:
        if _start(read) > format_timestamp(EARLIEST):
            problem = (
                "start_date is set, and the state has no earlier full read. The next full read "
                "will also remove rows from before start_date; unset start_date to keep them."
            )
    elif _start(read) > _start(last):
        problem = f"start_date is later than in the last full read. {accept}"
    elif read["rows"] * 2 < last["rows"]:
        problem = (
            f"the read returned {read['rows']} rows, less than half of the last full read "
            f"({last['rows']}). {accept}"
        )
    return problem


def _start(read: FullRead) -> str:
    return read["start"] or "2000-01-01T00:00:00.000000Z"
