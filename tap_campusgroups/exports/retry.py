"""The retry policy: which limits apply, and how long to wait between attempts."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime

import backoff

from tap_campusgroups.exports.service_monitor import parse_http_date

if t.TYPE_CHECKING:
    from collections.abc import Callable

    import requests

MAX_RETRY_DELAY: t.Final = 60.0  # seconds, unless the service asks for more
MAX_RETRY_AFTER: t.Final = 600.0  # seconds that the service can ask for at most
RESUBMISSION_DELAY: t.Final = 5.0  # seconds before the first; each further one is four times longer


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits for one request and for one range.

    Attributes:
        max_attempts: The delays between 8 attempts add up to about two minutes.
        max_attempts_unknown_host: Attempts if the host name does not exist (a wrong school code).
        max_attempts_denied: Attempts after a 401, once the secret has worked in the run: the
            service validates the secret by a remote call that can fail for a moment.
        max_seconds: Time after which no further attempt starts.
        max_seconds_unaccepted: The same before the service has accepted an export of the run.
        max_retry_after: Longest `Retry-After` that is obeyed, in seconds.
        resubmissions: Resubmissions of a range whose export failed.
    """

    max_attempts: int = 8
    max_attempts_unknown_host: int = 3
    max_attempts_denied: int = 4
    max_seconds: float = 900.0
    max_seconds_unaccepted: float = 300.0
    max_retry_after: float = MAX_RETRY_AFTER
    resubmissions: int = 2

    def resubmission_delay(self, left: int) -> float:
        """Return the delay before a resubmission that `left` others may follow, in seconds."""
        return RESUBMISSION_DELAY * 4.0 ** (self.resubmissions - 1 - left)


def retry_delays(
    max_retry_after: float = MAX_RETRY_AFTER,
) -> Callable[[requests.Response | None], float]:
    """Return a function of a failed attempt's response that gives the next delay, in seconds.

    The delays are 1, 2, 4 ... 60, before jitter, or what `Retry-After` asks for, up to a limit.
    """
    growing = backoff.expo(max_value=MAX_RETRY_DELAY)
    next(growing)  # backoff's generators yield None first

    def delay(response: requests.Response | None) -> float:
        usual = next(growing)
        requested = retry_after(response, now=datetime.now(UTC))
        return usual if requested is None else min(requested, max_retry_after)

    return delay


def retry_after(response: requests.Response | None, *, now: datetime) -> float | None:
    """Parse `Retry-After` (RFC 9110, 10.2.3: seconds or an HTTP date); `None` if invalid.

    The result is in seconds, at most `MAX_RETRY_AFTER`.
    """
    value = "" if response is None else response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        seconds = float(value)  # infinite if a double cannot hold it
    elif (date := parse_http_date(value)) is not None:
        seconds = (date - now).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
