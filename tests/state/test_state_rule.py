"""The state rule, for any bookmark and any window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.records.values import format_timestamp
from tap_campusgroups.state import next_bookmark, range_start

START = datetime(2024, 1, 1, tzinfo=UTC)

TIMESTAMPS = st.datetimes(datetime(2024, 1, 1), datetime(2024, 1, 5), timezones=st.just(UTC))  # noqa: DTZ001 - `timezones` adds it
CANONICAL = TIMESTAMPS.map(format_timestamp)
LOOKBACKS = st.timedeltas(timedelta(), timedelta(days=2))


@given(start_date=TIMESTAMPS, lookback=LOOKBACKS)
def test_run_without_bookmark_reads_from_start_date(
    start_date: datetime, lookback: timedelta
) -> None:
    assert range_start(None, start_date=start_date, lookback=lookback) == start_date


@given(bookmark=TIMESTAMPS, start_date=TIMESTAMPS, lookback=LOOKBACKS)
def test_run_with_bookmark_reads_the_lookback_but_nothing_before_start_date(
    bookmark: datetime, start_date: datetime, lookback: timedelta
) -> None:
    start = range_start(bookmark, start_date=start_date, lookback=lookback)
    assert start >= start_date
    assert start == bookmark - lookback or (start == start_date > bookmark - lookback)


@given(
    bookmark=st.none() | CANONICAL, newest=st.none() | CANONICAL, end=CANONICAL, watermark=CANONICAL
)
def test_bookmark_after_any_window_never_moves_back(
    bookmark: str | None, newest: str | None, end: str, watermark: str
) -> None:
    assert next_bookmark(bookmark, newest=newest, end=end, watermark=watermark) >= (bookmark or "")


@given(bookmark=st.none() | CANONICAL, newest=CANONICAL, end=CANONICAL, watermark=CANONICAL)
def test_bookmark_after_window_with_rows_reaches_the_newest_row_within_the_window(
    bookmark: str | None, newest: str, end: str, watermark: str
) -> None:
    after = next_bookmark(bookmark, newest=newest, end=end, watermark=watermark)
    assert after >= min(newest, end)
    assert after in {bookmark, newest, end, watermark}


@given(
    bookmark=st.none() | CANONICAL, newest=st.none() | CANONICAL, end=CANONICAL, watermark=CANONICAL
)
def test_bookmark_after_any_window_does_not_pass_its_end(
    bookmark: str | None, newest: str | None, end: str, watermark: str
) -> None:
    after = next_bookmark(bookmark, newest=newest, end=end, watermark=watermark)
    assert after <= max(bookmark or "", end)


@given(bookmark=st.none() | CANONICAL, newest=st.none() | CANONICAL, end=CANONICAL)
def test_bookmark_after_window_passes_no_row_that_may_arrive_late(
    bookmark: str | None, newest: str | None, end: str
) -> None:
    """Only rows that did arrive move it into the time from which rows may be missing."""
    watermark = format_timestamp(START + timedelta(days=2))
    after = next_bookmark(bookmark, newest=newest, end=end, watermark=watermark)
    assert after <= max(bookmark or "", newest or "", watermark)


@given(bookmark=st.none() | CANONICAL, end=CANONICAL, watermark=CANONICAL)
def test_bookmark_after_window_without_rows_reaches_what_is_settled(
    bookmark: str | None, end: str, watermark: str
) -> None:
    """A quiet stream does not read its whole past every night."""
    after = next_bookmark(bookmark, newest=None, end=end, watermark=watermark)
    assert after == max(bookmark or "", min(end, watermark))
