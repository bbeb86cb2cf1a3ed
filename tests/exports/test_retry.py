"""Delays between attempts, and before resubmissions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.exports.retry import (
    MAX_RETRY_AFTER,
    RetryPolicy,
    retry_after,
    retry_delays,
)

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)


def response(retry_after: str | None = None) -> requests.Response:
    """Create a response with a `Retry-After` header."""
    created = requests.Response()
    if retry_after is not None:
        created.headers["Retry-After"] = retry_after
    return created


def test_delays_of_one_request_double_to_a_minute_and_add_up_to_two_minutes() -> None:
    delay = retry_delays()
    seconds = [delay(response()) for _ in range(RetryPolicy().max_attempts - 1)]
    assert seconds == [1, 2, 4, 8, 16, 32, 60]
    assert 110 < sum(seconds) < 130


def test_delays_of_another_request_start_again() -> None:
    assert [retry_delays()(response()), retry_delays()(response())] == [1, 1]


def test_delays_after_failures_without_response_are_the_usual_ones() -> None:
    delay = retry_delays()
    assert [delay(None), delay(None)] == [1, 2]


def test_delay_with_retry_after_is_the_requested_one() -> None:
    delay = retry_delays()
    assert [delay(response("7")), delay(response("0")), delay(response())] == [7, 0, 4]


def test_delay_with_retry_after_as_date_lasts_until_that_date() -> None:
    at = datetime.now(UTC) + timedelta(seconds=300)
    seconds = retry_delays()(response(format_datetime(at, usegmt=True)))
    assert (datetime.now(UTC) + timedelta(seconds=seconds) - at).total_seconds() > -1.1
    assert 0 < seconds <= 300


@given(limit=st.floats(0, MAX_RETRY_AFTER), requested=st.integers(0, 10_000))
def test_delay_with_retry_after_never_exceeds_the_limit(limit: float, requested: int) -> None:
    assert retry_delays(limit)(response(str(requested))) == min(requested, limit)


def test_delay_without_other_limit_is_ten_minutes_at_most() -> None:
    assert retry_delays()(response("86400")) == MAX_RETRY_AFTER == 600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("601", 600.0),
        ("Wed, 01 Jan 2025 12:02:00 GMT", 120.0),
        ("Tue, 31 Dec 2024 12:00:00 GMT", 0.0),
    ],
)
def test_retry_after_in_any_form_is_parsed_to_seconds(value: str, seconds: float) -> None:
    assert retry_after(response(value), now=NOW) == seconds


def test_retry_after_without_zone_is_parsed_as_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5)))
    assert retry_after(response("Wed, 01 Jan 2025 12:02:00 -0000"), now=east) == 120
    assert retry_after(response("Wed, 01 Jan 2025 17:02:00 +0500"), now=NOW) == 120


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - `timezones` adds it
def test_retry_after_with_any_date_is_between_zero_and_ten_minutes(
    at: datetime,
) -> None:
    seconds = retry_after(response(format_datetime(at, usegmt=True)), now=NOW)
    assert seconds is not None
    assert 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize("value", [None, "", "soon", "1.5", "-5", "tomorrow"])
def test_retry_after_absent_or_invalid_returns_none(value: str | None) -> None:
    assert retry_after(response(value), now=NOW) is None


def test_retry_after_without_response_returns_none() -> None:
    assert retry_after(None, now=NOW) is None


def test_delays_before_resubmissions_quadruple() -> None:
    retry_policy = RetryPolicy()
    assert [retry_policy.resubmission_delay(left) for left in (1, 0)] == [5.0, 20.0]
    assert RetryPolicy(resubmissions=1).resubmission_delay(0) == 5.0
