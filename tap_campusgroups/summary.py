"""The summary at the end of a run: rows, exports, data quality and failures per stream."""

from __future__ import annotations

import logging
import typing as t

from tap_campusgroups.exports.service_monitor import utc_now
from tap_campusgroups.records.values import parse_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.exports.scheduler import StreamExports

_COLUMNS: t.Final = (
    *("stream", "rows", "exports", "windows", "resubmitted", "retries", "issues"),
    *("newest updatedOn", "age"),
)


def log_summary(
    logger: logging.Logger,
    streams: Sequence[CampusGroupsStream],
    exports: Mapping[str, StreamExports],
    failures: Mapping[str, BaseException],
    *,
    seconds: float,
) -> None:
    """Log the summary of a run: a table in the message, the figures in the record's `extra`."""
    figures = stream_figures(streams, exports, failures)
    failed = [one for one in figures if one["error"]]
    complete = sum(not f["error"] and f["windows_done"] == f["windows"] for f in figures)
    rows = sum(one["rows"] for one in figures)
    lines = [
        f"Summary: {complete}/{len(figures)} streams, {_count(rows, 'row')}, {seconds:.1f} s",
        *_table(figures),
        *(f"  {one.name}: {issue}" for one in streams for issue in _issues(one)),
        *(f"  FAILED: {one['error']}" for one in failed),
    ]
    logger.log(
        logging.WARNING if failed else logging.INFO,
        "%s",
        "\n".join(lines),
        extra={
            "rows": rows,
            "seconds": round(seconds, 3),
            "streams": figures,
            "failed": [one["stream"] for one in failed],
        },
    )


def stream_figures(
    streams: Sequence[CampusGroupsStream],
    exports: Mapping[str, StreamExports],
    failures: Mapping[str, BaseException],
) -> list[dict[str, t.Any]]:
    """Return the figures of each stream, for the summary and the run report."""
    return [_figures(exports[stream.name], stream, failures.get(stream.name)) for stream in streams]


def _figures(
    exports: StreamExports, stream: CampusGroupsStream, error: BaseException | None
) -> dict[str, t.Any]:
    """Return the figures of a stream, which docs/troubleshooting.md describes."""
    quality = stream.quality
    timestamp = parse_timestamp(exports.newest)
    age = utc_now() - timestamp if timestamp else None
    return {
        "stream": exports.stream,
        "rows": exports.rows,
        "exports": exports.counts["exports"],
        "windows": exports.planned,
        "windows_done": exports.windows_done,
        "resubmissions": exports.counts["resubmissions"],
        "retries": exports.counts["retries"],
        "newest": exports.newest or None,
        "age_hours": round(age.total_seconds() / 3600, 1) if age else None,
        "issues": quality.issues,
        "unknown": {
            name: {"count": unknown.count, "type": unknown.suggested_type}
            for name, unknown in sorted(quality.unknown_fields.items())
        },
        "type_mismatches": dict(sorted(quality.type_mismatches.items())),
        "pages_with_invalid_unicode": quality.pages_with_invalid_unicode,
        "rows_without_key": quality.rows_without_key,
        "deleted_rows_stay": stream.removal_problem,
        "error": str(error) if error else None,
    }


def _table(figures: Iterable[dict[str, t.Any]]) -> list[str]:
    cells: list[tuple[str, ...]] = [_COLUMNS]
    for one in figures:
        done = f"{one['windows_done']}/{one['windows']}"
        counts = (one["exports"], done, one["resubmissions"], one["retries"], one["issues"])
        newest = (one["newest"] or "-")[:19]
        age = f"{one['age_hours']:,.0f} h" if one["age_hours"] is not None else "-"
        cells.append((one["stream"], f"{one['rows']:,}", *map(str, counts), newest, age))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"  {first:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        for first, *rest in cells
    ]


def _issues(stream: CampusGroupsStream) -> Iterator[str]:
    quality = stream.quality
    for name, unknown in sorted(quality.unknown_fields.items()):
        fate = "kept in _extra" if stream.keeps(name, is_unknown=True) else "dropped"
        yield (
            f"field {name} is not in the schema: {_count(unknown.count, 'value')}, {fate}; "
            f"suggested type: {unknown.suggested_type}"
        )
    for name, count in sorted(quality.type_mismatches.items()):
        fate = "kept in _extra" if stream.keeps(name, is_unknown=False) else "dropped"
        yield f"field {name} has {_count(count, 'value')} of another type, {fate}"
    if pages := quality.pages_with_invalid_unicode:
        yield f"{_count(pages, 'page')} with invalid Unicode, replaced by U+FFFD"
    if rows := quality.rows_without_key:
        yield f"{_count(rows, 'row')} without a usable id, skipped"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
