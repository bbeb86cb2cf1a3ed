"""The retry policy of one request: what is tried again, how often, and after how long."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import backoff
from singer_sdk.exceptions import RetriableAPIError

if t.TYPE_CHECKING:
    from collections.abc import Callable

    import requests

MAX_TRIES: t.Final = 8
"""Tries of one request; the waits between them add up to about two minutes."""

LONGEST_WAIT: t.Final = 60.0
"""Seconds to wait before another try, unless the service asks for more."""

LONGEST_RETRY_AFTER: t.Final = 600.0
"""Seconds of a `Retry-After` that are obeyed at most: a nightly run must end."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long something is tried before it is given up.

    Attributes:
        tries: Of one request.
        tries_of_a_host: Of a request to a host whose name nobody knows: a wrong school, mostly.
        longest_retry_after: Seconds of a `Retry-After` that are obeyed at most.
        resubmissions: How often a range whose export failed is submitted again.
    """

    tries: int = MAX_TRIES
    tries_of_a_host: int = 3
    longest_retry_after: float = LONGEST_RETRY_AFTER
    resubmissions: int = 2


def waits(longest_retry_after: float = LONGEST_RETRY_AFTER) -> Callable[[Exception], float]:
    """Make the waits of one request.

    Args:
        longest_retry_after: Seconds that are waited at most, if the service asks for more.

    Returns:
        A function that takes the failure of a try and gives the seconds before the next one: about
        1, 2, 4 ..., or what the service asks for.
    """
    growing = backoff.expo(base=2, factor=1, max_value=LONGEST_WAIT)
    next(growing)  # the library's generators are primed by one empty step

    def seconds(error: Exception) -> float:
        usual = next(growing)
        response = error.response if isinstance(error, RetriableAPIError) else None
        asked = retry_after(response, now=datetime.now(UTC))
        return usual if asked is None else min(asked, longest_retry_after)

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
    value = "" if response is None else response.headers.get("Retry-After", "").strip()
    if value.isdecimal():
        seconds = float(value)
    else:
        try:
            at = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)
