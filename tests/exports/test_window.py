"""Windows: formats, splits and halves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.exports.window import DIVIDED_FROM, MIN_BISECTED, Window, format_bound

START = datetime(2024, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)

TIMESTAMPS = st.datetimes(
    datetime(1980, 1, 1),  # noqa: DTZ001 - `timezones` adds it
    datetime(2030, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-12, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)
LENGTHS = st.integers(0, 10 * 365 * 24 * 3600) | st.integers(3500, 7200)
"""In seconds; also around the minimum length that is bisected."""

WINDOWS = st.builds(
    lambda start, seconds: Window.between(start, start + seconds * SECOND), TIMESTAMPS, LENGTHS
)


def divided(window: Window) -> timedelta:
    """Return the length of the part of a window that is divided."""
    is_later = window.start < DIVIDED_FROM < window.end
    return window.end - (DIVIDED_FROM if is_later else window.start)


def assert_covered(window: Window, by: list[Window]) -> None:
    """Check that ascending windows cover a window, share their bounds, and are in seconds UTC."""
    assert by[0].start == window.start
    assert by[-1].end == window.end
    assert all(one.end == other.start for one, other in pairwise(by))
    for part in by:
        assert part.start < part.end or by == [window]
        assert part.start.microsecond == part.end.microsecond == 0
        assert part.start.tzinfo is part.end.tzinfo is UTC


@given(window=WINDOWS, days=st.none() | st.integers(1, 36_600))
def test_split_windows_cover_the_window_without_gaps(window: Window, days: int | None) -> None:
    parts = list(window.split(days))
    assert_covered(window, parts)
    length = timedelta(days=days or 36_600)
    assert all(divided(part) == length for part in parts[:-1])
    assert divided(parts[-1]) <= length
    assert window.count(days) == len(parts)


@pytest.mark.parametrize(
    ("hours", "days", "lengths"),
    [
        *((0, 1, [0]), (0, None, [0]), (24, 1, [24]), (25, 1, [24, 1]), (72, 1, [24] * 3)),
        *((72, 2, [48, 24]), (168, 7, [168]), (168, 6, [144, 24]), (24_000, None, [24_000])),
        *((-1, 1, []), (-1, None, [])),
    ],
)
def test_split_window_has_no_empty_rest_and_an_empty_window_no_parts(
    hours: int, days: int | None, lengths: list[int]
) -> None:
    window = Window(START, START + timedelta(hours=hours))
    parts = list(window.split(days))
    assert [(part.end - part.start) / timedelta(hours=1) for part in parts] == lengths
    assert window.count(days) == len(lengths)


def test_everything_before_2000_belongs_to_the_first_window_of_a_later_range() -> None:
    centuries = Window(datetime(1, 1, 1, tzinfo=UTC), DIVIDED_FROM + timedelta(days=2))
    ends = [DIVIDED_FROM + timedelta(days=days) for days in (1, 2)]
    assert [part.end for part in centuries.split(1)] == ends
    assert [half.end for half in centuries.bisect()] == ends
    old = Window(centuries.start, DIVIDED_FROM)
    assert next(old.split(1)).end == datetime(1, 1, 2, tzinfo=UTC)
    assert old.count(1) == 730_119


@given(window=WINDOWS)
def test_halves_cover_the_window_and_differ_by_a_second_at_most(window: Window) -> None:
    halves = window.bisect()
    assert_covered(window, halves)
    assert len(halves) == (2 if divided(window) > MIN_BISECTED else 1)
    lengths = list(map(divided, halves))
    assert lengths[-1] - lengths[0] in (timedelta(), SECOND)


def test_window_of_an_hour_is_not_bisected() -> None:
    assert timedelta(hours=1) == MIN_BISECTED
    hour = Window(START, START + MIN_BISECTED)
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
