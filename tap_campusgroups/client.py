"""The base stream: its requests, its exports, and the way from pages to RECORD and STATE."""

from __future__ import annotations

import time
import traceback
import typing as t
from contextlib import closing, nullcontext
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.exceptions import SyncLifecycleSignal
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib import ActivateVersionMessage
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import PageContext
from typing_extensions import override

from tap_campusgroups import schemas, state
from tap_campusgroups.config import EARLIEST, Settings
from tap_campusgroups.exceptions import (
    CampusGroupsError,
    FutureBookmarkError,
    RowsMissingError,
    RunAborted,
    StreamMapError,
    UnexpectedError,
)
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.pagination import Fetch, Step, Submit
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.runner import ExportRunner
from tap_campusgroups.exports.scheduler import ExportJob, Scheduler
from tap_campusgroups.exports.sender import ExportLimits, RequestSender
from tap_campusgroups.exports.service_monitor import MAX_CLOCK_DIFFERENCE, ServiceMonitor
from tap_campusgroups.exports.window import Window, format_bound
from tap_campusgroups.records.converter import Converter
from tap_campusgroups.records.json_codec import decode_rows, record_lines
from tap_campusgroups.records.page_converter import PageConverter
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.values import canonical_timestamp, format_timestamp, parse_timestamp
from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.shutdown import SHUTDOWN

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    import requests
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context, Record
    from singer_sdk.singerlib import RecordMessage
    from singer_sdk.streams.rest import HTTPRequest

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.streams import StreamDefinition

REPLICATION_KEY: t.Final = "updatedOn"
"""The field that the API's date range applies to (document, "Date Ranges and Pagination")."""

PRIMARY_KEY: t.Final = "id"
FIRST_START_KEY: t.Final = "start_date"  # in a stream's state: the setting on its first run
FULL_READ_MARGIN: t.Final = timedelta(days=1)  # a row may be updated during the read


class CampusGroupsStream(RESTStream[Step]):
    """A stream of the Data Export API, with the schema of its name.

    Attributes:
        started: When the tap was created, aware, UTC: the upper bound of all exports.
        jobs: The exports of the current run, one per window.
        scheduler: The scheduler of the current run; `None` if the stream is synced alone.
        should_continue_after: Called after a failure of a run of several streams; returns whether
            to continue with the next stream.
    """

    schema: t.ClassVar[StreamSchema] = StreamSchema(SchemaDirectory(schemas))
    primary_keys: t.ClassVar[Sequence[str]] = (PRIMARY_KEY,)
    replication_key = REPLICATION_KEY
    retry_policy = RetryPolicy()

    # `records` converts by schema; the SDK's conversion makes "false" true.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap, definition: StreamDefinition) -> None:
        super().__init__(tap, name=definition.name, path=f"/{definition.name}")
        self.path_alias = definition.path_alias
        self.jobs: list[ExportJob] = []
        self.quality = DataQualityCounters()
        self.started = datetime.fromtimestamp(tap.initialized_at / 1000, tz=UTC)
        self._created = time.monotonic()
        self.monitor = ServiceMonitor(self.started, self.logger)
        self.scheduler: Scheduler | None = None
        self.should_continue_after: (
            Callable[[CampusGroupsStream, CampusGroupsError], bool] | None
        ) = None

    @cached_property
    def settings(self) -> Settings:
        """The validated settings."""
        return Settings.from_config(self.config)

    # Requests

    @property
    @override
    def url_base(self) -> str:
        return self.settings.api_url

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "X-CG-School": self.settings.school_code}

    @cached_property
    def authenticator(self) -> Auth:
        """Adds the secret to every request (document, "Header parameters")."""
        return APIKeyAuthenticator(
            key="X-CG-API-Secret", value=self.settings.api_secret, location="header"
        )

    @cached_property
    def user_agent(self) -> str:
        """User-Agent of every request."""
        return self.settings.user_agent

    @override
    def get_http_request(self, *, page: PageContext[Step]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        match page.next_page_token:
            case Submit(window):
                request.method = "POST"
                start, end = format_bound(window.start), format_bound(window.end)
                request.params = {"updatedStart": start, "updatedEnd": end}
            case Fetch(query_id, token):
                size = self.settings.page_size
                request.params = {"queryId": query_id, "token": token, "size": size}
        return request

    def _prepare_step(self, step: Step, path: str) -> requests.PreparedRequest:
        request = self.get_http_request(page=PageContext(None, step))
        return self.build_prepared_request(
            method=request.method,
            url=request.url.removesuffix(f"/{self.name}") + path,
            params=request.encode_params(),
            headers=request.headers,
        )

    # Exports

    def export_jobs(
        self, windows: Iterable[Window], limits: ExportLimits, monitor: ServiceMonitor
    ) -> list[ExportJob]:
        """Return a job per window."""
        sender = RequestSender(
            self.name,
            path=f"/{self.name}",
            path_alias=self.path_alias,
            prepare=self._prepare_step,
            limits=limits,
            monitor=monitor,
            logger=self.logger,
        )
        runner = ExportRunner(
            sender, self.get_http_request_counter, max_days=self.settings.export_window
        )
        return [ExportJob(self.name, window, runner.run) for window in windows]

    @property
    def _state_entry(self) -> dict[str, t.Any]:
        # Not `stream_state`, which adds an entry.
        return self.tap_state.get("bookmarks", {}).get(self.name, {})

    @property
    def _bookmark(self) -> str | None:
        """The bookmark in canonical form; full-table syncs ignore it."""
        return self._state_entry.get("replication_key_value") if self._is_incremental else None

    @property
    def _start_date(self) -> str | None:
        """The setting `start_date` in canonical form, or `None` if unset."""
        is_set = self.config.get("start_date") is not None
        return format_timestamp(self.settings.start_date) if is_set else None

    @property
    def _is_incremental(self) -> bool:
        return self.replication_method == REPLICATION_INCREMENTAL

    @property
    def start_date_moved_back(self) -> bool:
        """Whether `start_date` is earlier than on the stream's first run."""
        first = parse_timestamp(self._state_entry.get(FIRST_START_KEY))
        return first is not None and self.settings.start_date < first

    @property
    def start_date_cuts_lookback(self) -> bool:
        """Whether `start_date` was moved forward, past the start of the lookback."""
        start_date, bookmark = self.settings.start_date, parse_timestamp(self._bookmark)
        first = parse_timestamp(self._state_entry.get(FIRST_START_KEY)) or EARLIEST
        if bookmark is None or start_date <= first:
            return False
        return bookmark - start_date < self.settings.lookback

    def window(self) -> Window:
        """Return the whole range of this run, up to `end_date` or the start of the run.

        A full read also covers rows that are updated during it, which would count as deleted.
        """
        settings, bookmark = self.settings, parse_timestamp(self._bookmark)
        newest = self.started if self._is_incremental else self.started + FULL_READ_MARGIN
        start = state.range_start(
            bookmark, start_date=settings.start_date, lookback=settings.lookback
        )
        return Window.between(start, min(newest, settings.end_date or newest))

    def plan(self, monitor: ServiceMonitor) -> list[ExportJob]:
        """Plan the windows of a run and return their jobs, in ascending order.

        A full read is one job, because its parts must be exported one after the other.
        """
        self.monitor, settings = monitor, self.settings
        poll = PollPolicy(settings.poll_interval_max, settings.export_timeout)
        limits = ExportLimits(settings.request_timeout, poll, self.retry_policy)
        windows = self.window().split(settings.export_window if self._is_incremental else None)
        self.jobs = self.export_jobs(windows, limits, monitor)
        return self.jobs

    def schedule(self, jobs: Sequence[ExportJob], monitor: ServiceMonitor) -> Scheduler:
        """Return a scheduler for jobs of this stream and of others, which has not started."""
        limit = self.settings.max_concurrent_exports
        return Scheduler(jobs, max_concurrent=limit, monitor=monitor, logger=self._tap.logger)

    def _windows(self) -> Generator[tuple[ExportJob, Iterator[Page]], None, None]:
        """Yield the windows of this run, each with its pages."""
        self._check_bookmark()
        if (window := self.window()).is_empty:
            self.logger.info("Nothing to export: stream=%s window=%s", self.name, window)
            return
        scheduler = self.scheduler
        if scheduler is None:
            monitor = ServiceMonitor(self.started, self.logger)
            scheduler = self.schedule(self.plan(monitor), monitor)
        with nullcontext() if self.scheduler else closing(scheduler):
            yield from ((job, scheduler.pages(job)) for job in self.jobs)

    # From pages to records

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        """Yield the rows of this run as the service sends them."""
        with closing(self._windows()) as windows:
            for job, pages in windows:
                for page in pages:
                    yield from self._decode_rows(page, job)

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        record = self._converter(row)
        if self._has_id and record.get(PRIMARY_KEY) is None:
            self.quality.rows_without_key += 1
            return None
        return record

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[Record, t.Any, t.Any]:
        # Internal to the SDK: its own loop has neither pages nor windows, and a failure in it would
        # end the other streams. tests/tap/test_sdk_contract.py pins it.
        try:
            yield from self._sync_windows(is_written=write_messages and self.selected)
        except SyncLifecycleSignal:  # ends a dry run of the SDK
            raise
        except Exception as caught:  # noqa: BLE001 - a bug in one stream must not end the others
            error = caught if isinstance(caught, CampusGroupsError) else self._unexpected(caught)
        else:
            return
        # Outside of `except`: an unexpected error may quote a row.
        if self.should_continue_after is None:
            raise error
        if not self.should_continue_after(self, error):
            raise RunAborted(error)

    def _unexpected(self, error: Exception) -> UnexpectedError:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return UnexpectedError(
            f"Stream '{self.name}': unexpected {type(error).__name__} in "
            f"{Path(place.filename).name}, line {place.lineno} ({place.name}). Please report this "
            "line."
        )

    def _sync_windows(self, *, is_written: bool) -> Generator[Record, None, None]:
        """Sync one window after the other; yield the records that are not written as pages."""
        began = time.monotonic()
        writer = self._tap.message_writer
        is_fast_path = is_written and self._can_write_pages
        with (
            self.get_record_counter() as counter,
            self.get_sync_timer(),
            closing(self._windows()) as windows,
        ):
            for job, pages in windows:
                written = job.written.copy()  # for the complete exports of the job
                for page in pages:
                    if page.is_first:
                        job.written = written.copy()  # the rows of a failed export come again
                    if is_fast_path and isinstance(writer, PageWriter):
                        counter.increment(self._write_page(page, job, writer))
                    else:
                        for record in self._sync_rows(page, job, is_written=is_written):
                            counter.increment()
                            yield record
                        if is_written and isinstance(writer, PageWriter):
                            writer.flush()
                    if page.is_last:
                        written = job.written.copy()
                self._end_window(job)
                if is_written:
                    self._tap.state_writer.write_state(self.tap_state)
        if is_written and self._version is not None and self.ABORT_AT_RECORD_COUNT is None:
            self._end_full_read(self._version)
        self.logger.info(
            "Stream completed: stream=%s records=%d elapsed=%.1fs",
            *(self.name, sum(job.emitted for job in self.jobs), time.monotonic() - began),
        )

    @cached_property
    def _can_write_pages(self) -> bool:
        """Whether the SDK would write all records as they are; in a dry run it counts them."""
        (first, *more) = self.stream_maps
        return (
            not more
            and type(first) is SameRecordTransform
            and not first.flattening_enabled
            and all(self.mask.values())
            and self.ABORT_AT_RECORD_COUNT is None
        )

    def _write_page(self, page: Page, job: ExportJob, writer: PageWriter) -> int:
        """Write the rows of a page at once (fast path); return how many were written."""
        time_extracted = datetime.now(UTC)
        converted = self._page_converter(page.results)
        lines = record_lines(
            self.name, converted.rows, time_extracted=time_extracted, version=self._version
        )
        writer.write_lines(lines)
        written = lines.count(b"\n")
        job.emitted += written
        job.written[self.name] += written
        job.newest = max(job.newest, converted.newest or "")
        job.received += len(converted.rows) + converted.rows_without_key
        self.quality.rows_without_key += converted.rows_without_key
        is_replaced = page.has_invalid_unicode or converted.has_invalid_unicode
        self.quality.pages_with_invalid_unicode += is_replaced
        return len(converted.rows)

    def _sync_rows(self, page: Page, job: ExportJob, *, is_written: bool) -> Iterator[Record]:
        """Convert the rows of a page and write them one by one, through the SDK."""
        for row in self._decode_rows(page, job):
            SHUTDOWN.check()
            if self.ABORT_AT_RECORD_COUNT is not None:  # a dry run of the SDK
                self.state_manager.is_flushed = False  # the SDK ends a dry run with STATE, too
                self._check_max_record_limit(sum(job.emitted for job in self.jobs))
            if (record := self.post_process(row)) is None:
                continue
            newest = canonical_timestamp(record.get(REPLICATION_KEY)) or ""
            if is_written:
                for message in self._record_messages(record):
                    self._tap.write_message(message)
                    job.written[message.stream] += 1
            job.emitted += 1
            job.newest = max(job.newest, newest)
            yield record

    def _decode_rows(self, page: Page, job: ExportJob) -> list[Record]:
        rows, others, is_replaced = decode_rows(page.results)
        job.received += len(rows) + others
        self.quality.rows_without_key += others
        self.quality.pages_with_invalid_unicode += page.has_invalid_unicode or is_replaced
        return rows

    def _record_messages(self, record: Record) -> list[RecordMessage]:
        """Return the messages of a record, after stream maps."""
        try:
            messages = list(self._generate_record_messages(record))
        except Exception as error:  # noqa: BLE001 - stream maps are expressions of the user
            kind = type(error).__name__
        else:
            for message in messages:
                message.version = self._version
            return messages
        # Outside of `except`: the error of a stream map may quote a value.
        msg = (
            f"Stream '{self.name}': a stream map failed for a row ({kind}). Check stream_maps and "
            "stream_map_config."
        )
        raise StreamMapError(msg)

    @cached_property
    def _converter(self) -> Converter:
        return Converter(
            self.effective_schema,
            stream=self.name,
            replication_key=REPLICATION_KEY,
            quality=self.quality,
            unknown_fields=self.settings.unknown_fields,
            deselected_fields={
                path[1] for path, is_selected in self.mask.items() if path and not is_selected
            },
        )

    @cached_property
    def _page_converter(self) -> PageConverter:
        return PageConverter(
            self.effective_schema,
            self._converter,
            replication_key=REPLICATION_KEY,
            primary_key=PRIMARY_KEY if self._has_id else None,
        )

    @cached_property
    def _has_id(self) -> bool:
        """Whether the schema has the primary key; the schema of a catalog may not."""
        return PRIMARY_KEY in self.effective_schema["properties"]

    # State

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        return None  # the window has the upper bound

    def _check_bookmark(self) -> None:
        """Refuse a bookmark that is later than the clocks allow: rows may have been skipped."""
        bookmark, started = parse_timestamp(self._bookmark), self.monitor.started
        if bookmark and bookmark > started + MAX_CLOCK_DIFFERENCE:
            msg = (
                f"Stream '{self.name}': the bookmark in the state ({self._bookmark}) is later than "
                f"the start of this run ({format_timestamp(started)}), so rows may have been "
                "skipped. Check the clock of this machine; then set the bookmark to a time at "
                "which the clock was right, or remove it to read everything again."
            )
            raise FutureBookmarkError(msg)

    def _end_window(self, job: ExportJob) -> None:
        """Check that all rows of a window were emitted, then move the bookmark."""
        job.is_complete = True
        without_key = self.quality.rows_without_key
        if job.received != job.emitted + without_key:
            msg = (
                f"Stream '{self.name}': {job.received} rows received, {job.emitted} emitted for "
                f"{job.window}. Please report this line."
            )
            raise RowsMissingError(msg)
        if without_key:
            msg = (
                f"Stream '{self.name}': {without_key} row{'s' * (without_key > 1)} of "
                f"{job.window} without a usable id skipped; all others were emitted. Report it to "
                "CampusGroups."
            )
            raise RowsMissingError(msg)
        if self._is_incremental:
            self._check_bookmark()  # again: the monitor now knows the service's clock
            started, settings = self.monitor.started, self.settings
            if self._bookmark is None and (start_date := self._start_date) is not None:
                self.stream_state[FIRST_START_KEY] = start_date
            bookmark = state.next_bookmark(
                self._bookmark,
                newest=job.newest,
                end=format_timestamp(min(job.window.end, started)),
                watermark=format_timestamp(started - settings.lookback),
            )
            self.stream_state.update(
                replication_key=REPLICATION_KEY, replication_key_value=bookmark
            )

    # Full reads

    @property
    def _last_full_read(self) -> state.FullRead | None:
        return self._state_entry.get(state.FULL_READ_KEY)

    @cached_property
    def _version(self) -> int | None:
        """The version of the records of a full read, later than that of the last one."""
        if self._is_incremental:
            return None
        last = self._last_full_read
        return max(self._tap.initialized_at // 1000, last["version"] + 1 if last else 0)

    def _end_full_read(self, version: int) -> None:
        """Activate the version of a complete full read: the target removes all other rows."""
        aliases = [
            stream_map.stream_alias
            for stream_map in self.stream_maps
            if not isinstance(stream_map, RemoveRecordTransform)
        ]
        if not aliases:
            return
        read = state.FullRead(
            rows=min(sum(job.written[alias] for job in self.jobs) for alias in aliases),
            start=self._start_date,
            version=version,
        )
        last, obstacle = self._last_full_read, self._removal_obstacle(aliases)
        problem = obstacle or state.removal_problem(read, last)
        if problem is None:
            for alias in aliases:
                self._tap.write_message(ActivateVersionMessage(stream=alias, version=version))
            self.logger.info(
                "Version activated: stream=%s version=%d rows=%d", self.name, version, read["rows"]
            )
        else:
            self.logger.warning(
                "Stream '%s': deleted rows stay in the target, because %s", self.name, problem
            )
        if problem is None or (last is None and read["rows"] and obstacle is None):
            self.stream_state[state.FULL_READ_KEY] = read
            self._tap.state_writer.write_state(self.tap_state)

    def _removal_obstacle(self, aliases: list[str]) -> str | None:
        """Return why this run cannot tell which rows of a table no longer exist, if so."""
        if self.settings.end_date is not None:
            return "end_date is set. Unset it."
        if time.monotonic() - self._created > FULL_READ_MARGIN.total_seconds():
            return "the read took more than a day. Read fewer streams in one run."
        others = {
            stream_map.stream_alias
            for name, stream_maps in self._tap.mapper.stream_maps.items()
            for stream_map in stream_maps
            if name != self.name
        }
        if not others.isdisjoint(aliases):
            return "another stream has the same alias. Give each stream a separate one."
        return None
