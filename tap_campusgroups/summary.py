"""The summary at the end of a run: rows, exports, data quality and failures per stream."""

from __future__ import annotations

import logging
import typing as t
from datetime import UTC, datetime

from tap_campusgroups.records.converter import UnknownFields
from tap_campusgroups.records.values import parse_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_campusgroups.client import CampusGroupsStream


_COLUMNS: t.Final = (
    *("stream", "rows", "exports", "windows", "resubmitted", "retries", "issues"),
    *("newest updatedOn", "age"),
)


def log_summary(
    logger: logging.Logger,
    streams: Sequence[CampusGroupsStream],
    failures: Mapping[str, BaseException],
    *,
    seconds: float,
) -> None:
    """Log the summary of a run: a table in the message, the figures in the record's `extra`."""
    figures = [_figures(stream, failures.get(stream.name)) for stream in streams]
    failed = [one for one in figures if one["error"]]
    complete = [f for f in figures if not f["error"] and f["windows_done"] == f["windows"]]
    rows = sum(one["rows"] for one in figures)
    is_kept = streams[0].settings.unknown_fields is UnknownFields.CAPTURE
    lines = [
        f"Summary: {len(complete)}/{len(figures)} streams, {_count(rows, 'row')}, {seconds:.1f} s",
        *_table(figures),
        *(line for one in figures for line in _issue_lines(one, is_kept=is_kept)),
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


def _figures(stream: CampusGroupsStream, error: BaseException | None) -> dict[str, t.Any]:
    """Return the figures of a stream, which docs/troubleshooting.md describes."""
    jobs, quality = stream.jobs, stream.quality
    newest = max((job.newest for job in jobs), default="")
    timestamp = parse_timestamp(newest)
    age = utc_now() - timestamp if timestamp else None
    return {
        "stream": stream.name,
        "rows": sum(job.received for job in jobs),
        "exports": sum(job.counts["exports"] for job in jobs),
        "windows": len(jobs),
        "windows_done": sum(job.is_complete for job in jobs),
        "resubmissions": sum(job.counts["resubmissions"] for job in jobs),
        "retries": sum(job.counts["retries"] for job in jobs),
        "newest": newest or None,
        "age_hours": round(age.total_seconds() / 3600, 1) if age else None,
        "unknown": {
            name: {"count": unknown.count, "type": unknown.suggested_type}
            for name, unknown in sorted(quality.unknown_fields.items())
        },
        "type_mismatches": dict(sorted(quality.type_mismatches.items())),
        "pages_with_invalid_unicode": quality.pages_with_invalid_unicode,
        "rows_without_key": quality.rows_without_key,
        "error": str(error) if error else None,
    }


def _table(figures: Iterable[dict[str, t.Any]]) -> list[str]:
    cells: list[tuple[str, ...]] = [_COLUMNS]
    for one in figures:
        done = f"{one['windows_done']}/{one['windows']}"
        issues = sum(field["count"] for field in one["unknown"].values())
        issues += sum(one["type_mismatches"].values())
        issues += one["pages_with_invalid_unicode"] + one["rows_without_key"]
        counts = (one["exports"], done, one["resubmissions"], one["retries"], issues)
        newest = one["newest"][:19] if one["newest"] else "-"
        age = f"{one['age_hours']:,.0f} h" if one["age_hours"] is not None else "-"
        cells.append((one["stream"], f"{one['rows']:,}", *map(str, counts), newest, age))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"  {first:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        for first, *rest in cells
    ]


def _issue_lines(one: dict[str, t.Any], *, is_kept: bool) -> list[str]:
    kept = "kept in _extra" if is_kept else "dropped"
    lines = [
        f"field {name} is not in the schema: {_count(unknown['count'], 'value')}, {kept}; "
        f"suggested type: {unknown['type']}"
        for name, unknown in one["unknown"].items()
    ]
    lines += [
        f"field {name} has {_count(count, 'value')} of another type, kept in _extra"
        for name, count in one["type_mismatches"].items()
    ]
    if pages := one["pages_with_invalid_unicode"]:
        lines.append(f"{_count(pages, 'page')} with invalid Unicode, replaced by U+FFFD")
    if rows := one["rows_without_key"]:
        lines.append(f"{_count(rows, 'row')} without a usable id, skipped")
    return [f"  {one['stream']}: {line}" for line in lines]


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def utc_now() -> datetime:
    """Return the current time; tests replace this function."""
    return datetime.now(UTC)
