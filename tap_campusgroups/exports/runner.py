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

    Attributes:
        sender: Sends the stream's requests; has its name, limits, monitor and logger.
        new_counter: Creates the SDK's metric of the requests of one job.
    """

    sender: RequestSender
    new_counter: Callable[[], Counter]

    def run(
        self, window: Window, scheduler: Scheduler, job: ExportJob
    ) -> Generator[Page, None, None]:
        """Run the export of a window; called in a worker.

        It takes the place of the SDK's request loop, which cannot wait between two polls.

        Yields:
            The pages in the service's order.

        Raises:
            CampusGroupsError: If not all rows of the window arrived.
        """
        with self.new_counter() as counter:
            yield from self._run(
                window,
                scheduler,
                job,
                counter,
                resubmissions=self.sender.limits.retry.resubmissions,
            )

    def _run(  # noqa: PLR0913 - the last two are the state of the recursion
        self,
        window: Window,
        scheduler: Scheduler,
        job: ExportJob,
        counter: Counter,
        *,
        resubmissions: int,
        may_abandon: bool = True,
    ) -> Generator[Page, None, None]:
        """Run an export, and others in its place if it fails; its rows may then come twice.

        Args:
            window: The range of `updatedOn`.
            scheduler: Grants slots and pauses.
            job: The job of the window.
            counter: Counts requests.
            resubmissions: How often the range may be submitted again.
            may_abandon: Whether an export that is too slow may be replaced by its halves.
        """
        scheduler.acquire_slot(job)
        paginator = ExportPaginator(window)

        def send(paginator: ExportPaginator) -> requests.Response:
            counter.increment()
            response = self.sender.send(paginator.current_value, scheduler, job)
            parsed = parse_response(response)
            self.sender.monitor.observe_keys(self.sender.stream, parsed.unknown_keys)
            if parsed.query_id is not None:
                if not scheduler.accept(job, parsed.query_id):
                    raise ExportEnded(ResponseKind.QUERY_ID_REPEATED, response)
                self.sender.logger.info(
                    "Export submitted: stream=%s window=%s query_id=%s",
                    *(self.sender.stream, window, parsed.query_id),
                )
            return response

        try:
            yield from run_export(
                paginator,
                send,
                self.sender.limits.poll,
                self._log_wait,
                clock=time.monotonic,
                sleep=scheduler.pause,
            )
        except ExportTimeoutError as error:
            windows = self._replace_slow(window, error, scheduler, job, may_abandon=may_abandon)
            may_abandon = False
        except (ExportEnded, ServiceUnavailableError) as error:
            # A POST that failed at all attempts may not have arrived: not the export's failure.
            if isinstance(error, ServiceUnavailableError) and paginator.is_submitting:
                raise
            windows = self._replace_failed(window, error, scheduler, job, left=resubmissions)
            resubmissions -= 1
        else:
            return
        job.counts["resubmissions"] += len(windows)
        for part in windows:
            yield from self._run(
                part,
                scheduler,
                job,
                counter,
                resubmissions=resubmissions,
                may_abandon=may_abandon,
            )

    def _replace_slow(
        self,
        window: Window,
        error: ExportTimeoutError,
        scheduler: Scheduler,
        job: ExportJob,
        *,
        may_abandon: bool,
    ) -> list[Window]:
        """Return the windows to submit in place of an export that is still running.

        Raises:
            ExportTimeoutError: If nothing is to be submitted: the export is still queued or was
                bisected before, its window is too short, or no other export may run beside it.
        """
        halves = window.bisect()
        is_too_large = error.is_running and may_abandon and len(halves) > 1
        if not is_too_large or not scheduler.abandon_running(job):
            msg = (
                f"Stream '{self.sender.stream}': the export of {window} did not finish: "
                f"{error}. Raise export_timeout_minutes, or set export_window_days for shorter "
                "windows."
            )
            raise ExportTimeoutError(msg, is_running=error.is_running) from error
        self.sender.logger.warning(
            "Export too slow: stream=%s window=%s reason=%s; submitting its halves instead. It "
            "counts against max_concurrent_exports for the rest of the run.",
            *(self.sender.stream, window, error),
        )
        return halves

    def _replace_failed(
        self,
        window: Window,
        error: ExportEnded | ServiceUnavailableError,
        scheduler: Scheduler,
        job: ExportJob,
        *,
        left: int,
    ) -> list[Window]:
        """Return the windows to submit in place of an export that failed, after a delay.

        Raises:
            CampusGroupsError: If nothing is to be submitted.
        """
        scheduler.release_slot(job)
        if isinstance(error, ServiceUnavailableError) and not left:
            raise error
        if isinstance(error, ExportEnded) and (error.kind not in RESUBMITTED or not left):
            msg = f"Stream '{self.sender.stream}': the export of {window} failed: {error}."
            raise ExportFailedError(msg + _ADVICE.get(error.kind, "")) from error
        windows = window.bisect()
        delay = self.sender.limits.retry.resubmission_delay(left - 1)
        self.sender.logger.warning(
            "Export failed: stream=%s window=%s reason=%s; resubmitting %s in %.0f s",
            *(self.sender.stream, window, str(error).rstrip(".")),
            *("its halves" if len(windows) > 1 else "it", delay),
        )
        scheduler.pause(delay)
        return windows

    def _log_wait(self, kind: ResponseKind, waited: float, interval: float) -> None:
        self.sender.logger.log(
            logging.INFO if waited == 0 else logging.DEBUG,
            "Export %s: stream=%s elapsed=%.0fs next_poll=%.1fs",
            *(kind.value, self.sender.stream, waited, interval),
        )
