"""A sync of selected streams: one scheduler, what a failure means, the summary."""

from __future__ import annotations

import time
import typing as t
from contextlib import contextmanager
from functools import cached_property
from http import HTTPStatus

from tap_campusgroups.config import Settings
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ConnectionSetupError,
    ExportsStoppedError,
    OutputError,
    RunAborted,
    ServiceUnavailableError,
    StreamsFailedError,
)
from tap_campusgroups.exports.endpoint import Endpoint
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.http_client import HttpClient
from tap_campusgroups.exports.resubmission import WindowExporter
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.scheduler import Scheduler, StreamExports
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tap_campusgroups.run_report import current
from tap_campusgroups.summary import log_summary, stream_figures

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.window import Window
    from tap_campusgroups.streams import StreamDefinition


class RunContext:
    """What the streams of a tap share: the settings, the start time, the current run.

    Attributes:
        started: When the tap was created, aware, UTC: the upper bound of all exports.
    """

    def __init__(
        self, config: Mapping[str, t.Any], started: datetime, logger: logging.Logger
    ) -> None:
        self.started = started
        self._config = config
        self._logger = logger
        self._run: SyncRun | None = None

    @cached_property
    def settings(self) -> Settings:
        """The validated settings; raises `SettingsError` if they are invalid."""
        return Settings.from_config(self._config)

    @contextmanager
    def run(self, streams: Sequence[CampusGroupsStream]) -> Iterator[SyncRun]:
        """Run several streams; inside, return the same run for any of them.

        At the end, the workers have ended, and what ended the run or failed in streams is raised.
        """
        if self._run is not None:
            yield self._run
            return
        error: CampusGroupsError | None = None
        self._run = run = SyncRun(streams, self.settings, self.started, self._logger)
        try:
            yield run
            error = run.failure()
        except RunAborted as aborted:
            error = aborted.reason
        finally:
            self._run = None
            run.close()
        if error is not None:
            raise error


class SyncRun:
    """One sync of several streams.

    Attributes:
        monitor: What the run learns about the service.
    """

    def __init__(
        self,
        streams: Sequence[CampusGroupsStream],
        settings: Settings,
        started: datetime,
        logger: logging.Logger,
    ) -> None:
        self.monitor = ServiceMonitor(started, logger)
        self._settings = settings
        self._logger = logger
        self._streams = streams
        self._began = time.monotonic()
        self._failures: dict[str, CampusGroupsError] = {}
        client = HttpClient(
            settings.request_timeout,
            PollPolicy(settings.poll_interval_max, settings.export_timeout),
            RetryPolicy.for_timeout(settings.request_timeout),
            self.monitor,
            logger,
        )
        days = settings.export_window
        self._exports = {
            stream.name: stream_exports(
                stream.definition,
                stream.window(),
                settings,
                client,
                # The parts of a full read must be exported one after the other: one job.
                days=days if stream.is_incremental else None,
            )
            for stream in streams
        }
        self._scheduler = Scheduler(
            self._exports.values(),
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

    def _report(self) -> dict[str, t.Any]:
        """Return the run report's part about the streams."""
        figures = stream_figures(self._streams, self._exports, self._failures)
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
        """End the workers and log the summary."""
        self._scheduler.close()
        if self.monitor.has_accepted_job:  # otherwise the error says it all
            log_summary(
                self._logger,
                self._streams,
                self._exports,
                self._failures,
                seconds=self.seconds,
                unknown_fields=self._settings.unknown_fields,
            )

    def failure(self) -> CampusGroupsError | None:
        """Return the error for the streams that failed, if any did."""
        if len(self._failures) <= 1:
            return next(iter(self._failures.values()), None)
        return StreamsFailedError(
            f"{len(self._failures)} of {len(self._streams)} streams failed: "
            f"{', '.join(self._failures)}. See the summary above for the reasons. The next run "
            "resumes from the last saved state."
        )

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run."""
        return time.monotonic() - self._began

    def exports(self, stream: CampusGroupsStream) -> StreamExports:
        """Return the exports of a stream."""
        return self._exports[stream.name]

    def windows(self, stream: CampusGroupsStream) -> Iterator[tuple[Window, Iterator[Page]]]:
        """Yield the windows of a stream, each with its pages."""
        return self._scheduler.windows(self._exports[stream.name])

    def fail(self, stream: CampusGroupsStream, error: CampusGroupsError) -> None:
        """Record a stream's failure; raise `RunAborted` unless the next stream can continue."""
        if isinstance(error, ExportsStoppedError | OutputError):
            raise RunAborted(error)
        self._failures[stream.name] = error
        if not self._is_about_one_stream(error):
            raise RunAborted(error)
        self._logger.warning("%s Continuing with the remaining streams.", error)
        self._scheduler.drop(self._exports[stream.name])

    def _is_about_one_stream(self, error: CampusGroupsError) -> bool:
        if not self._settings.continues_after_failure:
            return False
        if self.monitor.has_accepted_job:
            return True
        if isinstance(error, ConnectionSetupError):
            return False
        if isinstance(error, AccessDeniedError) and error.status == HTTPStatus.UNAUTHORIZED:
            return False
        # A 403 or an unavailable service may concern one stream, but hardly two.
        kinds = (AccessDeniedError, ServiceUnavailableError)
        similar = sum(isinstance(failure, kinds) for failure in self._failures.values())
        return not isinstance(error, kinds) or similar == 1


def stream_exports(
    definition: StreamDefinition,
    window: Window,
    settings: Settings,
    client: HttpClient,
    *,
    days: int | None,
) -> StreamExports:
    """Plan the exports of a stream: one job per window of at most some days."""
    endpoint = Endpoint(
        url=settings.api_url,
        path=definition.path,
        path_alias=definition.path_alias,
        page_size=settings.page_size,
        school_code=settings.school_code,
        user_agent=settings.user_agent,
        api_secret=settings.api_secret,
    )
    exporter = WindowExporter(endpoint, client, settings.export_window)
    windows, planned = window.split(days), window.count(days)
    return StreamExports(definition.name, windows, planned, exporter.run)
