"""The base stream: from the pages of its exports to RECORD and STATE."""

from __future__ import annotations

import logging
import re
import time
import traceback
import typing as t
from collections import Counter
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from singer_sdk.exceptions import SyncLifecycleSignal
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.metrics import http_request_counter
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib import ActivateVersionMessage
from typing_extensions import override

from tap_campusgroups import full_reads, schemas, state
from tap_campusgroups.exceptions import CampusGroupsError, ExportFailedError, StreamError
from tap_campusgroups.ranged_stream import PRIMARY_KEY, REPLICATION_KEY, RangedStream
from tap_campusgroups.records.converter import EXTRA, Converter, UnknownFields
from tap_campusgroups.records.json_codec import JsonError, decode_rows, record_lines
from tap_campusgroups.records.page_converter import PageConverter
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.text_values import text_record
from tap_campusgroups.records.values import canonical_timestamp, format_timestamp
from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.shutdown import SHUTDOWN
from tap_campusgroups.stream_map_types import column_types, type_problem

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from singer_sdk.helpers.types import Context, Record
    from singer_sdk.mapper import StreamMap

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.scheduler import StreamExports
    from tap_campusgroups.exports.window import Window
    from tap_campusgroups.stream_map_types import ColumnTypes
    from tap_campusgroups.sync import SyncRun
    from tap_campusgroups.tap import TapCampusGroups


class CampusGroupsStream(RangedStream):
    """A stream of the Data Export API, with the schema of its name."""

    schema: t.ClassVar[StreamSchema] = StreamSchema(SchemaDirectory(schemas))
    primary_keys: t.ClassVar[Sequence[str]] = (PRIMARY_KEY,)

    # `records` converts by schema; the SDK's conversion makes "false" true.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: TapCampusGroups, name: str) -> None:
        super().__init__(tap, name)
        self.quality = DataQualityCounters()
        self.removal_problem: str | None = None  # why a full read has not removed rows

    @override
    def log(self, message: str, *args: t.Any, level: int = logging.INFO, **kwargs: t.Any) -> None:
        # The SDK's routine lines, such as "Beginning sync of ...".
        level = logging.DEBUG if level == logging.INFO else level
        super().log(message, *args, level=level, **kwargs)

    # From pages to records

    @override
    def get_records(self, context: Context | None) -> Iterable[Record]:
        """Yield the rows of a run as the service sends them."""
        with self._context.run([self]) as run:
            for _, pages in run.windows(self):
                for page in pages:
                    yield from self._decode_rows(page, run.exports[self.name])

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
        if self.is_removed:
            self.logger.info("Stream skipped: stream=%s reason=a stream map drops it", self.name)
            return
        with self._context.run([self]) as run:
            try:
                yield from self._sync_windows(run, is_written=write_messages and self.selected)
            except SyncLifecycleSignal:  # ends a dry run of the SDK
                raise
            except Exception as caught:  # noqa: BLE001 - a bug in one stream must not end the others
                error = self._error(caught)
            else:
                return
            # Outside of `except`: an unexpected error may quote a row.
            run.fail(self, error)

    def _error(self, error: Exception) -> CampusGroupsError:
        if isinstance(error, CampusGroupsError):
            return error
        if isinstance(error, JsonError):
            return ExportFailedError(
                f"Stream '{self.name}': a page is not valid JSON, is nested too deeply, or has a "
                "number of thousands of digits. Report it to CampusGroups, or deselect the stream."
            )
        place = traceback.extract_tb(error.__traceback__)[-1]
        return StreamError(
            f"Stream '{self.name}': unexpected {type(error).__name__} in "
            f"{Path(place.filename).name}, line {place.lineno} ({place.name}). Please report this "
            "line."
        )

    def _sync_windows(self, run: SyncRun, *, is_written: bool) -> Generator[Record, None, None]:
        """Sync one window after the other; yield the records that are not written as pages."""
        began = time.monotonic()
        exports, writer = run.exports[self.name], self._tap.message_writer
        is_fast_path = is_written and self._can_write_pages
        # RECORD messages by stream map alias; the rows of a failed export come again.
        written: Counter[str] = Counter()
        written_now: Counter[str] = Counter()
        with (
            self.get_record_counter() as counter,
            self.get_sync_timer(),
            http_request_counter(self.name, f"/{self.name}") as requests,
        ):
            self._check_bookmark(run.monitor.started)
            for window, pages in run.windows(self):
                for page in pages:
                    if page.is_first:
                        written_now.clear()
                    earlier = exports.emitted
                    if is_fast_path and isinstance(writer, PageWriter):
                        written_now[self.name] += self._write_page(page, exports, writer)
                    else:
                        yield from self._sync_rows(
                            page, exports, written_now if is_written else None
                        )
                    counter.increment(exports.emitted - earlier)
                    if page.is_last:
                        written += written_now
                        written_now.clear()
                self._end_window(run, window)
                exports.windows_done += 1
                if is_written:
                    self._tap.state_writer.write_state(self.tap_state)
            requests.increment(exports.counts["requests"])
        if is_written and self._version is not None and self.ABORT_AT_RECORD_COUNT is None:
            self._end_full_read(run, self._version, written)
        if exports.dropped == exports.emitted > 0:
            self.logger.warning(
                "Stream '%s': stream maps dropped all %d rows. Check __filter__ if that is not "
                "intended.",
                *(self.name, exports.dropped),
            )
        self.logger.debug(
            "Stream completed: stream=%s records=%d elapsed=%.1fs",
            *(self.name, exports.emitted - exports.dropped, time.monotonic() - began),
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

    def _write_page(self, page: Page, exports: StreamExports, writer: PageWriter) -> int:
        """Write the rows of a page at once (fast path); return how many were written."""
        time_extracted = datetime.now(UTC)
        converted = self._page_converter(page.results)
        exports.rows += len(converted.rows) + converted.rows_without_key
        self.quality.rows_without_key += converted.rows_without_key
        is_replaced = page.has_invalid_unicode or converted.has_invalid_unicode
        self.quality.pages_with_invalid_unicode += is_replaced
        lines = record_lines(
            *(self.name, converted.rows),
            time_extracted=time_extracted,
            version=self._version,
            decimals_as_text=self._context.settings.value_format.decimals_as_text,
        )
        writer.write_lines(lines)
        written = lines.count(b"\n")
        exports.emitted += written
        exports.newest = max(exports.newest, converted.newest or "")
        return written

    def _sync_rows(
        self, page: Page, exports: StreamExports, written: Counter[str] | None
    ) -> Iterator[Record]:
        """Yield the records of a page; write them one by one, through the SDK, and count them."""
        for row in self._decode_rows(page, exports):
            SHUTDOWN.check()
            if self.ABORT_AT_RECORD_COUNT is not None:  # a dry run of the SDK
                self.state_manager.is_flushed = False  # the SDK ends a dry run with STATE, too
                self._check_max_record_limit(exports.emitted)
            if (record := self.post_process(row)) is not None:
                newest = canonical_timestamp(record.get(REPLICATION_KEY)) or ""
                if written is not None:
                    aliases = self._write_record(record)
                    exports.dropped += not aliases
                    written.update(aliases)
                exports.emitted += 1
                exports.newest = max(exports.newest, newest)
                yield record
        if written is not None and isinstance(self._tap.message_writer, PageWriter):
            self._tap.message_writer.flush()

    def _decode_rows(self, page: Page, exports: StreamExports) -> list[Record]:
        rows, others, is_replaced = decode_rows(page.results)
        exports.rows += len(rows) + others
        self.quality.rows_without_key += others
        self.quality.pages_with_invalid_unicode += page.has_invalid_unicode or is_replaced
        return rows

    def _write_record(self, record: Record) -> list[str]:
        """Write the messages of a record, after stream maps, and return their stream names."""
        try:
            messages = list(self._generate_record_messages(record))
            for message in messages:
                message.record = self._as_written(message.record, message.stream)
        except Exception as error:  # noqa: BLE001 - stream maps are expressions of the user
            kind = type(error).__name__
        else:
            for message in messages:
                if problem := type_problem(message.record, self._column_types[message.stream]):
                    msg = f"Stream '{self.name}': a stream map returns {problem}"
                    raise StreamError(msg)
                message.version = self._version
                self._tap.write_message(message)
            return [message.stream for message in messages]
        # Outside of `except`: the error of a stream map may quote a value.
        msg = (
            f"Stream '{self.name}': a stream map failed for a row ({kind}). Check stream_maps and "
            "stream_map_config."
        )
        raise StreamError(msg)

    @cached_property
    def _writing_maps(self) -> dict[str, StreamMap]:
        """The stream maps that write records, by name of the output."""
        return {one.stream_alias: one for one in full_reads.writing_maps(self.stream_maps)}

    @cached_property
    def _column_types(self) -> dict[str, ColumnTypes]:
        """The types of the columns that stream maps may have changed, by name of the output."""
        return {
            alias: {} if type(one) is SameRecordTransform else column_types(one.transformed_schema)
            for alias, one in self._writing_maps.items()
        }

    def _as_written(self, record: Record, alias: str) -> Record:
        """Return a record in the form of its SCHEMA, after its stream map."""
        one = self._writing_maps[alias]
        return text_record(
            record,
            one.transformed_schema["properties"],
            self._context.settings.value_format,
            is_flattened=one.flattening_enabled,
        )

    def keeps(self, path: str, *, is_unknown: bool) -> bool:
        """Return whether values that a field's schema does not expect are in the output.

        Args:
            path: Path of the field, as in the counters of `quality`.
            is_unknown: Whether the schema does not have the field.
        """
        if is_unknown and self._context.settings.unknown_fields is not UnknownFields.CAPTURE:
            return False
        top_level_field = re.split(r"[.\[]", path)[0]
        return top_level_field not in self._deselected_fields and any(
            EXTRA in one.transformed_schema["properties"]
            for one in full_reads.writing_maps(self.stream_maps)
        )

    @cached_property
    def _deselected_fields(self) -> set[str]:
        """The fields that are not wholly selected."""
        return {path[1] for path, is_selected in self.mask.items() if path and not is_selected}

    @cached_property
    def _converter(self) -> Converter:
        return Converter(
            self.effective_schema,
            stream=self.name,
            replication_key=REPLICATION_KEY,
            quality=self.quality,
            unknown_fields=self._context.settings.unknown_fields,
            deselected_fields=self._deselected_fields,
            value_format=self._context.settings.value_format,
        )

    @cached_property
    def _page_converter(self) -> PageConverter:
        return PageConverter(
            self.effective_schema,
            self._converter,
            replication_key=REPLICATION_KEY,
            primary_key=PRIMARY_KEY if self._has_id else None,
            value_format=self._context.settings.value_format,
        )

    @cached_property
    def _has_id(self) -> bool:
        """Whether the schema has the primary key; the schema of a catalog may not."""
        return PRIMARY_KEY in self.effective_schema["properties"]

    def _end_window(self, run: SyncRun, window: Window) -> None:
        """Check that all rows up to here were emitted, then move the bookmark."""
        exports, without_key = run.exports[self.name], self.quality.rows_without_key
        if exports.rows != exports.emitted + without_key:
            msg = (
                f"Stream '{self.name}': {exports.rows} rows received, {exports.emitted} emitted up "
                f"to {window}. Please report this line."
            )
            raise StreamError(msg)
        if without_key:
            msg = (
                f"Stream '{self.name}': {without_key} row{'s' * (without_key > 1)} of {window} "
                "without a usable id skipped; all others were emitted. Report it to CampusGroups."
            )
            raise StreamError(msg)
        if self.is_incremental:
            self._move_bookmark(window, newest=exports.newest, started=run.monitor.started)

    @cached_property
    def _version(self) -> int | None:
        """The version of the records of a full read."""
        if self.is_incremental:
            return None
        last, started = self._state_entry.get(state.FULL_READ_KEY), self._tap.initialized_at // 1000
        return full_reads.next_version(last, started=started)

    def _end_full_read(self, run: SyncRun, version: int, written: Counter[str]) -> None:
        """Activate the version of a complete full read: the target removes all other rows."""
        aliases = full_reads.aliases_of(self.stream_maps)
        rows = min(written[alias] for alias in aliases)
        window = self.window()
        read = state.FullRead(rows=rows, start=format_timestamp(window.start), version=version)
        last = self._state_entry.get(state.FULL_READ_KEY)
        obstacle = full_reads.removal_obstacle(
            has_end_date=self._context.settings.end_date is not None,
            end=window.end,
            present=run.monitor.present(),
        )
        problem = obstacle or state.removal_problem(read, last)
        if problem is None:
            for alias in aliases:
                self._tap.write_message(ActivateVersionMessage(stream=alias, version=version))
            self.logger.info(
                "Version activated: stream=%s version=%d rows=%d", self.name, version, rows
            )
        else:
            self.removal_problem = problem
            self.logger.warning(
                "Stream '%s': deleted rows stay in the target, because %s", self.name, problem
            )
        if problem is None or (last is None and rows and obstacle is None):
            self.stream_state[state.FULL_READ_KEY] = read
            self._tap.state_writer.write_state(self.tap_state)
