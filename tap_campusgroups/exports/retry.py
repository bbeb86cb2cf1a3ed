"""The retry policy: which limits apply, and how long to wait between attempts."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime

import backoff

from tap_campusgroups.exports.service_monitor import parse_http_date

MAX_RETRY_DELAY: t.Final = 60.0  # seconds, unless the service asks for more
RESUBMISSION_DELAY: t.Final = 5.0  # seconds before the first; each further one is four times longer


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits for one request and for one export."""

    max_attempts: int = 8  # of a request; the delays between them add up to about two minutes
    # Of a 401 or 403 once the secret has worked in the run: the service validates the secret by a
    # remote call that can fail for a moment, and a firewall or a rate limit may answer 403.
    max_attempts_denied: int = 4
    # All faults of one export: its failed attempts, the delays after them, and the same of its
    # resubmissions. The second limit applies until the service has accepted an export of the run.
    fault_seconds: float = 900.0
    fault_seconds_unaccepted: float = 300.0
    resubmissions: int = 2  # of a range whose export failed

    @classmethod
    def for_timeout(cls, request_timeout: float) -> RetryPolicy:
        """Return the policy for a request timeout: short ones ask for less patience."""
        return cls(fault_seconds=min(max(300.0, 15 * request_timeout), 900.0))

    def resubmission_delay(self, left: int) -> float:
        """Return the delay before a resubmission that `left` others may follow, in seconds."""
        return RESUBMISSION_DELAY * 4.0 ** (self.resubmissions - 1 - left)


@dataclass(slots=True)
class RangeHistory:
    """What has happened to a range so far, over all of its exports."""

    accepted: int = 0  # exports that the service has accepted
    fault_seconds: float = 0.0  # that faults have taken while the process was running
    retry_after: float = 0.0  # seconds that the service asked for after a request's last attempt


def retry_delay(failures: int, requested: float | None) -> float:
    """Return the delay after some failed attempts in a row, in seconds with jitter.

    It is the usual delay (1, 2, 4 ... 60) or what the service requests, whichever is longer.
    """
    usual = min(2.0 ** (failures - 1), MAX_RETRY_DELAY)
    return backoff.random_jitter(max(usual, requested or 0.0))


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Parse `Retry-After` (RFC 9110, 10.2.3: seconds or an HTTP date); `None` if invalid.

    The result is in seconds, at most a day.
    """
    text = (value or "").strip()
    if text.isdecimal():
        seconds = float(text)  # infinite if a double cannot hold it
    elif (date := parse_http_date(text)) is not None:
        seconds = (date - (now or datetime.now(UTC))).total_seconds()
    else:
        return None
    return min(max(seconds, 0.0), 86_400.0)
