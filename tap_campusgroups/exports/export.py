"""One export from submission to its last page: how long to wait, and for what."""

from __future__ import annotations

import logging
import random
import typing as t
from dataclasses import dataclass

from tap_campusgroups.exceptions import ExportTimeoutError
from tap_campusgroups.exports.pagination import ExportEnded, ExportPaginator
from tap_campusgroups.exports.response import ResponseKind

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_campusgroups.exports.endpoint import Endpoint
    from tap_campusgroups.exports.http_client import HttpClient
    from tap_campusgroups.exports.retry import RangeHistory
    from tap_campusgroups.exports.scheduler import Slot
    from tap_campusgroups.exports.window import Window
    from tap_campusgroups.records.json_codec import Raw


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long an export may be queued or running, and how often to poll it, all in seconds."""

    max_interval: float
    timeout: float

    FIRST_INTERVAL: t.ClassVar[float] = 1.0
    """Delay before the second poll; the first follows the submission at once."""

    GROWTH: t.ClassVar[float] = 1.5

    EMPTY_PAGE_DELAY: t.ClassVar[float] = 1.0
    """Delay after an empty page that has a token."""

    def intervals(self) -> Iterator[float]:
        """Yield the intervals between polls, without end, each with up to 10 % of jitter."""
        seconds = self.FIRST_INTERVAL
        while True:
            seconds = min(seconds, self.max_interval)
            yield seconds * (1 + random.random() / 10)  # noqa: S311 - not used for security
            seconds *= self.GROWTH


@dataclass(frozen=True, slots=True)
class Page:
    """A page of an export: JSON text of an array of rows, and its size in bytes."""

    results: Raw
    size: int
    is_last: bool
    is_first: bool = False
    has_invalid_unicode: bool = False


def run_export(
    window: Window, endpoint: Endpoint, client: HttpClient, slot: Slot, history: RangeHistory
) -> Iterator[Page]:
    """Submit an export, poll until it has run, and fetch its pages.

    Raises:
        ExportEnded: If the export ends before its last page.
        ExportTimeoutError: If the export is queued or running for longer than the timeout.
    """
    logger, policy = client.logger, client.poll
    paginator, intervals = ExportPaginator(window), policy.intervals()
    is_first = True
    waited = 0.0  # in pauses, so that a suspended process does not use up the timeout
    slot.acquire()
    while not paginator.finished:
        response = client.send(paginator.current_value, endpoint, slot, history)
        paginator.advance(response)  # type: ignore[arg-type] # see ExportPaginator
        if response.query_id is not None:
            history.accepted += 1
            if not slot.accept(response.query_id, is_resubmission=history.accepted > 1):
                raise ExportEnded(response, ResponseKind.QUERY_ID_REPEATED)
            submitted = (slot.stream, window, response.query_id)
            logger.info("Export submitted: stream=%s window=%s query_id=%s", *submitted)
        elif response.results is not None:
            waited, intervals = 0.0, policy.intervals()
            page = Page(
                response.results,
                len(memoryview(response.results)),
                is_last=paginator.finished,
                is_first=is_first,
                has_invalid_unicode=response.has_invalid_unicode,
            )
            has_rows = response.has_rows
            del response  # frees the response while the page is buffered
            yield page
            is_first = False
            if not has_rows and not paginator.finished:
                slot.pause(policy.EMPTY_PAGE_DELAY)
        else:
            if waited >= policy.timeout:
                minutes = round(waited / 60)
                msg = f"still {response.kind.value} after {minutes} minute{'s' * (minutes != 1)}"
                raise ExportTimeoutError(msg, is_running=response.kind is ResponseKind.RUNNING)
            interval = min(next(intervals), policy.timeout - waited)
            logger.log(
                logging.INFO if waited == 0 else logging.DEBUG,
                "Export %s: stream=%s elapsed=%.0fs next_poll=%.1fs",
                *(response.kind.value, slot.stream, waited, interval),
            )
            slot.pause(interval)
            waited += interval
