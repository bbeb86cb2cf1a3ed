"""Windows: formats, splits and halves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.exports.window import MIN_BISECTED, Window, format_bound

START = datetime(2024, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

WINDOWS = st.integers(0, 100 * 24 * 3600).map(
    lambda seconds: Window(START, START + timedelta(seconds=seconds))
)


def assert_covered(window: Window, by: list[Window]) -> None:
    """Check that ascending windows cover a window and share their bounds."""
    assert by[0].start == window.start
    assert by[-1].end == window.end
    assert all(one.end == other.start for one, other in pairwise(by))


@given(window=WINDOWS, days=st.integers(1, 120))
def test_split_windows_cover_the_window_without_gaps(window: Window, days: int) -> None:
    parts = window.split(days)
    assert_covered(window, parts)
    assert all(part.end - part.start <= timedelta(days=days) for part in parts)
    assert all(part.end - part.start == timedelta(days=days) for part in parts[:-1])


def test_split_of_window_of_the_maximum_length_is_one_window() -> None:
    window = Window(START, START + timedelta(days=7))
    assert window.split(7) == [window]
    assert len(window.split(6)) == 2


def test_split_without_maximum_length_is_one_window() -> None:
    window = Window(START, START + timedelta(days=1000))
    assert window.split(None) == [window]


def test_split_of_empty_window_is_empty() -> None:
    window = Window(START, START - SECOND)
    assert window.split(7) == window.split(None) == []


def test_split_of_window_of_one_second_is_that_window() -> None:
    window = Window(START, START)
    assert window.split(7) == window.split(None) == [window]


@given(window=WINDOWS)
def test_halves_cover_the_window_and_differ_by_a_second_at_most(window: Window) -> None:
    halves = window.bisect()
    assert_covered(window, halves)
    if window.end - window.start > MIN_BISECTED:
        first, second = (half.end - half.start for half in halves)
        assert timedelta() <= second - first <= SECOND
        assert first.microseconds == 0


def test_window_of_an_hour_is_not_bisected() -> None:
    hour = Window(START, START + timedelta(hours=1))
    longer = Window(START, hour.end + SECOND)
    assert hour.bisect() == [hour]
    assert len(longer.bisect()) == 2


@pytest.mark.usefixtures("local_time_of_new_york")
def test_window_between_local_timestamps_has_whole_seconds_in_utc() -> None:
    east = timezone(timedelta(hours=5))
    window = Window.between(
        datetime(2024, 1, 1, 5, 0, 0, 999_999, tzinfo=east),
        datetime(2024, 1, 2, 5, 0, 0, 999_999, tzinfo=east),
    )
    assert window == Window(START, START + timedelta(days=1))
    assert window.start.tzinfo is window.end.tzinfo is UTC
    assert str(window) == "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (datetime(2024, 1, 1, 1, 2, 3, 999_999, tzinfo=UTC), "2024-01-01T01:02:03Z"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2023-12-31T22:00:00Z"),
    ],
)
def test_bound_is_formatted_with_four_digit_year_and_whole_seconds_in_utc(
    bound: datetime, text: str
) -> None:
    assert format_bound(bound) == text


def test_window_is_empty_only_if_it_ends_before_it_starts() -> None:
    assert not Window(START, START + SECOND).is_empty
    assert not Window(START, START).is_empty
    assert Window(START + SECOND, START).is_empty
