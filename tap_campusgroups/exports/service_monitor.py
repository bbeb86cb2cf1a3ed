"""What a run learns about the service besides its data: its clock, its queryIds, its keys.

Workers report here; the main thread asks for the clock when it moves a bookmark.
"""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock

from tap_campusgroups.records.values import format_timestamp
from tap_campusgroups.redaction import redact_keys

if t.TYPE_CHECKING:
    import logging

MAX_CLOCK_DIFFERENCE: t.Final = timedelta(minutes=5)
"""Difference between the local clock and the service's that is tolerated without a warning."""


class ServiceMonitor:
    """Facts about the service that all exports of a run share."""

    def __init__(self, started: datetime, logger: logging.Logger) -> None:
        # Start of the run, aware, UTC, by the local clock; from the first response on by the
        # service's clock, if that is earlier. No bookmark may be later.
        self.started = started
        self.has_accepted_job = self.has_answered = False
        self._logger = logger
        self._lock = Lock()  # guards all below
        self._latest: datetime | None = None
        self._has_unknown_keys = False
        self._query_ids: set[str] = set()

    def observe_date(self, header: str | None) -> None:
        """Note the service's clock by a response's `Date` header; compare the clocks once."""
        date, now = parse_http_date(header), utc_now()
        with self._lock:
            self.has_answered = True
            if date is None:
                return
            is_first, self._latest = self._latest is None, max(self._latest or date, date)
            if not is_first:
                return
            self.started = min(self.started, date)
        if abs(now - date) > MAX_CLOCK_DIFFERENCE:
            self._logger.warning(
                "Clocks differ: local=%s service=%s. Bookmarks follow the earlier clock. Correct "
                "the clock of this machine.",
                *(format_timestamp(now), format_timestamp(date)),
            )

    def present(self) -> datetime | None:
        """Return the latest time that either clock shows; `None` if the service has shown none."""
        return self._latest and max(utc_now(), self._latest)

    def observe_keys(self, stream: str, unknown_keys: tuple[str, ...]) -> None:
        """Warn once per run if a page has keys that the API does not document."""
        with self._lock:
            if self._has_unknown_keys or not unknown_keys:
                return
            self._has_unknown_keys = True
        self._logger.warning(
            "Undocumented keys in a page: stream=%s keys=%s. Rows may be missing if the API has a "
            "new way of pagination. Please report this line.",
            *(stream, redact_keys(unknown_keys)),
        )

    def accept(self, query_id: str) -> bool:
        """Record an accepted export; return whether its queryId is new."""
        with self._lock:
            self.has_accepted_job = True
            is_new = query_id not in self._query_ids
            self._query_ids.add(query_id)
            return is_new


def utc_now() -> datetime:
    """Return the current time by the local clock; tests replace this function."""
    return datetime.now(UTC)


def parse_http_date(value: str | None) -> datetime | None:
    """Parse an HTTP date (RFC 9110, 5.6.7) to an aware timestamp in UTC; `None` if invalid."""
    try:
        date = parsedate_to_datetime(value or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
