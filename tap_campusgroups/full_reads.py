"""Full reads (FULL_TABLE): their versions, and what keeps a run from removing rows in a target."""

from __future__ import annotations

import typing as t
from datetime import timedelta

from singer_sdk.mapper import RemoveRecordTransform

from tap_campusgroups.records.values import format_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from singer_sdk.mapper import StreamMap

    from tap_campusgroups.state import FullRead

MARGIN: t.Final = timedelta(days=1)
"""How far a range reaches past the start of the run: a row may be updated during the read."""


def next_version(last: FullRead | None, *, started: int) -> int:
    """Return the version of a read's records, later than that of the last one.

    `started` is the start of the run, in seconds since 1970.
    """
    return max(started, last["version"] + 1 if last else 0)


def writing_maps(stream_maps: Iterable[StreamMap]) -> list[StreamMap]:
    """Return the stream maps of a stream that write records: all that do not drop it."""
    return [one for one in stream_maps if not isinstance(one, RemoveRecordTransform)]


def aliases_of(stream_maps: Iterable[StreamMap]) -> list[str]:
    """Return the names under which a stream's records are written."""
    return [one.stream_alias for one in writing_maps(stream_maps)]


def removal_obstacle(*, has_end_date: bool, end: datetime, present: datetime | None) -> str | None:
    """Return why a run cannot tell which rows of a table no longer exist, if so.

    Args:
        has_end_date: Whether `end_date` is set.
        end: End of the range that was read.
        present: The latest time that any clock shows now, `None` without the service's. Rows that
            were updated between `end` and `present` were not read.
    """
    if has_end_date:
        return "end_date is set. Unset it."
    if present is None:
        return (
            "no response had a Date header, so this machine's clock may be behind. Find out which "
            "proxy removes the header."
        )
    if present >= end:
        return (
            f"the read went on past the end of its range ({format_timestamp(end)}). Correct the "
            "clock of this machine, or read fewer streams in one run."
        )
    return None
