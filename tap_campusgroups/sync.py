"""A sync of all selected streams: one scheduler, what a failure means, the summary."""

from __future__ import annotations

import time
import typing as t
from http import HTTPStatus

from tap_campusgroups.config import OnStreamError
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportsStoppedError,
    OutputError,
    RunAborted,
    ServiceUnavailableError,
    StreamsFailedError,
)
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tap_campusgroups.summary import log_summary

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from tap_campusgroups.client import CampusGroupsStream


class SyncRun:
    """Context of one sync of several streams; the workers have ended after it."""

    def __init__(self, streams: Sequence[CampusGroupsStream], logger: logging.Logger) -> None:
        self._logger = logger
        self._streams = streams
        self._began = time.monotonic()
        self._failures: dict[str, CampusGroupsError] = {}
        self._monitor = ServiceMonitor(streams[0].started, logger)
        jobs = [job for stream in streams for job in stream.plan(self._monitor)]
        self._scheduler = streams[0].schedule(jobs, self._monitor)

    def __enter__(self) -> Self:
        """Connect the streams to the scheduler."""
        for stream in self._streams:
            stream.scheduler = self._scheduler
            stream.should_continue_after = self.should_continue_after
        if moved := [stream.name for stream in self._streams if stream.start_date_moved_back]:
            self._logger.warning(
                "start_date is earlier than on the first run of %s; they still start at their "
                "bookmark. To load the older rows, run once with a new state ID.",
                ", ".join(moved),
            )
        if cut := [stream.name for stream in self._streams if stream.start_date_cuts_lookback]:
            self._logger.warning(
                "start_date is later than the start of the lookback of %s; older rows that arrived "
                "late are not read. Set it back, or unset it.",
                ", ".join(cut),
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the workers, log the summary, and raise what ended the run or failed in streams."""
        self._scheduler.close()
        for stream in self._streams:
            stream.scheduler = stream.should_continue_after = None
        if self._monitor.has_accepted_job:  # otherwise the error says it all
            seconds = time.monotonic() - self._began
            log_summary(self._logger, self._streams, self._failures, seconds=seconds)
        if isinstance(error, RunAborted):
            raise error.reason from None
        if error is not None or not self._failures:
            return
        if len(self._failures) == 1:
            raise next(iter(self._failures.values()))
        msg = (
            f"{len(self._failures)} of {len(self._streams)} streams failed: "
            f"{', '.join(self._failures)}. See the summary above for the reasons. The next run "
            "resumes from the last saved state."
        )
        raise StreamsFailedError(msg)

    def should_continue_after(self, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        """Record a stream's failure and return whether to continue with the next stream."""
        if isinstance(error, ExportsStoppedError | OutputError):
            return False
        self._failures[stream.name] = error
        if not self._is_about_one_stream(stream, error):
            return False
        self._logger.warning("%s Continuing with the remaining streams.", error)
        self._scheduler.drop(stream.jobs)
        return True

    def _is_about_one_stream(self, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        if stream.settings.on_stream_error is OnStreamError.ABORT:
            return False
        if self._monitor.has_accepted_job:
            return True
        if isinstance(error, AccessDeniedError) and error.status == HTTPStatus.UNAUTHORIZED:
            return False
        # A 403 or an unavailable service may concern one stream, but hardly two.
        kinds = (AccessDeniedError, ServiceUnavailableError)
        similar = sum(isinstance(failure, kinds) for failure in self._failures.values())
        return not isinstance(error, kinds) or similar == 1
