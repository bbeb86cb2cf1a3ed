"""One run over all selected streams: what waits together, what happens when one fails."""

from __future__ import annotations

import time
import typing as t
from http import HTTPStatus

from tap_campusgroups.client import CampusGroupsStream, schedule_exports
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
from tap_campusgroups.summary import StreamSummary, utc_now, write_summary

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from tap_campusgroups.exports.scheduler import Scheduler


class SyncRun:
    """What the streams of a tap are synced in together; a context for one sync of all.

    Whatever ends the sync, the workers are joined.

    Attributes:
        is_on: Whether it has begun and not ended.
        monitor: What it has learned of the service.
    """

    monitor: ServiceMonitor

    def __init__(
        self,
        streams: Callable[[], Sequence[CampusGroupsStream]],
        started: Callable[[], datetime],
        logger: logging.Logger,
    ) -> None:
        """Begin before the first stream.

        Args:
            streams: Gives the selected streams, in the order of their sync; asked when the first
                one is synced.
            started: Gives the upper bound of all exports, aware.
            logger: The tap's.
        """
        self._logger = logger
        self._started = started
        self.is_on = False
        self._find_streams = streams
        self._streams: Sequence[CampusGroupsStream] = ()
        self._scheduler: Scheduler | None = None
        self._began = 0.0
        self._failures: dict[str, CampusGroupsError] = {}

    def __enter__(self) -> Self:
        """Begin."""
        self._began = time.monotonic()
        self._failures = {}
        self.monitor = ServiceMonitor(self._started(), self._logger)
        self.is_on = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Join the workers, sum up, and raise what failed on the way.

        Raises:
            CampusGroupsError: What ended the run from inside a stream; or the failure of streams
                after which the others went on.
        """
        self.is_on = False
        self._close()
        self._summarise()
        if isinstance(error, RunAborted):
            raise error.reason from None
        if error is None and self._failures:
            raise self._failure()

    def _failure(self) -> CampusGroupsError:
        if len(self._failures) == 1:
            return next(iter(self._failures.values()))
        msg = (
            f"{len(self._failures)} of {len(self._streams)} streams failed: "
            f"{', '.join(self._failures)}. The lines above say why; the state has what came "
            "before. Run again."
        )
        return StreamsFailedError(msg)

    def schedule(self, stream: CampusGroupsStream) -> Scheduler:
        """Let a stream's exports run together with those of the streams after it.

        The stream that is synced first makes the schedule; the others find their tasks in it.

        Args:
            stream: The stream whose turn it is.
        """
        task = stream.parts[0].task if stream.parts else None
        if self._scheduler is None or task is None or not self._scheduler.expects(task):
            self._close()
            self._streams = list(self._find_streams())
            self._scheduler = schedule_exports(self._streams[self._streams.index(stream) :])
            self._warn_of_start_date()
        return self._scheduler

    def _warn_of_start_date(self) -> None:
        if moved := [one.name for one in self._streams if one.start_date_moved_back]:
            self._logger.warning(
                "start_date is earlier than in the first run of %s, which reads from its bookmark "
                "all the same. For the older rows, run once with a state of its own.",
                ", ".join(moved),
            )

    def should_continue_after(self, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        """Decide what a failure means for the others, and take note of it.

        Args:
            stream: The stream that did not come to its end.
            error: Why.

        Returns:
            Whether the others go on.
        """
        if isinstance(error, ExportsStoppedError | OutputError):
            return False
        self._failures[stream.name] = error
        if not self._is_about_one_stream(stream, error):
            return False
        self._logger.warning("%s The other streams go on.", error)
        if self._scheduler is not None:
            self._scheduler.drop([part.task for part in stream.parts])
        return True

    def _is_about_one_stream(self, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        if stream.settings.on_stream_error is OnStreamError.ABORT:
            return False
        if self.monitor.has_accepted_job:
            return True
        if isinstance(error, AccessDeniedError) and error.status == HTTPStatus.UNAUTHORIZED:
            return False
        # A 403, or a service that cannot be reached, may be about one stream; not about the second.
        kinds = (AccessDeniedError, ServiceUnavailableError)
        alike = sum(isinstance(failure, kinds) for failure in self._failures.values())
        return not isinstance(error, kinds) or alike == 1

    def _close(self) -> None:
        if self._scheduler is not None:
            self._scheduler.close()

    def _summarise(self) -> None:
        if self._scheduler is None or not self.monitor.has_accepted_job:
            return  # not even the first export was accepted: the error says it all
        now = utc_now()
        write_summary(
            self._logger,
            [StreamSummary.of(one, self._failures.get(one.name), now=now) for one in self._streams],
            seconds=time.monotonic() - self._began,
            unknown_fields=self._streams[0].settings.unknown_fields,
        )
