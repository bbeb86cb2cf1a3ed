"""What a run learns of the service beside its data: its clock, its queryIds, new keys of its pages.

Workers report every response here; the main thread asks for the clock when it moves a bookmark.
"""

from __future__ import annotations

import typing as t
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock

from tap_campusgroups.exports.response import redact_keys
from tap_campusgroups.records.values import format_timestamp

if t.TYPE_CHECKING:
    import logging

MAX_CLOCK_DIFFERENCE: t.Final = timedelta(minutes=5)
"""Difference between two clocks that needs no warning."""


class ServiceMonitor:
    """Facts about the service that all exports of a run share.

    Attributes:
        started: Start of the run, aware, UTC: by this machine's clock or, from the first response
            on, by the service's if that is earlier. No bookmark may be later.
        has_accepted_job: Whether the service has accepted an export of the run.
    """

    def __init__(self, started: datetime, logger: logging.Logger) -> None:
        """Begin without a response."""
        self.started = started
        self.has_accepted_job = False
        self._logger = logger
        self._lock = Lock()
        # All below is guarded by the lock.
        self._has_date = False
        self._has_unknown_keys = False
        self._query_ids: set[str] = set()

    def observe_date(self, header: str | None) -> None:
        """Take note of the `Date` header of a response; the first one that can be read counts."""
        date = parse_http_date(header)
        with self._lock:
            if self._has_date or date is None:
                return
            self._has_date = True
            self.started = min(self.started, date)
        now = datetime.now(UTC)
        if abs(now - date) > MAX_CLOCK_DIFFERENCE:
            self._logger.warning(
                "Clocks differ: this machine's clock says %s, the service's %s. Bookmarks follow "
                "the earlier one. Correct the clock of this machine.",
                format_timestamp(now),
                format_timestamp(date),
            )

    def observe_keys(self, stream: str, unknown_keys: tuple[str, ...]) -> None:
        """Take note of the keys of a page that the API does not document."""
        with self._lock:
            if self._has_unknown_keys or not unknown_keys:
                return
            self._has_unknown_keys = True
        self._logger.warning(
            "Stream '%s': a page has keys that the API does not document (%s). Rows may be missing "
            "if the API has a new way to page. Please report this line.",
            *(stream, redact_keys(unknown_keys)),
        )

    def accept(self, query_id: str) -> bool:
        """Take note of the queryId of an accepted export.

        Returns:
            Whether no other export of the run has it.
        """
        with self._lock:
            self.has_accepted_job = True
            is_new = query_id not in self._query_ids
            self._query_ids.add(query_id)
            return is_new


def parse_http_date(value: str | None) -> datetime | None:
    """Parse an HTTP date (RFC 9110, 5.6.7).

    Returns:
        The timestamp, aware, in UTC; `None` if the value is absent or not a date.
    """
    try:
        date = parsedate_to_datetime(value or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
