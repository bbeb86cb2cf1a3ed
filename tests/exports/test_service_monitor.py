"""What a run learns about the service: its clock, its queryIds, undocumented keys."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tap_campusgroups.exports.service_monitor import (
    MAX_CLOCK_DIFFERENCE,
    ServiceMonitor,
    parse_http_date,
)
from tests.support.exports import LOGGER

HOUR = timedelta(hours=1)


def now() -> datetime:
    """Return the current time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def http_date(timestamp: datetime) -> str:
    """Format an HTTP date."""
    return format_datetime(timestamp, usegmt=True)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_start_of_run_with_different_clocks_follows_the_earlier_one(ahead: timedelta) -> None:
    started = now()
    monitor = ServiceMonitor(started, LOGGER)
    monitor.observe_date(http_date(started + ahead))
    assert monitor.started == min(started, started + ahead)


def test_start_of_run_after_several_dates_follows_the_first_valid_one() -> None:
    started = now()
    monitor = ServiceMonitor(started, LOGGER)
    for header in (None, "", "soon", http_date(started - HOUR), http_date(started - 2 * HOUR)):
        monitor.observe_date(header)
    assert monitor.started == started - HOUR


@pytest.mark.parametrize(("minutes", "lines"), [(0, 0), (4, 0), (-4, 0), (6, 1), (-6, 1)])
def test_clocks_more_than_five_minutes_apart_are_one_warning(
    caplog: pytest.LogCaptureFixture, minutes: int, lines: int
) -> None:
    assert timedelta(minutes=5) == MAX_CLOCK_DIFFERENCE
    monitor = ServiceMonitor(now(), LOGGER)
    monitor.observe_date(http_date(now() + timedelta(minutes=minutes)))
    monitor.observe_date(http_date(now() + timedelta(minutes=minutes)))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * lines
    for line in caplog.messages:
        words = re.fullmatch(
            r"Clocks differ: local=(\S+) service=(\S+)\. Bookmarks follow the earlier clock\. "
            r"Correct the clock of this machine\.",
            line,
        )
        assert words is not None
        assert (words[1] > words[2]) == (minutes < 0)


def test_undocumented_keys_of_several_pages_are_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    monitor = ServiceMonitor(now(), LOGGER)
    for keys in ((), ("HasMore",), ("Cursor",)):
        monitor.observe_keys("events", keys)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        (
            "Undocumented keys in a page: stream=events keys=HasMore. Rows may be missing if the "
            "API has a new way of pagination. Please report this line."
        ),
    )


def test_query_id_is_new_once_and_the_first_is_remembered() -> None:
    monitor = ServiceMonitor(now(), LOGGER)
    assert monitor.has_accepted_job is False
    assert [monitor.accept(query_id) for query_id in ("q1", "q2", "q1")] == [True, True, False]
    assert monitor.has_accepted_job is True


def test_service_has_answered_after_a_response_with_any_date() -> None:
    monitor = ServiceMonitor(now(), LOGGER)
    assert monitor.has_answered is False
    monitor.observe_date(None)
    assert monitor.has_answered is True


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Wed, 01 Jan 2025 00:00:00 GMT", "2025-01-01T00:00:00+00:00"),
        ("Wed, 01 Jan 2025 00:00:00 -0000", "2025-01-01T00:00:00+00:00"),
        ("Wed, 01 Jan 2025 00:00:00 +0200", "2024-12-31T22:00:00+00:00"),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("Mon, 99 Jan 2025 00:00:00 GMT", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.usefixtures("local_time_of_new_york")
def test_http_date_of_any_zone_is_parsed_to_utc(value: str | None, expected: str | None) -> None:
    date = parse_http_date(value)
    assert (date and date.isoformat()) == expected
