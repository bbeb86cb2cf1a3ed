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
        new_counter: Creates the SDK's metric of the requests of one job.
        max_days: Maximum range of one export, in days. A longer job is exported in parts, one after
            the other: a row that is updated meanwhile moves to a part that is still to come.
    """

    sender: RequestSender
    new_counter: Callable[[], Counter]
    max_days: int | None = None

    def run(self, scheduler: Scheduler, job: ExportJob) -> Generator[Page, None, None]:
        """Run the export of a job's window, and others in its place if it fails.

        After a failure, rows that have arrived come again.

        Raises:
            CampusGroupsError: If not all rows of the window arrived.
        """
        retry, logger = self.sender.limits.retry, self.sender.logger
        # Windows to export, each with its remaining resubmissions, and whether it may be abandoned.
        todo = [(part, retry.resubmissions, True) for part in job.window.split(self.max_days)]
        with self.new_counter() as counter:
            while todo:
                window, left, may_abandon = todo.pop(0)
                paginator = ExportPaginator(window)
                try:
                    yield from self._export(paginator, window, scheduler, job, counter)
                except ExportTimeoutError as error:
                    halves = window.bisect() if error.is_running and may_abandon else [window]
                    if len(halves) == 1 or not scheduler.abandon_running(job):
                        msg = (
                            f"Stream '{job.stream}': the export of {window} did not finish: "
                            f"{error}. Raise export_timeout_minutes, or set export_window_days for "
                            "shorter windows."
                        )
                        raise ExportTimeoutError(msg, is_running=error.is_running) from error
                    logger.warning(
                        "Export too slow: stream=%s window=%s reason=%s; submitting its halves. "
                        "It counts against max_concurrent_exports for the rest of the run.",
                        *(job.stream, window, error),
                    )
                    parts = [(half, left, False) for half in halves]
                except (ExportEnded, ServiceUnavailableError) as error:
                    is_unavailable = isinstance(error, ServiceUnavailableError)
                    # A POST that failed at all attempts may not have arrived at all.
                    if is_unavailable and paginator.is_submitting:
                        raise
                    scheduler.release_slot(job)
                    if is_unavailable and not left:
                        raise
                    if isinstance(error, ExportEnded) and not (left and error.kind in RESUBMITTED):
                        msg = f"Stream '{job.stream}': the export of {window} failed: {error}."
                        raise ExportFailedError(msg + _ADVICE.get(error.kind, "")) from error
                    parts = [(part, left - 1, may_abandon) for part in window.bisect()]
                    delay = retry.resubmission_delay(left - 1)
                    logger.warning(
                        "Export failed: stream=%s window=%s reason=%s; resubmitting %s in %.0f s",
                        *(job.stream, window, str(error).rstrip(".")),
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
        monitor, logger = self.sender.monitor, self.sender.logger

        def send(paginator: ExportPaginator) -> requests.Response:
            counter.increment()
            response = self.sender.send(paginator.current_value, scheduler, job)
            parsed = parse_response(response)
            monitor.observe_keys(job.stream, parsed.unknown_keys)
            if parsed.query_id is not None:
                if not scheduler.accept(job, parsed.query_id):
                    raise ExportEnded(ResponseKind.QUERY_ID_REPEATED, response)
                submitted = (job.stream, window, parsed.query_id)
                logger.info("Export submitted: stream=%s window=%s query_id=%s", *submitted)
            return response

        def log_wait(kind: ResponseKind, waited: float, interval: float) -> None:
            level = logging.INFO if waited == 0 else logging.DEBUG
            text = "Export %s: stream=%s elapsed=%.0fs next_poll=%.1fs"
            logger.log(level, text, kind.value, job.stream, waited, interval)

        scheduler.acquire_slot(job)
        poll, sleep = self.sender.limits.poll, scheduler.pause
        yield from run_export(paginator, send, poll, log_wait, clock=time.monotonic, sleep=sleep)
