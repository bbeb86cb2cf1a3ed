"""The base stream: from the pages of its export to RECORD and STATE."""

from __future__ import annotations

import logging
import sys
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, partial
from traceback import walk_tb

from singer_sdk import mapper
from singer_sdk.exceptions import AbortedSyncExceptionBase
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_campusgroups import bookmarks, schemas
from tap_campusgroups.client import ExportClient
from tap_campusgroups.codec import BadJsonError, UnexpectedJsonError, decode_rows, record_lines
from tap_campusgroups.errors import (
    CampusGroupsError,
    ExportFailedError,
    RowsMissingError,
    StreamMapError,
    UnknownFieldError,
)
from tap_campusgroups.exports import Window
from tap_campusgroups.oddities import Oddities
from tap_campusgroups.records import Converter
from tap_campusgroups.scheduler import Scheduler, Task
from tap_campusgroups.transport import Connections
from tap_campusgroups.typed import PageConverter
from tap_campusgroups.values import canonical_instant, parse_instant, write_canonical
from tap_campusgroups.writer import PageWriter

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from singer_sdk import Tap
    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.metrics import Counter

    from tap_campusgroups.exports import Page


# At DEBUG it tells what a filter makes of each row.
logging.getLogger(mapper.__name__).setLevel(logging.INFO)

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

    def schedule(self, stream: CampusGroupsStream) -> Scheduler:
        """Say what runs the tasks that the stream has planned."""

    def goes_on_after(self, stream: CampusGroupsStream, error: BaseException) -> bool:
        """Hear that a stream did not come to its end; say whether the others go on."""


@dataclass(eq=False)
class Part:
    """A window of a stream's range, and the task that reads it.

    Attributes:
        window: The window.
        task: The task.
        is_done: Whether its pages have all been taken.
    """

    window: Window
    task: Task
    is_done: bool = False


class CampusGroupsStream(ExportClient):
    """A stream of the Data Export API.

    A subclass names itself and nothing else: path and schema have its name.

    Attributes:
        parts: The windows of this run, once they are planned.
        newest: The newest `updatedOn` that this run has emitted, in canonical form.
        oddities: What was odd in the rows of this run.
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
        self._scheduler: Scheduler | None = None
        self._started = datetime.fromtimestamp(tap.initialized_at / 1000, tz=UTC)
        self._emitted = 0
        self._newest: str | None = None
        self._record_counter: Counter | None = None
        self.parts: list[Part] = []
        self.newest: str | None = None
        self.oddities = Oddities()

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
        began = parse_instant(entry.get(BEGAN_KEY))
        return began is not None and self.settings.start_date < began

    def window(self) -> Window:
        """Say which range of `updatedOn` this run reads.

        Returns:
            From the bookmark less the lookback, or `start_date`, up to `end_date` or the run's
            start, which is one instant for all streams of a tap.
        """
        settings = self.settings
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        start = bookmarks.read_from(
            parse_instant(self._bookmark) if is_incremental else None,
            start_date=settings.start_date,
            lookback=settings.lookback,
        )
        return Window.between(start, min(self._started, settings.end_date or self._started))

    def plan(self) -> list[Task]:
        """Plan the stream's exports of this run, for a scheduler.

        Returns:
            A task a window, ascending; none if there is nothing to read.
        """
        self.parts = [
            Part(window, Task(self.name, partial(self.fetch, window)))
            for window in self.window().split(self.settings.export_window)
        ]
        return [part.task for part in self.parts]

    # From pages to records

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        """Take the pages of the stream's exports, and emit or yield their rows.

        Args:
            context: Not used; the streams have no partitions.

        Yields:
            Rows as the service sends them, in its order, if the SDK has something to do with each
            record: a stream map, a deselected property, a record limit. Otherwise nothing: whole
            pages are written at once.

        Raises:
            CampusGroupsError: If not every row arrived; the text names the stream.
        """
        if (window := self.window()).is_empty:
            self.logger.info("Stream '%s': nothing to read in %s", self.name, window)
            return
        run = self._shared_run
        self._scheduler = schedule_exports([self]) if run is None else run.schedule(self)
        for part in self.parts:
            self._newest, self._emitted = None, 0
            for page in self._scheduler.pages(part.task):
                yield from self._emit(page, part.task)
            self._end_window(part)

    @property
    def _shared_run(self) -> Run | None:
        """The run that this sync is part of; `None` if the stream is synced by itself."""
        run = self._run
        return run if run is not None and run.is_on and not self._is_dry_run else None

    @property
    def _is_dry_run(self) -> bool:
        return self.ABORT_AT_RECORD_COUNT is not None

    def _emit(self, page: Page, task: Task) -> Iterable[Record]:
        """Write a page's rows, or yield them to the SDK."""
        writer = self._tap.message_writer
        self.oddities.replaced += page.is_replaced
        try:
            if self._is_emitted_as_it_is and isinstance(writer, PageWriter):
                task.rows += self._write(page, writer)
            else:
                rows, replaced = decode_rows(page.results)
                self.oddities.replaced += replaced
                task.rows += len(rows)
                yield from rows
        except (BadJsonError, UnexpectedJsonError):
            msg = f"Stream '{self.name}': a page's Results are no array of objects."
            raise ExportFailedError(msg) from None
        except UnknownFieldError as error:
            raise self._unknown_field(error) from None
        if isinstance(writer, PageWriter):
            writer.flush()

    @cached_property
    def _is_emitted_as_it_is(self) -> bool:
        """Whether the SDK has nothing to do with a record but to write it."""
        (first, *more) = self.stream_maps
        return (
            not more
            and type(first) is SameRecordTransform
            and not first.flattening_enabled
            and all(self.mask.values())
            and not self._is_dry_run
        )

    def _write(self, page: Page, writer: PageWriter) -> int:
        """Write a page; return how many rows it has."""
        time_extracted = datetime.now(UTC)
        converted = self._page_converter(page.results)
        lines = record_lines(self.name, converted.rows, time_extracted=time_extracted)
        writer.write_lines(lines)
        self._see(converted.newest)
        self._emitted += lines.count(b"\n")
        self.oddities.without_id += converted.without_id
        self.oddities.replaced += converted.replaced
        if self._record_counter is not None:
            self._record_counter.increment(len(converted.rows))
        return len(converted.rows) + converted.without_id

    @cached_property
    def _converter(self) -> Converter:
        return Converter(
            self.effective_schema,
            replication_key=REPLICATION_KEY,
            oddities=self.oddities,
            unknown_fields=self.settings.unknown_fields,
            hidden={
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
            self.oddities.without_id += 1
            return None
        return record

    @override
    def get_record_counter(self, **options: t.Any) -> Counter:
        self._record_counter = super().get_record_counter(**options)
        return self._record_counter

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, t.Any], t.Any, t.Any]:
        # Internal to the SDK, and the last frame in which a stream's failure can be kept from
        # ending the others; tests/test_scheduler.py pins it.
        try:
            yield from self._sync_records_safely(context, write_messages=write_messages)
        except BaseException as error:
            if (run := self._shared_run) is not None:
                if run.goes_on_after(self, error):
                    return
            elif self._scheduler is not None:
                self._scheduler.close()
            raise

    def _sync_records_safely(
        self, context: Context | None, *, write_messages: bool
    ) -> Generator[dict[str, t.Any], t.Any, t.Any]:
        """Sync the records; what a stream map makes of a row is told without the row.

        Raises:
            StreamMapError: If a stream map fails; what it says itself may quote a value.
        """
        kind: type[Exception] | None = None
        try:
            yield from super()._sync_records(context, write_messages=write_messages)
        except Exception as error:
            if not _comes_from_a_map(error):
                raise
            kind = type(error)
        if kind is not None:  # not within `except`: the new error would lead to the old one
            msg = (
                f"Stream '{self.name}': a stream map fails for a row ({kind.__name__}). "
                "Check stream_maps and stream_map_config."
            )
            raise StreamMapError(msg)

    # State

    def _see(self, instant: str | None) -> None:
        """Take note of an emitted `updatedOn` in canonical form."""
        if instant is not None:
            self._newest = max(self._newest or "", instant)
            self.newest = max(self.newest or "", instant)

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        # Internal to the SDK, which alone would raise on a record without `updatedOn`, move a
        # bookmark back, and take what it has seen of a failed export; tests/test_state.py pins it.
        self._emitted += 1
        self._see(canonical_instant(latest_record.get(REPLICATION_KEY)))

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
        without_id = self.oddities.without_id
        if part.task.rows != self._emitted + without_id:
            msg = (
                f"Stream '{self.name}': {part.task.rows} rows came and {self._emitted} were "
                f"emitted of updatedOn {part.window}. Please report this."
            )
            raise RowsMissingError(msg)
        if without_id:
            msg = (
                f"Stream '{self.name}': {without_id} rows of updatedOn {part.window} have no "
                "usable id and were left out; the others were emitted. Report it to CampusGroups."
            )
            raise RowsMissingError(msg)
        if self.replication_method == REPLICATION_INCREMENTAL:
            if self._bookmark is None and self.config.get("start_date") is not None:
                self.stream_state[BEGAN_KEY] = write_canonical(self.settings.start_date)
            self.stream_state.update(
                replication_key=REPLICATION_KEY,
                replication_key_value=bookmarks.after_window(
                    self._bookmark,
                    newest=self._newest,
                    end=write_canonical(part.window.end),
                    settled=write_canonical(self._started - self.settings.lookback),
                ),
            )
            if part is not self.parts[-1]:  # the SDK writes the last one
                self._tap.state_writer.write_state(self.tap_state)

    # What is logged

    @override
    def log(self, message: str, *args: t.Any, level: int = logging.INFO, **kwargs: t.Any) -> None:
        # The SDK calls every end of a stream "unhandled". The command line explains ours in one
        # line, `--test` means its own, and of a closed pipe the run tells.
        if isinstance(
            sys.exception(), (CampusGroupsError, AbortedSyncExceptionBase, BrokenPipeError)
        ):
            return
        super().log(message, *args, level=level, **kwargs)


def _comes_from_a_map(error: Exception) -> bool:
    """Say whether an error was raised while the SDK evaluated a stream map."""
    frames = (frame for frame, _ in walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == mapper.__name__ for frame in frames)


def schedule_exports(streams: Sequence[CampusGroupsStream]) -> Scheduler:
    """Let the exports of some streams wait together.

    Args:
        streams: At least one, in the order in which they will be synced.

    Returns:
        A scheduler with the tasks of all, which has not begun.
    """
    return schedule_tasks([task for stream in streams for task in stream.plan()], streams[0])


def schedule_tasks(tasks: Sequence[Task], stream: CampusGroupsStream) -> Scheduler:
    """Let tasks run together, over connections of their own.

    Args:
        tasks: In the order in which their pages will be asked for.
        stream: One of their streams; its settings have the cap.

    Returns:
        A scheduler that has not begun.
    """
    connections = Connections()
    return Scheduler(
        tasks,
        cap=stream.settings.max_concurrent_exports,
        around_worker=connections.session,
        interrupt=connections.interrupt,
        logger=logging.getLogger(stream.tap_name),
    )
