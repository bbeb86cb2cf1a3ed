"""The retry policy of one request: what is tried again, how often, and after how long."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime

import backoff
from singer_sdk.exceptions import RetriableAPIError

from tap_campusgroups.exports.service_monitor import parse_http_date

if t.TYPE_CHECKING:
    from collections.abc import Callable

    import requests

MAX_ATTEMPTS: t.Final = 8
"""Tries of one request; the waits between them add up to about two minutes."""

MAX_RETRY_DELAY: t.Final = 60.0
"""Seconds to wait before another try, unless the service asks for more."""

MAX_RETRY_AFTER: t.Final = 600.0
"""Seconds of a `Retry-After` that are obeyed at most: a nightly run must end."""

RESUBMISSION_DELAY: t.Final = 5.0
"""Delay before a failed export is submitted again, in seconds; each further delay is four times as
long."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long something is tried before it is given up.

    Attributes:
        tries: Of one request.
        max_attempts_unknown_host: Of a request to a host whose name nobody knows: a wrong school, mostly.
        max_attempts_denied: Of a request that gets a 401 after the secret has worked in the run: the
            service validates the secret by a remote call, which can fail for a moment.
        seconds: Time for all tries of one request; a try that has begun is completed.
        seconds_unaccepted: The same before the service has accepted an export of the run.
        max_retry_after: Seconds of a `Retry-After` that are obeyed at most.
        resubmissions: How often a range whose export failed is submitted again.
    """

    tries: int = MAX_ATTEMPTS
    max_attempts_unknown_host: int = 3
    max_attempts_denied: int = 4
    seconds: float = 900.0
    seconds_unaccepted: float = 300.0
    max_retry_after: float = MAX_RETRY_AFTER
    resubmissions: int = 2

    def resubmission_delay(self, left: int) -> float:
        """Return the seconds to wait before a submission, of which `left` may follow it."""
        return RESUBMISSION_DELAY * 4.0 ** (self.resubmissions - 1 - left)


def waits(max_retry_after: float = MAX_RETRY_AFTER) -> Callable[[Exception], float]:
    """Make the waits of one request.

    Args:
        max_retry_after: Seconds that are waited at most, if the service asks for more.

    Returns:
        A function that takes the failure of a try and gives the seconds before the next one: about
        1, 2, 4 ..., or what the service asks for.
    """
    growing = backoff.expo(max_value=MAX_RETRY_DELAY)
    next(growing)  # the library's generators are primed by one empty step

    def seconds(error: Exception) -> float:
        usual = next(growing)
        response = error.response if isinstance(error, RetriableAPIError) else None
        asked = retry_after(response, now=datetime.now(UTC))
        return usual if asked is None else min(asked, max_retry_after)

    return seconds


def retry_after(response: requests.Response | None, *, now: datetime) -> float | None:
    """Read how long the service asks to wait.

    Args:
        response: An answer, if there was one.
        now: The present instant, aware.

    Returns:
        Seconds, from either form of `Retry-After` (RFC 9110, 10.2.3: seconds or an HTTP date);
        `None` without one that can be read.
    """
    if response is None:
        return None
    value = response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        seconds = float(value)  # infinite for more digits than a double can hold
    elif (at := parse_http_date(value)) is not None:
        seconds = (at - now).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
