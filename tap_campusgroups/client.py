"""The base stream: from the pages of its export to RECORD and STATE."""

from __future__ import annotations

import logging
import sys
import traceback
import typing as t
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

from singer_sdk.exceptions import SyncLifecycleSignal
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_campusgroups import schemas, state
from tap_campusgroups.exceptions import (
    CampusGroupsError,
    ExportFailedError,
    FutureBookmarkError,
    RowsMissingError,
    RunAborted,
    StreamMapError,
    UnexpectedError,
    UnknownFieldError,
)
from tap_campusgroups.exports.client import ExportClient
from tap_campusgroups.exports.export import Window
from tap_campusgroups.exports.scheduler import ExportJob, Scheduler
from tap_campusgroups.exports.service_monitor import MAX_CLOCK_DIFFERENCE, ServiceMonitor
from tap_campusgroups.exports.transport import worker_session
from tap_campusgroups.records.converter import Converter
from tap_campusgroups.records.json_codec import (
    JsonError,
    decode_rows,
    record_lines,
)
from tap_campusgroups.records.page_converter import PageConverter
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.values import canonical_timestamp, format_timestamp, parse_timestamp
from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.shutdown import SHUTDOWN

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.singerlib import RecordMessage

    from tap_campusgroups.exports.export import Page


REPLICATION_KEY: t.Final = "updatedOn"
"""What the API's date range selects on (document, "Date Ranges and Pagination")."""

PRIMARY_KEY: t.Final = "id"

BEGAN_KEY: t.Final = "start_date"
"""Where a stream's state keeps the `start_date` that its first run began with."""


class Run(t.Protocol):
    """What a stream is synced in together with others."""

    @property
    def is_on(self) -> bool:
        """Whether it has begun and not ended."""

    @property
    def monitor(self) -> ServiceMonitor:
        """What the run has learned of the service."""

    def schedule(self, stream: CampusGroupsStream) -> Scheduler:
        """Say what runs the tasks that the stream has planned."""

    def should_continue_after(self, stream: CampusGroupsStream, error: CampusGroupsError) -> bool:
        """Hear that a stream did not come to its end; say whether the others go on."""


@dataclass(eq=False)
class Part:
    """A window of a stream's range, and the task that reads it.

    Attributes:
        window: The window.
        task: The task; it counts the rows that came.
        emitted: Rows that were emitted.
        newest: The newest `updatedOn` of these, in canonical form.
        is_done: Whether its pages have all been taken.
    """

    window: Window
    task: ExportJob
    emitted: int = 0
    newest: str | None = None
    is_done: bool = False

    def add(self, rows: int, newest: str | None) -> None:
        """Count emitted rows."""
        self.emitted += rows
        if newest is not None:
            self.newest = max(self.newest or "", newest)


class CampusGroupsStream(ExportClient):
    """A stream of the Data Export API.

    A subclass names itself and nothing else: path and schema have its name.

    Attributes:
        parts: The windows of this run, once they are planned.
        quality: What was odd in the rows of this run.
    """

    name: str
    schema: t.ClassVar[StreamSchema] = StreamSchema(SchemaDirectory(schemas))
    primary_keys: t.ClassVar[Sequence[str]] = (PRIMARY_KEY,)
    replication_key = REPLICATION_KEY

    # `records` does it, by the same schema but without making "false" true.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap, run: Run | None = None) -> None:
        """Make the stream of a tap.

        Args:
            tap: The tap.
            run: What the stream is synced in together with others; by itself if not given.
        """
        super().__init__(tap)
        self._run = run
        self._started = start_of(tap)
        self.monitor = ServiceMonitor(self._started, self.logger)
        self.parts: list[Part] = []
        self.quality = DataQualityCounters()

    # Which exports

    @property
    def _bookmark(self) -> str | None:
        """The bookmark in canonical form."""
        # Not `stream_state`, which makes an entry: exports are planned before the stream's turn.
        entry = self.tap_state.get("bookmarks", {}).get(self.name, {})
        value: str | None = entry.get("replication_key_value")
        return value

    @property
    def start_date_moved_back(self) -> bool:
        """Whether `start_date` is before the one that the bookmark began with."""
        entry = self.tap_state.get("bookmarks", {}).get(self.name, {})
        began = parse_timestamp(entry.get(BEGAN_KEY))
        return began is not None and self.settings.start_date < began

    @property
    def newest(self) -> str | None:
        """The newest `updatedOn` that this run has emitted, in canonical form."""
        return max(filter(None, (part.newest for part in self.parts)), default=None)

    def window(self) -> Window:
        """Say which range of `updatedOn` this run reads.

        Returns:
            From the bookmark less the lookback, or `start_date`, up to `end_date` or the run's
            start, which is one instant for all streams of a tap.
        """
        settings = self.settings
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        start = state.range_start(
            parse_timestamp(self._bookmark) if is_incremental else None,
            start_date=settings.start_date,
            lookback=settings.lookback,
        )
        return Window.between(start, min(self._started, settings.end_date or self._started))

    @property
    def _has_future_bookmark(self) -> bool:
        """Whether the bookmark is later than the clocks allow."""
        bookmark = parse_timestamp(self._bookmark)
        latest = self.monitor.started + MAX_CLOCK_DIFFERENCE
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        return is_incremental and bookmark is not None and bookmark > latest

    def _check_bookmark(self) -> None:
        """Refuse a bookmark that is later than the clocks allow.

        Raises:
            FutureBookmarkError: If it is; rows that came before it may never have been read.
        """
        if self._has_future_bookmark:
            msg = (
                f"Stream '{self.name}': the bookmark in the state is later than the start of this "
                f"run ({self._bookmark}, {format_timestamp(self.monitor.started)}), so rows may "
                "have been skipped. Check the clock of this machine; then set the bookmark back to "
                "a time at which the clock was right, or remove it to read everything again."
            )
            raise FutureBookmarkError(msg)

    def plan(self) -> list[ExportJob]:
        """Plan the stream's exports of this run, for a scheduler.

        Returns:
            A task a window, ascending; none if there is nothing to read, or if the bookmark cannot
            be right.
        """
        run = self._shared_run
        self.monitor = ServiceMonitor(self._started, self.logger) if run is None else run.monitor
        windows = self.window().split(self.settings.export_window)
        self.parts = [
            Part(window, ExportJob(self.name, partial(self.fetch, window)))
            for window in ([] if self._has_future_bookmark else windows)
        ]
        return [part.task for part in self.parts]

    # From pages to records

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        """Take the pages of the stream's exports, and yield their rows.

        Args:
            context: Not used; the streams have no partitions.

        Yields:
            Rows as the service sends them, in its order.

        Raises:
            CampusGroupsError: If not every row arrived; the text names the stream.
        """
        with closing(self._windows()) as windows:
            for part, pages in windows:
                for page in pages:
                    yield from self._rows(page, part)

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, t.Any], t.Any, t.Any]:
        # Internal to the SDK, whose own loop knows neither pages nor windows, and in whose frames
        # above a failure would end the other streams, too; tests/tap/test_sdk_contract.py pins it.
        run = self._shared_run
        try:
            yield from self._sync_windows(is_written=write_messages and self.selected)
        except SyncLifecycleSignal:  # the SDK's own, of a dry run
            raise
        except Exception as caught:  # noqa: BLE001 - one stream's bug must not end the others
            error = caught if isinstance(caught, CampusGroupsError) else self._unexpected(caught)
        else:
            return
        # Not within `except`: what an unexpected error says may quote a row.
        if run is None:
            raise error
        if not run.should_continue_after(self, error):
            raise RunAborted(error)

    def _unexpected(self, error: Exception) -> UnexpectedError:
        """Name a bug without its text, which may quote a row."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        return UnexpectedError(
            f"Stream '{self.name}': unexpected {type(error).__name__} in "
            f"{Path(place.filename).name}, line {place.lineno} ({place.name}). Please report this "
            "line."
        )

    def _sync_windows(self, *, is_written: bool) -> Generator[Record, None, None]:
        """Sync one window after the other; the bookmark moves after each.

        Args:
            is_written: Whether messages are written.

        Yields:
            The records, but for those that were written as whole pages.
        """
        writer = self._tap.message_writer
        is_whole = is_written and self._can_write_pages
        with (
            self.get_record_counter() as counter,
            self.get_sync_timer(),
            closing(self._windows()) as windows,
        ):
            for part, pages in windows:
                for page in pages:
                    if is_whole and isinstance(writer, PageWriter):
                        counter.increment(self._write_page(page, part, writer))
                        continue
                    for record in self._sync_rows(page, part, is_written=is_written):
                        counter.increment()
                        yield record
                    if is_written and isinstance(writer, PageWriter):
                        writer.flush()
                self._end_window(part)
                if is_written:
                    self._tap.state_writer.write_state(self.tap_state)

    def _windows(self) -> Generator[tuple[Part, Iterator[Page]], None, None]:
        """Yield the windows of this run, each with its pages."""
        if (window := self.window()).is_empty:
            self._check_bookmark()
            self.logger.info("Stream '%s': nothing to read in %s", self.name, window)
            return
        run = self._shared_run
        scheduler = schedule_exports([self]) if run is None else run.schedule(self)
        try:
            self._check_bookmark()
            for part in self.parts:
                yield part, scheduler.pages(part.task)
        finally:
            if run is None:
                scheduler.close()

    @property
    def _shared_run(self) -> Run | None:
        """The run that this sync is part of; `None` if the stream is synced by itself."""
        run = self._run
        return run if run is not None and run.is_on and not self._is_dry_run else None

    @property
    def _is_dry_run(self) -> bool:
        return self.ABORT_AT_RECORD_COUNT is not None

    @cached_property
    def _can_write_pages(self) -> bool:
        """Whether the SDK has nothing to do with a record but to write it."""
        (first, *more) = self.stream_maps
        return (
            not more
            and type(first) is SameRecordTransform
            and not first.flattening_enabled
            and all(self.mask.values())
            and not self._is_dry_run
        )

    def _write_page(self, page: Page, part: Part, writer: PageWriter) -> int:
        """Write the rows of a page; return how many were written."""
        time_extracted = datetime.now(UTC)
        try:
            converted = self._page_converter(page.results)
        except JsonError:
            raise self._bad_page() from None
        except UnknownFieldError as error:
            raise self._unknown_field(error) from None
        lines = record_lines(self.name, converted.rows, time_extracted=time_extracted)
        writer.write_lines(lines)
        part.add(lines.count(b"\n"), converted.newest)
        part.task.rows += len(converted.rows) + converted.rows_without_key
        self.quality.rows_without_key += converted.rows_without_key
        self.quality.pages_with_invalid_unicode += page.is_replaced + converted.has_invalid_unicode
        return len(converted.rows)

    def _sync_rows(
        self, page: Page, part: Part, *, is_written: bool
    ) -> Generator[Record, None, None]:
        """Convert the rows of a page, and let the SDK make messages of them, one by one.

        Yields:
            The records.
        """
        for row in self._rows(page, part):
            SHUTDOWN.check()
            if self._is_dry_run:
                self.state_manager.is_flushed = False  # a dry run of the SDK ends with STATE, too
                self._check_max_record_limit(sum(one.emitted for one in self.parts))
            if (record := self.post_process(row)) is None:
                continue
            newest = canonical_timestamp(record.get(REPLICATION_KEY))
            if is_written:
                for message in self._messages(record):
                    self._tap.write_message(message)
            part.add(1, newest)
            yield record

    def _rows(self, page: Page, part: Part) -> list[Record]:
        """Decode the rows of a page, and count them."""
        try:
            rows, non_object_rows, has_invalid_unicode = decode_rows(page.results)
        except JsonError:
            raise self._bad_page() from None
        part.task.rows += len(rows) + non_object_rows
        self.quality.rows_without_key += non_object_rows
        self.quality.pages_with_invalid_unicode += page.is_replaced + has_invalid_unicode
        return rows

    def _messages(self, record: Record) -> list[RecordMessage]:
        """Make the messages of a record, as the stream maps want them.

        Raises:
            StreamMapError: If a stream map fails; what it says itself may quote a value.
        """
        try:
            return list(self._generate_record_messages(record))
        except Exception as error:  # noqa: BLE001 - a map is an expression of the user's
            kind = type(error).__name__
        # Not within `except`: the new error would lead to the old one.
        msg = (
            f"Stream '{self.name}': a stream map fails for a row ({kind}). "
            "Check stream_maps and stream_map_config."
        )
        raise StreamMapError(msg)

    def _bad_page(self) -> ExportFailedError:
        return ExportFailedError(f"Stream '{self.name}': the rows of a page are not valid JSON.")

    @cached_property
    def _converter(self) -> Converter:
        return Converter(
            self.effective_schema,
            replication_key=REPLICATION_KEY,
            quality=self.quality,
            unknown_fields=self.settings.unknown_fields,
            deselected_fields={
                breadcrumb[1]
                for breadcrumb, is_selected in self.mask.items()
                if breadcrumb and not is_selected
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
        """Whether the schema has the primary key; a catalog may bring one that has not."""
        return PRIMARY_KEY in self.effective_schema["properties"]

    def _unknown_field(self, error: UnknownFieldError) -> UnknownFieldError:
        return UnknownFieldError(
            f"Stream '{self.name}': the service sends a field that the schema does not have, "
            f"{error}, and unknown_fields is 'fail'."
        )

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        try:
            record = self._converter(row)
        except UnknownFieldError as error:
            raise self._unknown_field(error) from None
        if self._has_id and record.get(PRIMARY_KEY) is None:
            self.quality.rows_without_key += 1
            return None
        return record

    # State

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        # The bound is the window's.
        return None

    def _end_window(self, part: Part) -> None:
        """Make sure that all of a window's rows were emitted, then move the bookmark over it.

        Raises:
            RowsMissingError: If they were not; the bookmark stays.
        """
        part.is_done = True
        rows_without_key = self.quality.rows_without_key
        if part.task.rows != part.emitted + rows_without_key:
            msg = (
                f"Stream '{self.name}': {part.task.rows} rows came and {part.emitted} were "
                f"emitted of updatedOn {part.window}. Please report this."
            )
            raise RowsMissingError(msg)
        if rows_without_key:
            msg = (
                f"Stream '{self.name}': {rows_without_key} rows of updatedOn {part.window} have no "
                "usable id and were left out; the others were emitted. Report it to CampusGroups."
            )
            raise RowsMissingError(msg)
        if self.replication_method == REPLICATION_INCREMENTAL:
            self._check_bookmark()  # the first response has told what the service's clock says
            started = self.monitor.started
            if self._bookmark is None and self.config.get("start_date") is not None:
                self.stream_state[BEGAN_KEY] = format_timestamp(self.settings.start_date)
            self.stream_state.update(
                replication_key=REPLICATION_KEY,
                replication_key_value=state.next_bookmark(
                    self._bookmark,
                    newest=part.newest,
                    end=format_timestamp(min(part.window.end, started)),
                    watermark=format_timestamp(started - self.settings.lookback),
                ),
            )


def start_of(tap: Tap) -> datetime:
    """Return when a tap was made, aware, in UTC: the upper bound of its exports."""
    return datetime.fromtimestamp(tap.initialized_at / 1000, tz=UTC)


def schedule_exports(streams: Sequence[CampusGroupsStream]) -> Scheduler:
    """Let the exports of some streams wait together.

    Args:
        streams: At least one, in the order in which they will be synced.

    Returns:
        A scheduler with the tasks of all, which has not begun.
    """
    return schedule_tasks([task for stream in streams for task in stream.plan()], streams[0])


def schedule_tasks(tasks: Sequence[ExportJob], stream: CampusGroupsStream) -> Scheduler:
    """Let tasks run together, over connections of their own.

    Args:
        tasks: In the order in which their pages will be asked for.
        stream: One of their streams; its settings have the cap.

    Returns:
        A scheduler that has not begun.
    """
    return Scheduler(
        tasks,
        cap=stream.settings.max_concurrent_exports,
        around_worker=worker_session,
        logger=logging.getLogger(stream.tap_name),
    )
