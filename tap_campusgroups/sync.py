"""A sync of selected streams: one scheduler, what a failure means, the summary."""

from __future__ import annotations

import time
import typing as t
from http import HTTPStatus

from tap_campusgroups import exceptions
from tap_campusgroups.exports.export import PollPolicy, WindowExporter
from tap_campusgroups.exports.http_client import Endpoint, HttpClient
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.scheduler import Scheduler, StreamExports
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tap_campusgroups.run_report import current
from tap_campusgroups.streams import PATH_ALIASES
from tap_campusgroups.summary import log_summary, stream_figures

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.config import Settings
    from tap_campusgroups.exceptions import CampusGroupsError
    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.window import Window


class SyncRun:
    """One sync of several streams.

    Attributes:
        monitor: What the run learns about the service.
        exports: The exports of each stream by its name.
    """

    def __init__(
        self,
        streams: Sequence[CampusGroupsStream],
        settings: Settings,
        started: datetime,
        logger: logging.Logger,
        *,
        retry: RetryPolicy | None = None,
        window: Window | None = None,
    ) -> None:
        """Plan the exports of all streams; `window` replaces the range of each stream."""
        self.monitor = ServiceMonitor(started, logger)
        self._settings = settings
        self._logger = logger
        self._streams = streams
        self._began = time.monotonic()
        self._failures: dict[str, CampusGroupsError] = {}
        self._client = HttpClient(
            settings.request_timeout,
            PollPolicy(settings.poll_interval_max, settings.export_timeout),
            retry or RetryPolicy.for_timeout(settings.request_timeout),
            self.monitor,
            logger,
        )
        self.exports = {one.name: self._plan(one, window or one.window()) for one in streams}
        self._scheduler = Scheduler(
            self.exports.values(),
            max_concurrent=settings.max_concurrent_exports,
            monitor=self.monitor,
            logger=logger,
        )
        if (report := current()) is not None:
            report.contents = self._report
        if moved := [stream.name for stream in streams if stream.start_date_moved_back]:
            logger.warning(
                "start_date is earlier than on the first run of %s; they still start at their "
                "bookmark. To load the older rows, run once with a new state ID.",
                ", ".join(moved),
            )

    def _plan(self, stream: CampusGroupsStream, window: Window) -> StreamExports:
        """Plan the exports of a stream: one job per window of at most `export_window_days`."""
        if window.is_empty:
            self._logger.debug("Nothing to export: stream=%s window=%s", stream.name, window)
        endpoint = Endpoint(
            url=self._settings.api_url,
            path=f"/{stream.name}",
            path_alias=PATH_ALIASES.get(stream.name),
            page_size=self._settings.page_size,
            school_code=self._settings.school_code,
            user_agent=self._settings.user_agent,
            api_secret=self._settings.api_secret,
        )
        exporter = WindowExporter(endpoint, self._client, self._settings.export_window)
        # The parts of a full read must be exported one after the other: one job.
        days = self._settings.export_window if stream.is_incremental else None
        return StreamExports(stream.name, window.split(days), window.count(days), exporter.run)

    def _report(self) -> dict[str, t.Any]:
        """Return the run report's part about the streams."""
        figures = stream_figures(self._streams, self.exports, self._failures)
        return {
            "rows": sum(one["rows"] for one in figures),
            "failed": list(self._failures),
            "streams": figures,
            "bookmarks": {
                stream.name: stream.tap_state.get("bookmarks", {}).get(stream.name, {})
                for stream in self._streams
            },
        }

    def close(self) -> None:
        """End the workers."""
        self._scheduler.close()

    def log_summary(self) -> None:
        """Log the summary."""
        # If the only failure is that of the first request, its error says it all.
        if self.monitor.has_accepted_job or len(self._failures) != 1:
            log_summary(
                self._logger, self._streams, self.exports, self._failures, seconds=self.seconds
            )

    def failure(self) -> CampusGroupsError | None:
        """Return the error for the streams that failed, if any did."""
        if len(self._failures) <= 1:
            return next(iter(self._failures.values()), None)
        return exceptions.StreamsFailedError(
            f"{len(self._failures)} of {len(self._streams)} streams failed: "
            f"{', '.join(self._failures)}. See the summary above for the reasons. The next run "
            "resumes from the last saved state."
        )

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._began

    def windows(self, stream: CampusGroupsStream) -> Iterator[tuple[Window, Iterator[Page]]]:
        """Yield the windows of a stream, each with its pages."""
        return self._scheduler.windows(self.exports[stream.name])

    def fail(self, stream: CampusGroupsStream, error: CampusGroupsError) -> None:
        """Record a stream's failure; raise `RunAborted` unless the next stream can continue."""
        if isinstance(error, exceptions.ExportsStoppedError | exceptions.OutputError):
            raise exceptions.RunAborted(error)
        self._failures[stream.name] = error
        if not self._is_about_one_stream(error):
            raise exceptions.RunAborted(error)
        self._logger.warning("%s Continuing with the remaining streams.", error)
        self._scheduler.drop(self.exports[stream.name])

    def _is_about_one_stream(self, error: CampusGroupsError) -> bool:
        if not self._settings.continues_after_failure:
            return False
        if self.monitor.has_accepted_job:
            return True
        is_unauthorized = getattr(error, "status", None) == HTTPStatus.UNAUTHORIZED
        if is_unauthorized or isinstance(error, exceptions.ConnectionSetupError):
            return False
        # A 403 or an unavailable service may concern one stream, but hardly two.
        kinds = (exceptions.AccessDeniedError, exceptions.ServiceUnavailableError)
        similar = sum(isinstance(failure, kinds) for failure in self._failures.values())
        return not isinstance(error, kinds) or similar == 1
