"""How long the tap waits before it tries a request again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from singer_sdk.exceptions import RetriableAPIError

from tap_campusgroups.exports.retry import (
    MAX_RETRY_AFTER,
    RetryPolicy,
    retry_after,
)

NOW = datetime(2025, 1, 1, 12, tzinfo=UTC)


def response(asked: str | None = None) -> requests.Response:
    """Make a response that asks to come back later."""
    made = requests.Response()
    if asked is not None:
        made.headers["Retry-After"] = asked
    return made


def failure(asked: str | None = None) -> RetriableAPIError:
    """Make the error of a try."""
    return RetriableAPIError("busy", response(asked))


def test_waits_of_one_request_double_to_a_minute_and_last_two_minutes_in_all() -> None:
    wait = retry_delays()
    seconds = [wait(failure()) for _ in range(RetryPolicy().max_attempts - 1)]
    assert seconds == [1, 2, 4, 8, 16, 32, 60]
    assert 110 < sum(seconds) < 130


def test_waits_of_each_request_start_anew() -> None:
    assert [retry_delays()(failure()), retry_delays()(failure())] == [1, 1]


@pytest.mark.parametrize(
    "error", [RetriableAPIError("no connection"), requests.ConnectionError("reset"), OSError()]
)
def test_wait_after_failure_without_response_is_the_usual_one(error: Exception) -> None:
    wait = retry_delays()
    assert [wait(error), wait(error)] == [1, 2]


def test_wait_with_retry_after_is_what_the_service_asks_for() -> None:
    wait = retry_delays()
    assert [wait(failure("7")), wait(failure("0")), wait(failure())] == [7, 0, 4]


def test_wait_with_retry_after_as_date_lasts_until_then() -> None:
    at = datetime.now(UTC) + timedelta(seconds=300)
    seconds = retry_delays()(failure(format_datetime(at, usegmt=True)))
    assert (datetime.now(UTC) + timedelta(seconds=seconds) - at).total_seconds() > -1.1
    assert 0 < seconds <= 300


@given(limit=st.floats(0, MAX_RETRY_AFTER), asked=st.integers(0, 10_000))
def test_wait_with_retry_after_never_exceeds_the_limit(limit: float, asked: int) -> None:
    assert retry_delays(limit)(failure(str(asked))) == min(asked, limit)


def test_wait_without_limit_of_its_own_ends_after_ten_minutes() -> None:
    assert retry_delays()(failure("86400")) == MAX_RETRY_AFTER == 600


@pytest.mark.parametrize("asked", ["120", " 120 ", "Wed, 01 Jan 2025 12:02:00 GMT"])
def test_retry_after_in_either_form_is_read_in_seconds(asked: str) -> None:
    assert retry_after(response(asked), now=NOW) == 120


def test_retry_after_without_zone_is_read_as_utc() -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5)))
    assert retry_after(response("Wed, 01 Jan 2025 12:02:00 -0000"), now=east) == 120
    assert retry_after(response("Wed, 01 Jan 2025 17:02:00 +0500"), now=NOW) == 120


@given(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - `timezones` adds it
def test_retry_after_with_any_date_is_neither_negative_nor_longer_than_ten_minutes(
    at: datetime,
) -> None:
    seconds = retry_after(response(format_datetime(at, usegmt=True)), now=NOW)
    assert seconds is not None
    assert 0 <= seconds <= MAX_RETRY_AFTER


@pytest.mark.parametrize("asked", [None, "", "soon", "1.5", "-5"])
def test_retry_after_that_cannot_be_read_is_none(asked: str | None) -> None:
    assert retry_after(response(asked), now=NOW) is None


def test_retry_after_without_response_is_none() -> None:
    assert retry_after(None, now=NOW) is None


def test_delays_before_resubmissions_grow() -> None:
    retry_policy = RetryPolicy()
    assert [retry_policy.resubmission_delay(left) for left in (1, 0)] == [5.0, 20.0]
    assert RetryPolicy(resubmissions=1).resubmission_delay(0) == 5.0
