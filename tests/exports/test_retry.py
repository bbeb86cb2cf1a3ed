"""Delays between attempts, and before resubmissions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tap_campusgroups.exports.retry import RangeHistory, RetryPolicy, parse_retry_after, retry_delay

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.mark.usefixtures("fake_time")
def test_delays_double_to_a_minute_and_add_up_to_two_minutes() -> None:
    seconds = [retry_delay(number, None) for number in range(1, RetryPolicy().max_attempts)]
    assert seconds == [1, 2, 4, 8, 16, 32, 60]


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize(
    ("failures", "requested", "delay"),
    [(1, 7, 7), (4, 7, 8), (3, 0, 4), (1, 0.5, 1), (9, 600, 600)],
)
def test_delay_is_the_longer_one(failures: int, requested: float, delay: float) -> None:
    assert retry_delay(failures, requested) == delay


@pytest.mark.parametrize("requested", [None, 7.0])
def test_jitter_adds_up_to_a_second(
    monkeypatch: pytest.MonkeyPatch, requested: float | None
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.25)
    assert retry_delay(1, requested) == (requested or 1) + 0.25


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *(("0", 0.0), ("120", 120.0), (" 120 ", 120.0), ("86400", 86_400.0)),
        *(("9" * 400, 86_400.0), ("\u0663", 3.0)),
        ("Wed, 01 Jan 2025 12:02:00 GMT", 120.0),
        ("Wed, 01 Jan 2025 12:02:00 -0000", 120.0),
        ("Wed, 01 Jan 2025 17:02:00 +0500", 120.0),
        ("Tue, 31 Dec 2024 12:00:00 GMT", 0.0),
        *((None, None), ("", None), ("soon", None), ("1.5", None), ("-5", None)),
        *(("Fri, 31 Dec 9999 23:59:59 -2359", None), ("Mon, 01 Jan 99999 00:00:00 GMT", None)),
    ],
)
def test_retry_after_in_any_form_is_parsed_to_seconds(
    value: str | None, seconds: float | None
) -> None:
    for zone in (UTC, timezone(timedelta(hours=5))):
        assert parse_retry_after(value, now=NOW.astimezone(zone)) == seconds


def test_retry_after_with_a_date_is_relative_to_the_current_time() -> None:
    at = datetime.now(UTC) + timedelta(seconds=300)
    seconds = parse_retry_after(format_datetime(at, usegmt=True))
    assert seconds is not None
    left = (at - datetime.now(UTC)).total_seconds()  # a date has whole seconds
    assert left - 1 <= seconds <= 300


def test_delays_before_resubmissions_quadruple() -> None:
    policy = RetryPolicy()
    assert [policy.resubmission_delay(left) for left in (1, 0)] == [5.0, 20.0]
    assert RetryPolicy(resubmissions=1).resubmission_delay(0) == 5.0


@pytest.mark.parametrize(
    ("request_timeout", "seconds"),
    [(1, 300), (20, 300), (21, 315), (40, 600), (60, 900), (61, 900), (600, 900)],
)
def test_limit_of_faults_follows_the_request_timeout(
    request_timeout: float, seconds: float
) -> None:
    policy = RetryPolicy.for_timeout(request_timeout)
    assert policy == RetryPolicy(fault_seconds=seconds)
    assert RetryPolicy() == RetryPolicy(8, 4, 900, 300, 2)


def test_history_of_a_new_range_is_empty() -> None:
    assert RangeHistory() == RangeHistory(0, 0.0, 0.0)
