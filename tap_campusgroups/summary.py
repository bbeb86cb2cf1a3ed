"""The summary at the end of a run: rows, exports, data quality and failures per stream."""

from __future__ import annotations

import logging
import re
import typing as t
from contextlib import suppress
from datetime import UTC, datetime

from tap_campusgroups.records.converter import UnknownFields, is_fully_convertible, single_type
from tap_campusgroups.records.json_codec import format_json
from tap_campusgroups.records.quality import TOO_MANY_NAMES
from tap_campusgroups.records.values import parse_timestamp
from tap_campusgroups.redaction import HIDDEN_NAME

if t.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.exports.scheduler import StreamExports
    from tap_campusgroups.records.converter import Schema
    from tap_campusgroups.records.quality import DataQualityCounters, UnknownFieldStats


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
    unknown_fields: UnknownFields,
) -> None:
    """Log the summary of a run: a table in the message, the figures in the record's `extra`."""
    figures = stream_figures(streams, exports, failures)
    failed = [one for one in figures if one["error"]]
    complete = sum(not f["error"] and f["windows_done"] == f["windows"] for f in figures)
    rows = sum(one["rows"] for one in figures)
    kept = "kept in _extra" if unknown_fields is UnknownFields.CAPTURE else "dropped"
    lines = [
        f"Summary: {complete}/{len(figures)} streams, {_count(rows, 'row')}, {seconds:.1f} s",
        *_table(figures),
        *(f"  {one['stream']}: {issue}" for one in figures for issue in _issues(one, kept)),
        *_schema_lines(streams),
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
    return [
        _figures(exports[stream.name], stream.quality, failures.get(stream.name))
        for stream in streams
    ]


def _figures(
    exports: StreamExports, quality: DataQualityCounters, error: BaseException | None
) -> dict[str, t.Any]:
    """Return the figures of a stream, which docs/troubleshooting.md describes."""
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
        newest = (one["newest"] or "-")[:19]
        age = f"{one['age_hours']:,.0f} h" if one["age_hours"] is not None else "-"
        cells.append((one["stream"], f"{one['rows']:,}", *map(str, counts), newest, age))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        f"  {first:{widths[0]}}"
        + "".join(f"  {cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True))
        for first, *rest in cells
    ]


def _issues(one: dict[str, t.Any], kept: str) -> Iterator[str]:
    for name, unknown in one["unknown"].items():
        yield (
            f"field {name} is not in the schema: {_count(unknown['count'], 'value')}, {kept}; "
            f"suggested type: {unknown['type']}"
        )
    for name, count in one["type_mismatches"].items():
        yield f"field {name} has {_count(count, 'value')} of another type, kept in _extra"
    if pages := one["pages_with_invalid_unicode"]:
        yield f"{_count(pages, 'page')} with invalid Unicode, replaced by U+FFFD"
    if rows := one["rows_without_key"]:
        yield f"{_count(rows, 'row')} without a usable id, skipped"


def _schema_lines(streams: Iterable[CampusGroupsStream]) -> list[str]:
    """Return the lines for meltano.yml that declare the unknown fields."""
    lines: list[str] = []
    for stream in streams:
        if fields := _declare(stream.quality.unknown_fields, stream.effective_schema):
            lines.append(f"      {stream.name}:")
            # JSON is valid YAML, and quotes the names that YAML takes for booleans.
            lines += [f'        "{name}": {format_json(one)}' for name, one in fields.items()]
    heading = "  To load the new fields as columns, add to the extractor in meltano.yml:"
    return [heading, "    schema:", *lines] if lines else []


def _declare(unknown: Mapping[str, UnknownFieldStats], schema: Schema) -> dict[str, t.Any]:
    """Return the schemas of unknown fields; that of a nested one is its whole top-level field."""
    declared: dict[str, t.Any] = {}
    for path, stats in sorted(unknown.items()):
        # Of `tags[].color`: tags, [] and color.
        *parents, name = re.findall(r"\[\]|[^.\[\]]+", path)
        suggested = stats.suggested_schema
        if suggested is None or name in {HIDDEN_NAME, TOO_MANY_NAMES}:
            continue
        if not parents:
            declared[name] = suggested
        elif is_fully_convertible(definition := schema["properties"].get(parents[0], {})):
            top = node = declared.get(parents[0]) or _without_descriptions(definition)
            with suppress(KeyError):  # names in a user's catalog may contain dots
                for parent in parents[1:]:
                    node = node["items"] if parent == "[]" else node["properties"][parent]
                node["properties"][name] = suggested
                declared[parents[0]] = top
    return declared


def _without_descriptions(schema: Schema) -> dict[str, t.Any]:
    """Return a copy of a schema that is fully convertible, with what determines the conversion."""
    copy: dict[str, t.Any] = {"type": [single_type(schema), "null"]}
    if "format" in schema:
        copy["format"] = schema["format"]
    if "properties" in schema:
        properties = schema["properties"].items()
        copy["properties"] = {name: _without_descriptions(one) for name, one in properties}
    if "items" in schema:
        copy["items"] = _without_descriptions(schema["items"])
    return copy


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def utc_now() -> datetime:
    """Return the current time; tests replace this function."""
    return datetime.now(UTC)
