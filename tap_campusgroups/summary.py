"""The summary at the end of a run: what was read of each stream, what was odd, what failed."""

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
    """What a run has to say of a stream.

    Attributes:
        stream: Its name.
        rows: Rows that came, those that came twice included.
        exports: Exports that the service accepted.
        windows: Windows that were to be read.
        windows_done: Windows that were read.
        resubmissions: Exports that took the place of failed ones.
        retries: Requests that were tried again.
        newest: The newest `updatedOn` that was emitted, in canonical form.
        age_hours: How old that was at the end of the run.
        unknown: Fields that the schema does not have: how often they came, and a type for them.
        type_mismatches: How many values of a field did not fit its type.
        replaced: Pages in which characters that are none were replaced.
        rows_without_key: Rows that were left out because they have no usable id.
        error: What ended the stream early, in one line.
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
    replaced: int
    rows_without_key: int
    error: str | None

    @classmethod
    def of(
        cls, stream: CampusGroupsStream, error: BaseException | None, *, now: datetime
    ) -> StreamSummary:
        """Make the report of a stream.

        Args:
            stream: The stream, after its sync.
            error: What ended it early.
            now: The present instant, aware.
        """
        tasks = [part.task for part in stream.parts]
        newest = parse_timestamp(stream.newest)
        quality = stream.quality
        return cls(
            stream=stream.name,
            rows=sum(task.rows for task in tasks),
            exports=sum(task.counts["exports"] for task in tasks),
            windows=len(tasks),
            windows_done=sum(part.is_done for part in stream.parts),
            resubmissions=sum(task.counts["resubmissions"] for task in tasks),
            retries=sum(task.counts["retries"] for task in tasks),
            newest=stream.newest,
            age_hours=round((now - newest).total_seconds() / 3600, 1) if newest else None,
            unknown={
                name: {"count": unknown.count, "type": unknown.suggested_type}
                for name, unknown in sorted(quality.unknown_fields.items())
            },
            type_mismatches=dict(sorted(quality.type_mismatches.items())),
            replaced=quality.pages_with_invalid_unicode,
            rows_without_key=quality.rows_without_key,
            error=str(error) if error else None,
        )


_COLUMNS: t.Final = (
    *("stream", "rows", "exports", "windows", "again", "retries", "odd"),
    *("newest updatedOn", "age"),
)


def write_summary(
    logger: logging.Logger,
    reports: Sequence[StreamSummary],
    *,
    seconds: float,
    unknown_fields: UnknownFields,
) -> None:
    """Log the summary of a run: a table for the terminal, the figures for structured logs.

    Args:
        logger: Where to.
        reports: Of the streams, in their order.
        seconds: How long the run took.
        unknown_fields: What was done with unknown fields.
    """
    failed = [report for report in reports if report.error]
    whole = [r for r in reports if r.error is None and r.windows_done == r.windows]
    rows = sum(report.rows for report in reports)
    lines = [
        (f"Summary: {len(whole)} of {len(reports)} streams, {rows:,} rows in {seconds:.1f} s"),
        *_table(reports),
        *(line for report in reports for line in _odd_lines(report, unknown_fields)),
        *(f"  FAILED: {report.error}" for report in failed),
    ]
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "%s",
        "\n".join(lines),
        extra={
            "rows": rows,
            "seconds": round(seconds, 3),
            "streams": [asdict(report) for report in reports],
            "failed": [report.stream for report in failed],
        },
    )


def _table(reports: Iterable[StreamSummary]) -> list[str]:
    """Write a line a stream."""
    cells: list[tuple[str, ...]] = [_COLUMNS]
    for report in reports:
        odd = sum(report.type_mismatches.values()) + report.replaced + report.rows_without_key
        odd += sum(unknown["count"] for unknown in report.unknown.values())
        done = f"{report.windows_done}/{report.windows}"
        counts = (report.exports, done, report.resubmissions, report.retries, odd)
        newest = report.newest[:19] if report.newest else "-"
        age = f"{report.age_hours:,.0f} h" if report.age_hours is not None else "-"
        cells.append((report.stream, f"{report.rows:,}", *map(str, counts), newest, age))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  "
        + "  ".join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(n) for cell, n in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in cells
    ]


def _odd_lines(report: StreamSummary, unknown_fields: UnknownFields) -> list[str]:
    """Tell what was odd in a stream, by name."""
    kept = "kept in _extra" if unknown_fields is UnknownFields.CAPTURE else "left out"
    lines = [
        f"field {name} is not in the schema: {unknown['count']:,} values, {kept}; suggested type: "
        f"{unknown['type']}"
        for name, unknown in report.unknown.items()
    ]
    lines += [
        f"field {name} has {count:,} values that do not fit its type, kept in _extra"
        for name, count in report.type_mismatches.items()
    ]
    if report.replaced:
        lines.append(f"{report.replaced:,} pages had characters that are none, now U+FFFD")
    if report.rows_without_key:
        lines.append(f"{report.rows_without_key:,} rows without a usable id were left out")
    return [f"  {report.stream}: {line}" for line in lines]


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)
