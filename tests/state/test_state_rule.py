"""The state rule: the start of a range, the next bookmark, and when a target may remove rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.records.values import format_timestamp
from tap_campusgroups.state import next_bookmark, range_start, removal_problem

if TYPE_CHECKING:
    from tap_campusgroups.state import FullRead

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

TIMESTAMPS = st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 5), timezones=st.just(UTC))  # noqa: DTZ001 - `timezones` adds it
CANONICAL = TIMESTAMPS.map(format_timestamp)


@pytest.mark.parametrize(
    ("bookmark", "start", "expected"),
    [
        (None, 0, 0),
        (9 * 24, 0, 7 * 24),
        (49, 0, 1),
        (48, 0, 0),
        (24, 0, 0),  # not before start_date
        (0, 31 * 24, 31 * 24),  # a later start_date
    ],
)
def test_range_starts_at_the_lookback_but_not_before_start_date(
    bookmark: int | None, start: int, expected: int
) -> None:
    found = range_start(
        None if bookmark is None else START + bookmark * HOUR,
        start_date=START + start * HOUR,
        lookback=48 * HOUR,
    )
    assert found == START + expected * HOUR


def test_range_of_bookmark_in_year_1_starts_at_start_date() -> None:
    first = datetime.min.replace(tzinfo=UTC)
    assert range_start(first, start_date=START, lookback=HOUR) == START
    assert range_start(first, start_date=first, lookback=HOUR) == first


@pytest.mark.parametrize(
    ("bookmark", "newest", "end", "expected"),
    [
        (None, "2024-01-09", "2024-01-10", "2024-01-09"),
        ("2024-01-08", "2024-01-09", "2024-01-10", "2024-01-09"),
        ("2024-01-10", "2024-01-09", "2024-01-10", "2024-01-10"),  # not back
        ("2024-01-08", "2999-12-31", "2024-01-10", "2024-01-10"),  # not past the window
        (None, None, "2024-01-10", "2024-01-07"),  # no rows: not past the watermark
        (None, None, "2024-01-03", "2024-01-03"),  # no rows in an old window: its end
        (None, "2024-01-01", "2024-01-03", "2024-01-03"),
        ("2024-01-08", None, "2024-01-10", "2024-01-08"),
    ],
)
def test_next_bookmark(bookmark: str | None, newest: str | None, end: str, expected: str) -> None:
    assert next_bookmark(bookmark, newest=newest, end=end, watermark="2024-01-07") == expected


@given(
    bookmark=st.none() | CANONICAL, newest=st.none() | CANONICAL, end=CANONICAL, watermark=CANONICAL
)
def test_bookmark_after_any_window_passes_neither_what_was_emitted_nor_what_may_arrive_late(
    bookmark: str | None, newest: str | None, end: str, watermark: str
) -> None:
    after = next_bookmark(bookmark, newest=newest, end=end, watermark=watermark)
    assert after >= (bookmark or "")
    assert after >= min(newest or "", end)
    assert after <= max(bookmark or "", end)
    assert after <= max(bookmark or "", newest or "", watermark)
    if newest is None:  # a quiet stream does not read its whole past every night
        assert after == max(bookmark or "", min(end, watermark))


ALL, OLD, NEW = (f"{year}-01-01T00:00:00.000000Z" for year in (1900, 1999, 2001))
ACCEPT = ' If that is right, remove "full_read" of the stream from the state.'
NO_ROWS = "the read returned no rows. If that is right, empty the table yourself."
LATER = f"start_date is later than in the last full read.{ACCEPT}"
HALF = f"the read returned 4 rows, less than half of the last full read (9).{ACCEPT}"
FIRST = (
    "start_date is set, and the state has no earlier full read. The next full read will also "
    "remove rows from before start_date; unset start_date to keep them."
)


@pytest.mark.parametrize(
    ("rows", "start", "last", "problem"),
    [
        (5, ALL, (10, ALL), None),  # exactly half
        (4, ALL, (9, ALL), HALF),
        (5, ALL, (5, OLD), None),  # a longer range
        (5, OLD, (5, OLD), None),
        (5, NEW, (5, OLD), LATER),
        (5, OLD, (5, ALL), LATER),
        (5, OLD, (5, None), None),  # an older state: without start_date, reads began in 2000
        (5, NEW, (5, None), LATER),
        (1, ALL, None, None),
        (1, OLD, None, FIRST),
        (0, ALL, None, NO_ROWS),
        (0, ALL, (0, ALL), NO_ROWS),
    ],
)
def test_target_may_remove_rows_only_after_a_plausible_read(
    rows: int, start: str, last: tuple[int, str | None] | None, problem: str | None
) -> None:
    before: FullRead | None = last and {"rows": last[0], "start": last[1], "version": 1}
    assert removal_problem({"rows": rows, "start": start, "version": 2}, before) == problem
