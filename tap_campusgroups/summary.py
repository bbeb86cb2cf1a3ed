"""The summary at the end of a run: rows, exports, data quality and failures per stream."""

from __future__ import annotations

import logging
import typing as t
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from tap_campusgroups.records.converter import UnknownFields
from tap_campusgroups.records.values import parse_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_campusgroups.client import CampusGroupsStream


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSummary:
    """Figures of one stream; structured logs carry them under these names.

    Attributes:
        stream: Name of the stream.
        rows: Rows received, including duplicates.
        exports: Exports that the service accepted.
        windows: Windows planned.
        windows_done: Windows read completely.
        resubmissions: Exports submitted in place of failed ones.
        retries: Requests sent again.
        newest: The newest `updatedOn` emitted, in canonical form.
        age_hours: Age of `newest` at the end of the run.
        unknown: Fields that are not in the schema, each with its `count` and suggested `type`.
        type_mismatches: Number of values that do not fit their type, per field.
        pages_with_invalid_unicode: Pages with characters replaced by U+FFFD.
        rows_without_key: Rows skipped because they have no usable id.
        error: Why the stream failed.
    """

    stream: str
    rows: int
    exports: int
    windows: int
    windows_done: int
    resubmissions: int
    retries: int
    newest: str | None
    age_hours: float | None
    unknown: dict[str, dict[str, t.Any]]
    type_mismatches: dict[str, int]
    pages_with_invalid_unicode: int
    rows_without_key: int
    error: str | None

    @classmethod
    def of(cls, stream: CampusGroupsStream, error: BaseException | None) -> StreamSummary:
        """Return the summary of a stream after its sync."""
        jobs = stream.jobs
        newest, quality = parse_timestamp(stream.newest), stream.quality
        age = utc_now() - newest if newest else None
        return cls(
            stream=stream.name,
            rows=sum(job.received for job in jobs),
            exports=sum(job.counts["exports"] for job in jobs),
            windows=len(jobs),
            windows_done=sum(job.is_complete for job in jobs),
            resubmissions=sum(job.counts["resubmissions"] for job in jobs),
            retries=sum(job.counts["retries"] for job in jobs),
            newest=stream.newest,
            age_hours=round(age.total_seconds() / 3600, 1) if age else None,
            unknown={
                name: {"count": unknown.count, "type": unknown.suggested_type}
                for name, unknown in sorted(quality.unknown_fields.items())
            },
            type_mismatches=dict(sorted(quality.type_mismatches.items())),
            pages_with_invalid_unicode=quality.pages_with_invalid_unicode,
            rows_without_key=quality.rows_without_key,
            error=str(error) if error else None,
        )

    @property
    def issues(self) -> int:
        """Number of values, pages and rows with an irregularity."""
        unknown = sum(int(field["count"]) for field in self.unknown.values())
        mismatches = sum(self.type_mismatches.values())
        return unknown + mismatches + self.pages_with_invalid_unicode + self.rows_without_key


_COLUMNS: t.Final = (
    *("stream", "rows", "exports", "windows", "resubmitted", "retries", "issues"),
    *("newest updatedOn", "age"),
)


def log_summary(
    logger: logging.Logger,
    streams: Sequence[StreamSummary],
    *,
    seconds: float,
    unknown_fields: UnknownFields,
) -> None:
    """Log the summary of a run: a table in the message, the figures in the record's `extra`."""
    failed = [one for one in streams if one.error]
    complete = [one for one in streams if not one.error and one.windows_done == one.windows]
    rows = sum(one.rows for one in streams)
    lines = [
        f"Summary: {len(complete)}/{len(streams)} streams, {_count(rows, 'row')}, {seconds:.1f} s",
        *_table(streams),
        *(line for one in streams for line in _issue_lines(one, unknown_fields)),
        *(f"  FAILED: {one.error}" for one in failed),
    ]
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "%s",
        "\n".join(lines),
        extra={
            "rows": rows,
            "seconds": round(seconds, 3),
            "streams": [asdict(one) for one in streams],
            "failed": [one.stream for one in failed],
        },
    )


def _table(streams: Iterable[StreamSummary]) -> list[str]:
    cells: list[tuple[str, ...]] = [_COLUMNS]
    for one in streams:
        done = f"{one.windows_done}/{one.windows}"
        counts = (one.exports, done, one.resubmissions, one.retries, one.issues)
        newest = one.newest[:19] if one.newest else "-"
        age = f"{one.age_hours:,.0f} h" if one.age_hours is not None else "-"
        cells.append((one.stream, f"{one.rows:,}", *map(str, counts), newest, age))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"  {first:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        for first, *rest in cells
    ]


def _issue_lines(one: StreamSummary, unknown_fields: UnknownFields) -> list[str]:
    kept = "kept in _extra" if unknown_fields is UnknownFields.CAPTURE else "dropped"
    lines = [
        f"field {name} is not in the schema: {_count(unknown['count'], 'value')}, {kept}; "
        f"suggested type: {unknown['type']}"
        for name, unknown in one.unknown.items()
    ]
    lines += [
        f"field {name} has {_count(count, 'value')} of another type, kept in _extra"
        for name, count in one.type_mismatches.items()
    ]
    if pages := one.pages_with_invalid_unicode:
        lines.append(f"{_count(pages, 'page')} with invalid Unicode, replaced by U+FFFD")
    if rows := one.rows_without_key:
        lines.append(f"{_count(rows, 'row')} without a usable id, skipped")
    return [f"  {one.stream}: {line}" for line in lines]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def utc_now() -> datetime:
    """Return the current time; tests replace this function."""
    return datetime.now(UTC)
