"""What a run learns of the service: its clock, its queryIds, new keys of its pages."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tap_campusgroups.exports.service_monitor import (
    MAX_CLOCK_DIFFERENCE,
    ServiceMonitor,
    parse_http_date,
)
from tap_campusgroups.records.values import format_timestamp

LOGGER = logging.getLogger("tap-campusgroups")
HOUR = timedelta(hours=1)


def now() -> datetime:
    """Return the present time in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def http(moment: datetime) -> str:
    """Write an HTTP date."""
    return format_datetime(moment, usegmt=True)


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
def test_start_is_the_earlier_of_both_clocks(ahead: timedelta) -> None:
    started = now()
    monitor = ServiceMonitor(started, LOGGER)
    monitor.observe_date(http(started + ahead))
    assert monitor.started == min(started, started + ahead)


def test_first_readable_date_counts() -> None:
    started = now()
    monitor = ServiceMonitor(started, LOGGER)
    for header in (None, "", "soon", http(started - HOUR), http(started - 2 * HOUR)):
        monitor.observe_date(header)
    assert monitor.started == started - HOUR


@pytest.mark.parametrize(("minutes", "lines"), [(0, 0), (4, 0), (-4, 0), (6, 1), (-6, 1)])
def test_clocks_that_differ_by_minutes_are_a_warning(
    caplog: pytest.LogCaptureFixture, minutes: int, lines: int
) -> None:
    assert timedelta(minutes=5) == MAX_CLOCK_DIFFERENCE
    monitor = ServiceMonitor(now(), LOGGER)
    monitor.observe_date(http(now() + timedelta(minutes=minutes)))
    monitor.observe_date(http(now() + timedelta(minutes=minutes)))
    assert [record.levelname for record in caplog.records] == ["WARNING"] * lines


def test_warning_about_clocks_says_what_both_show(caplog: pytest.LogCaptureFixture) -> None:
    date = now() - HOUR
    ServiceMonitor(now(), LOGGER).observe_date(http(date))
    words = re.fullmatch(
        "Clocks differ: this machine's clock says (.*), the service's (.*)\\. Bookmarks follow the "
        "earlier one\\. Correct the clock of this machine\\.",
        caplog.records[0].getMessage(),
    )
    assert words is not None
    assert words[1] >= format_timestamp(date + HOUR)
    assert words[2] == format_timestamp(date)


def test_unknown_keys_are_one_warning_per_run(caplog: pytest.LogCaptureFixture) -> None:
    monitor = ServiceMonitor(now(), LOGGER)
    for keys in ((), ("HasMore",), ("Cursor",)):
        monitor.observe_keys("events", keys)
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        (
            "Stream 'events': a page has keys that the API does not document (HasMore). Rows may "
            "be missing if the API has a new way to page. Please report this line."
        ),
    )


def test_query_id_is_accepted_once() -> None:
    monitor = ServiceMonitor(now(), LOGGER)
    assert [monitor.accept(query_id) for query_id in ("q1", "q2", "q1")] == [True, True, False]


def test_job_has_been_accepted_after_the_first_query_id() -> None:
    monitor = ServiceMonitor(now(), LOGGER)
    before = monitor.has_accepted_job
    monitor.accept("q1")
    assert (before, monitor.has_accepted_job) == (False, True)


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
def test_http_date_is_read_as_utc(value: str | None, expected: str | None) -> None:
    date = parse_http_date(value)
    assert (date and date.isoformat()) == expected
