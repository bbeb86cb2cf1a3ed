"""The exports of one window: the first, and others in its place if it fails or is too slow."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from tap_campusgroups.exceptions import (
    ConnectionSetupError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.export import run_export
from tap_campusgroups.exports.pagination import ExportEnded
from tap_campusgroups.exports.response import RESUBMITTED, ResponseKind
from tap_campusgroups.exports.retry import RangeHistory

if t.TYPE_CHECKING:
    from collections.abc import Generator

    from tap_campusgroups.exports.endpoint import Endpoint
    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.http_client import HttpClient
    from tap_campusgroups.exports.scheduler import Slot
    from tap_campusgroups.exports.window import Window

_ADVICE: t.Final = {
    ResponseKind.REJECTED: " Check api_url and school_code, or deselect the stream.",
    ResponseKind.REDIRECTED: " Check api_url.",
} | dict.fromkeys(RESUBMITTED, " Run again later, or set export_window_days for shorter windows.")


class _Range(t.NamedTuple):
    """A range that is still to be exported.

    Attributes:
        left: Remaining resubmissions.
        may_abandon: Whether an export that is too slow may be left running.
    """

    window: Window
    left: int
    may_abandon: bool = True


@dataclass(frozen=True)
class WindowExporter:
    """Runs the exports of one stream; used by several workers at a time.

    Attributes:
        max_days: Maximum range of one export, in days. A longer window is exported in parts, one
            after the other: a row that is updated meanwhile moves to a part that is still to come.
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
