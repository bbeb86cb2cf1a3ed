"""The exports of a window: one from submission to its last page, or others in its place."""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass

from tap_campusgroups.exceptions import (
    ConnectionSetupError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.pagination import ExportEnded, ExportPaginator
from tap_campusgroups.exports.response import RESUBMITTED, ResponseKind
from tap_campusgroups.exports.retry import RangeHistory
from tap_campusgroups.redaction import printable

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tap_campusgroups.exports.http_client import Endpoint, HttpClient
    from tap_campusgroups.exports.scheduler import Slot
    from tap_campusgroups.exports.window import Window
    from tap_campusgroups.records.json_codec import Raw

FIRST_INTERVAL: t.Final = 1.0  # seconds before the second poll; the first follows at once
INTERVAL_GROWTH: t.Final = 1.5
EMPTY_PAGE_DELAY: t.Final = 1.0  # seconds after an empty page that has a token


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long an export may be queued or running, and how often to poll it, all in seconds."""

    max_interval: float
    timeout: float

    def intervals(self) -> Iterator[float]:
        """Yield the intervals between polls, without end, each with up to 10 % of jitter."""
        seconds = FIRST_INTERVAL
        while True:
            seconds = min(seconds, self.max_interval)
            yield seconds * (1 + random.random() / 10)  # noqa: S311 - not used for security
            seconds *= INTERVAL_GROWTH


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
            submitted = (slot.stream, window, printable(response.query_id))
            logger.debug("Export submitted: stream=%s window=%s query_id=%s", *submitted)
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
                slot.pause(EMPTY_PAGE_DELAY)
        else:
            if waited >= policy.timeout:
                minutes = round(waited / 60)
                msg = f"still {response.kind.value} after {minutes} minute{'s' * (minutes != 1)}"
                raise ExportTimeoutError(msg, is_running=response.kind is ResponseKind.RUNNING)
            interval = min(next(intervals), policy.timeout - waited)
            logger.debug(
                "Export %s: stream=%s elapsed=%.0fs next_poll=%.1fs",
                *(response.kind.value, slot.stream, waited, interval),
            )
            slot.pause(interval)
            waited += interval


_ADVICE: t.Final = {
    ResponseKind.REJECTED: " Check api_url and school_code, or deselect the stream.",
    ResponseKind.REDIRECTED: " Check api_url.",
} | dict.fromkeys(RESUBMITTED, " Run again later, or set export_window_days for shorter windows.")


class _Range(t.NamedTuple):
    """A range that is still to be exported."""

    window: Window
    left: int  # resubmissions
    may_abandon: bool = True  # an export that is too slow, and export the halves


@dataclass(frozen=True)
class WindowExporter:
    """Runs the exports of one stream; used by several workers at a time.

    A window longer than `max_days` is exported in parts, one after the other: a row that is updated
    meanwhile moves to a part that is still to come.
    """

    endpoint: Endpoint
    client: HttpClient
    max_days: int | None = None

    def run(self, slot: Slot) -> Generator[Page, None, None]:
        """Run the export of a job's window, and others in its place if it fails.

        After a failure, rows that have arrived come again.

        Raises:
            CampusGroupsError: If not all rows of the window arrived.
        """
        resubmissions = self.client.retry.resubmissions
        for part in slot.window.split(self.max_days):
            todo, history = [_Range(part, resubmissions)], RangeHistory()
            while todo:
                current = todo.pop(0)
                try:
                    yield from run_export(current.window, self.endpoint, self.client, slot, history)
                except ExportTimeoutError as error:
                    todo[:0] = self._halve(current, error, slot)
                except (ExportEnded, ServiceUnavailableError) as error:
                    todo[:0] = self._resubmit(current, error, slot, history)

    def _halve(self, current: _Range, error: ExportTimeoutError, slot: Slot) -> list[_Range]:
        """Return the halves of a range whose export runs for too long; it is left running."""
        window = current.window
        halves = window.bisect() if error.is_running and current.may_abandon else [window]
        if len(halves) == 1 or not slot.abandon():
            msg = (
                f"Stream '{slot.stream}': the export of {window} did not finish: {error}. Raise "
                "export_timeout_minutes, or set export_window_days for shorter windows."
            )
            raise ExportTimeoutError(msg, is_running=error.is_running) from error
        self.client.logger.warning(
            "Export too slow: stream=%s window=%s reason=%s; submitting its halves. "
            "It counts against max_concurrent_exports for the rest of the run.",
            *(slot.stream, window, error),
        )
        return [_Range(half, current.left, may_abandon=False) for half in halves]

    def _resubmit(
        self,
        current: _Range,
        error: ExportEnded | ServiceUnavailableError,
        slot: Slot,
        history: RangeHistory,
    ) -> list[_Range]:
        """Return the range of a failed export in one or two parts, after a pause."""
        window, left, retry = current.window, current.left, self.client.retry
        delay = retry.resubmission_delay(left - 1)
        if isinstance(error, ServiceUnavailableError):
            # A POST that failed at all attempts may not have arrived at all.
            if slot.query_id is None or not left:
                raise error
            delay = max(delay, history.retry_after)
            history.fault_seconds += delay
            if (
                isinstance(error, ConnectionSetupError)
                or history.fault_seconds >= self.client.fault_limit
            ):
                raise error
        elif not (left and error.kind in RESUBMITTED):
            msg = f"Stream '{slot.stream}': the export of {window} failed: {error}."
            raise ExportFailedError(msg + _ADVICE.get(error.kind, "")) from error
        slot.release()
        parts = [_Range(part, left - 1, current.may_abandon) for part in window.bisect()]
        self.client.logger.warning(
            "Export failed: stream=%s window=%s reason=%s; resubmitting %s in %.0f s",
            *(slot.stream, window, str(error).rstrip(".")),
            *("its halves" if len(parts) > 1 else "it", delay),
        )
        slot.pause(delay)
        return parts
