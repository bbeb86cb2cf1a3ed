"""The base stream: from the pages of its export to RECORD and STATE."""

from __future__ import annotations

import logging
import sys
import typing as t
from datetime import UTC, datetime
from functools import cached_property

from singer_sdk.exceptions import AbortedSyncExceptionBase
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_campusgroups import bookmarks, schemas
from tap_campusgroups.client import ExportClient
from tap_campusgroups.codec import BadJsonError, UnexpectedJsonError, decode_rows, record_lines
from tap_campusgroups.errors import CampusGroupsError, ExportFailedError
from tap_campusgroups.exports import Window
from tap_campusgroups.records import (
    Converter,
    Oddities,
    canonical_instant,
    parse_instant,
    write_canonical,
)
from tap_campusgroups.scheduler import Scheduler, Task
from tap_campusgroups.transport import Connections
from tap_campusgroups.typed import PageConverter
from tap_campusgroups.writer import PageWriter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.metrics import Counter

    from tap_campusgroups.exports import Page

    Schedule: t.TypeAlias = Callable[["CampusGroupsStream"], tuple[Scheduler, Task]]


REPLICATION_KEY: t.Final = "updatedOn"
"""What the API's date range selects on (document, "Date Ranges and Pagination")."""


class CampusGroupsStream(ExportClient):
    """A stream of the Data Export API.

    A subclass names itself and nothing else: path and schema have its name.
    """

    name: str
    schema: t.ClassVar[StreamSchema] = StreamSchema(SchemaDirectory(schemas))
    primary_keys: t.ClassVar[Sequence[str]] = ("id",)
    replication_key = REPLICATION_KEY

    # `records` does it, by the same schema but without making "false" true.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap, schedule: Schedule | None = None) -> None:
        """Make the stream of a tap.

        Args:
            tap: The tap.
            schedule: Says side by side with which other streams' exports a stream's own runs; alone
                if not given.
        """
        super().__init__(tap)
        self._schedule = schedule or run_alone
        self._scheduler: Scheduler | None = None
        self.task: Task | None = None
        self._started = datetime.fromtimestamp(tap.initialized_at / 1000, tz=UTC)
        self._newest: str | None = None
        self._record_counter: Counter | None = None
        self.oddities = Oddities()

    # Which export

    @property
    def read_until(self) -> datetime:
        """The upper bound of this run's export, aware: one instant for all streams of a tap."""
        return min(self._started, self.settings.end_date or self._started)

    @property
    def _bookmark(self) -> str | None:
        """The bookmark in canonical form."""
        # Not `stream_state`, which makes an entry: the export is planned before the stream's turn.
        entry = self.tap_state.get("bookmarks", {}).get(self.name, {})
        value: str | None = entry.get("replication_key_value")
        return value

    def window(self) -> Window:
        """Say which range of `updatedOn` this run reads.

        Returns:
            From the bookmark less the lookback, or `start_date`, up to the run's upper bound.
        """
        settings = self.settings
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        start = bookmarks.read_from(
            parse_instant(self._bookmark) if is_incremental else None,
            start_date=settings.start_date,
            lookback=settings.lookback,
        )
        return Window.between(start, self.read_until)

    def plan(self) -> Task:
        """Plan the stream's export of this run, for a scheduler."""
        window = self.window()
        self.task = Task(self.name, lambda control: self.fetch(window, control))
        return self.task

    # From pages to records

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        """Take the pages of the stream's export, and emit or yield their rows.

        Args:
            context: Not used; the streams have no partitions.

        Yields:
            Rows as the service sends them, in its order, if the SDK has something to do with each
            record: a stream map, a deselected property, a record limit. Otherwise nothing: whole
            pages are written at once.

        Raises:
            CampusGroupsError: If not every row of the window arrived; the text names the stream.
        """
        window = self.window()
        if window.is_empty:
            self.logger.info("Stream '%s': nothing to read in %s", self.name, window)
            return
        schedule = self._schedule if self.ABORT_AT_RECORD_COUNT is None else run_alone
        self._scheduler, task = schedule(self)
        self._newest = None
        writer = self._tap.message_writer
        for page in self._scheduler.pages(task):
            try:
                if self._is_emitted_as_it_is and isinstance(writer, PageWriter):
                    task.rows += self._write(page, writer)
                else:
                    rows = decode_rows(page.results)
                    task.rows += len(rows)
                    yield from rows
            except (BadJsonError, UnexpectedJsonError):
                msg = f"Stream '{self.name}': a page's Results are no array of objects."
                raise ExportFailedError(msg) from None
            if isinstance(writer, PageWriter):
                writer.flush()
        self._move_bookmark()
        self._log_oddities()

    @cached_property
    def _is_emitted_as_it_is(self) -> bool:
        """Whether the SDK has nothing to do with a record but to write it."""
        (first, *more) = self.stream_maps
        return (
            not more
            and type(first) is SameRecordTransform
            and not first.flattening_enabled
            and all(self.mask.values())
            and self.ABORT_AT_RECORD_COUNT is None
        )

    def _write(self, page: Page, writer: PageWriter) -> int:
        """Write a page; return its number of rows."""
        time_extracted = datetime.now(UTC)
        rows, newest = self._page_converter(page.results)
        writer.write_lines(record_lines(self.name, rows, time_extracted=time_extracted))
        self._see(newest)
        if self._record_counter is not None:
            self._record_counter.increment(len(rows))
        return len(rows)

    @cached_property
    def _converter(self) -> Converter:
        return Converter(
            self.effective_schema, replication_key=REPLICATION_KEY, oddities=self.oddities
        )

    @cached_property
    def _page_converter(self) -> PageConverter:
        return PageConverter(
            self.effective_schema,
            self._converter,
            replication_key=REPLICATION_KEY,
            oddities=self.oddities,
        )

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        return self._converter(row)

    @override
    def get_record_counter(self, **options: t.Any) -> Counter:
        self._record_counter = super().get_record_counter(**options)
        return self._record_counter

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, t.Any], t.Any, t.Any]:
        # Internal to the SDK, and the one frame around all that may end a stream: a failure, a
        # signal, a closed pipe while a record is written; tests/test_scheduler.py pins it.
        try:
            yield from super()._sync_records(context, write_messages=write_messages)
        except BaseException:
            if self._scheduler is not None:
                self._scheduler.close()
            raise

    # State

    def _see(self, instant: str | None) -> None:
        """Take note of an emitted `updatedOn` in canonical form."""
        if instant is not None and (self._newest is None or instant > self._newest):
            self._newest = instant

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        # Internal to the SDK, which alone would raise on a record without `updatedOn`, move a
        # bookmark back, and take what it has seen of a failed export; tests/test_state.py pins it.
        self._see(canonical_instant(latest_record.get(REPLICATION_KEY)))

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        # The bound is `_move_bookmark`'s.
        return None

    def _move_bookmark(self) -> None:
        """Move the bookmark after the whole export was emitted."""
        if self.replication_method != REPLICATION_INCREMENTAL:
            return
        bookmark = bookmarks.after_export(
            self._bookmark, newest=self._newest, bound=write_canonical(self.read_until)
        )
        if bookmark is not None:
            self.stream_state.update(
                replication_key=REPLICATION_KEY, replication_key_value=bookmark
            )

    # What is logged

    @override
    def log(self, message: str, *args: t.Any, level: int = logging.INFO, **kwargs: t.Any) -> None:
        # The SDK calls every end of a stream "unhandled". The command line explains ours in one
        # line, `--test` means its own, and of a closed pipe nobody else says anything.
        error = sys.exception()
        if isinstance(error, (CampusGroupsError, AbortedSyncExceptionBase)):
            return
        if isinstance(error, BrokenPipeError):
            message, args = "Stream '%s': nobody reads the output any more; stopping", (self.name,)
        super().log(message, *args, level=level, **kwargs)

    def _log_oddities(self) -> None:
        for what, counts in (
            ("left out, for the schema does not have them", self.oddities.unknown),
            ("passed on as they are, for they do not fit their type", self.oddities.unconvertible),
        ):
            if counts:
                fields = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
                self.logger.warning("Stream '%s': values %s: %s", self.name, what, fields)


def schedule_exports(streams: Sequence[CampusGroupsStream]) -> Scheduler:
    """Let the exports of some streams wait together.

    Args:
        streams: At least one, in the order in which they will be synced.

    Returns:
        A scheduler with a task for each, which has not begun.
    """
    connections = Connections()
    return Scheduler(
        [stream.plan() for stream in streams],
        cap=streams[0].settings.max_concurrent_exports,
        around_worker=connections.session,
        interrupt=connections.interrupt,
        logger=logging.getLogger(streams[0].tap_name),
    )


def run_alone(stream: CampusGroupsStream) -> tuple[Scheduler, Task]:
    """Let the export of a stream run by itself."""
    scheduler = schedule_exports([stream])
    return scheduler, scheduler.tasks[0]
