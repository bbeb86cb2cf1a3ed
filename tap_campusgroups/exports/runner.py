"""Runs the export of a window in a worker, and submits its range again if it fails."""

from __future__ import annotations

import logging
import time
import typing as t
from dataclasses import dataclass

from tap_campusgroups.exceptions import (
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.export import run_export
from tap_campusgroups.exports.pagination import ExportEnded, ExportPaginator
from tap_campusgroups.exports.response import RESUBMITTED, ResponseKind, parse_response

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import requests
    from singer_sdk.metrics import Counter

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.scheduler import ExportJob, Scheduler
    from tap_campusgroups.exports.sender import RequestSender
    from tap_campusgroups.exports.window import Window

_ADVICE: t.Final = {
    ResponseKind.REJECTED: " Check api_url and school_code, or deselect the stream.",
    ResponseKind.REDIRECTED: " Check api_url.",
} | dict.fromkeys(RESUBMITTED, " Run again later, or set export_window_days for shorter windows.")


@dataclass(eq=False)
class ExportRunner:
    """Runs the exports of one stream; used by several workers at a time.

    It takes the place of the SDK's request loop, which cannot wait between two polls.

    Attributes:
        sender: Sends the stream's requests; has its name, limits, monitor and logger.
        new_counter: Creates the SDK's metric of the requests of one job.
    """

    sender: RequestSender
    new_counter: Callable[[], Counter]

    def __post_init__(self) -> None:
        """Take what is used everywhere from the sender."""
        self._stream, self._limits = self.sender.stream, self.sender.limits
        self._monitor, self._logger = self.sender.monitor, self.sender.logger

    def run(self, scheduler: Scheduler, job: ExportJob) -> Generator[Page, None, None]:
        """Run the export of a job's window, and others in its place if it fails.

        After a failure, rows that have arrived come again.

        Yields:
            The pages in the service's order.

        Raises:
            CampusGroupsError: If not all rows of the window arrived.
        """
        # Windows to export, each with its remaining resubmissions, and whether it may be abandoned.
        todo = [(job.window, self._limits.retry.resubmissions, True)]
        with self.new_counter() as counter:
            while todo:
                window, left, may_abandon = todo.pop(0)
                paginator = ExportPaginator(window)
                try:
                    yield from self._export(paginator, window, scheduler, job, counter)
                except ExportTimeoutError as error:
                    halves = window.bisect() if error.is_running and may_abandon else [window]
                    if len(halves) == 1 or not scheduler.abandon_running(job):
                        raise self._timeout(window, error) from error
                    self._logger.warning(
                        "Export too slow: stream=%s window=%s reason=%s; submitting its halves. "
                        "It counts against max_concurrent_exports for the rest of the run.",
                        *(self._stream, window, error),
                    )
                    parts = [(half, left, False) for half in halves]
                except (ExportEnded, ServiceUnavailableError) as error:
                    # A POST that failed at all attempts may not have arrived at all.
                    if isinstance(error, ServiceUnavailableError) and paginator.is_submitting:
                        raise
                    scheduler.release_slot(job)
                    if isinstance(error, ServiceUnavailableError) and not left:
                        raise
                    if isinstance(error, ExportEnded) and not (left and error.kind in RESUBMITTED):
                        raise self._failure(window, error) from error
                    parts = [(part, left - 1, may_abandon) for part in window.bisect()]
                    delay = self._limits.retry.resubmission_delay(left - 1)
                    self._logger.warning(
                        "Export failed: stream=%s window=%s reason=%s; resubmitting %s in %.0f s",
                        *(self._stream, window, str(error).rstrip(".")),
                        *("its halves" if len(parts) > 1 else "it", delay),
                    )
                    scheduler.pause(delay)
                else:
                    continue
                todo[:0] = parts
                job.counts["resubmissions"] += len(parts)

    def _export(
        self,
        paginator: ExportPaginator,
        window: Window,
        scheduler: Scheduler,
        job: ExportJob,
        counter: Counter,
    ) -> Generator[Page, None, None]:
        """Run one export."""

        def send(paginator: ExportPaginator) -> requests.Response:
            counter.increment()
            response = self.sender.send(paginator.current_value, scheduler, job)
            parsed = parse_response(response)
            self._monitor.observe_keys(self._stream, parsed.unknown_keys)
            if parsed.query_id is not None:
                if not scheduler.accept(job, parsed.query_id):
                    raise ExportEnded(ResponseKind.QUERY_ID_REPEATED, response)
                self._logger.info(
                    "Export submitted: stream=%s window=%s query_id=%s",
                    *(self._stream, window, parsed.query_id),
                )
            return response

        scheduler.acquire_slot(job)
        yield from run_export(
            paginator,
            send,
            self._limits.poll,
            self._log_wait,
            clock=time.monotonic,
            sleep=scheduler.pause,
        )

    def _log_wait(self, kind: ResponseKind, waited: float, interval: float) -> None:
        self._logger.log(
            logging.INFO if waited == 0 else logging.DEBUG,
            "Export %s: stream=%s elapsed=%.0fs next_poll=%.1fs",
            *(kind.value, self._stream, waited, interval),
        )

    def _timeout(self, window: Window, error: ExportTimeoutError) -> ExportTimeoutError:
        msg = (
            f"Stream '{self._stream}': the export of {window} did not finish: {error}. Raise "
            "export_timeout_minutes, or set export_window_days for shorter windows."
        )
        return ExportTimeoutError(msg, is_running=error.is_running)

    def _failure(self, window: Window, error: ExportEnded) -> ExportFailedError:
        msg = f"Stream '{self._stream}': the export of {window} failed: {error}."
        return ExportFailedError(msg + _ADVICE.get(error.kind, ""))
