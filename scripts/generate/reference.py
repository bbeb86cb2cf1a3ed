"""The stream reference, docs/streams.md, generated from the streams and their schemas."""

from __future__ import annotations

import json
import typing as t
from importlib import resources

from tap_campusgroups import schemas
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.stream_map_checks import MARK
from tap_campusgroups.streams import STREAMS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    Schema: t.TypeAlias = dict[str, t.Any]

_INTRODUCTION: t.Final = """\
# Streams

Every field of every stream. This page is generated from the schemas by `make generate`; do not
edit it.

- Every stream has the primary key `id` and the replication key `updatedOn`.
- Every field except `id` is nullable, and so are the items of arrays.
- `a.b` is the field `b` of the object `a`. `a[].b` is the field `b` of each object in the array
  `a`.
"""

_IDENTIFIERS: t.Final = """\
- The column *identifier* marks direct identifiers: fields that name a person or lead to one.
  `hash` marks values that are useful as join keys, such as email addresses. `drop` marks names,
  phone numbers, street addresses and similar values. The
  [masking preset](masking.md#use-the-preset) is generated from these marks. Fields without a mark
  can still contain personal data: people type it into free text, and the ids of users identify
  people, too.
"""

_VALUES: t.Final = """
## Values

Values are converted to the declared type of their field:

| declared type | accepted values |
| --- | --- |
| integer, number | Numbers, and text such as `"7"` or `"12.50"`. Decimals keep all their digits. \
`true` and `false` do not fit: as 1, `true` would be the id of another row. |
| boolean | `true` and `false`, 1 and 0, and the same as text. |
| string | Text, and numbers and booleans as text. Empty text stays empty. |
| string (date) | `2024-05-01`. |
| string (date-time) | `2024-05-01T10:00:00`, with or without fractions of a second; also as \
SQL engines write it: `2024-05-01 10:00:00.000 UTC`. With an offset, \
the value is converted to UTC. Without one, it stays as it is unless \
[`time_zone`](#time-zones) is set: only the school knows its time zone. |
| object, array | JSON objects and arrays, and text that contains one. |

In all types except string, empty text is null. The text `null` is null in any type except string.

Every record is valid against its schema. The field `_extra` is an object, and null in most
records. It contains, under its original name and as it was received:

- every field that the schema does not declare (see the setting `unknown_fields`);
- every value that cannot be converted, such as the date `2024-02-30`. The field itself is then
  null;
- the whole value of an object or array if any part of it is unknown or cannot be converted.

Deselected fields never appear in `_extra`. If you mask fields with stream maps, mask `_extra`,
too: see [Masking](masking.md). NaN and Infinity, which are not JSON, are stored in `_extra` as
text. Invalid Unicode is replaced with U+FFFD, and the summary counts the affected pages. A page
with an integer of more than 4,300 digits, or nested so deeply that no parser reads it, is not
valid: the stream fails. So does a page of more than 400,000 objects or 2,000,000 values, which
would not fit into memory.

In your own catalog, keep every field nullable. You may add constraints such as `enum` or
`pattern`: a value that violates one is null in its field and kept in `_extra`. A field that you
add to the schema becomes a column. Leave `updatedOn` and `_extra` as they are, and add no
constraint for whole rows, such as `required`: the tap refuses both.

### Values as text

Two settings change the form in which values are written, and their types in the SCHEMA messages.
They apply last: your catalog and your stream maps still see objects and numbers.

- `nested_values: text` writes each object and array, and `_extra`, as JSON text with exact
  decimals. The setting also applies to objects and arrays that your own catalog declares. Their
  constraints are still applied to the value, but are not in the SCHEMA. Every record has all fields
  of its schema; those that the service did not send are null.
- `decimals: text` writes each value of type number, and each number with a decimal point inside
  objects, arrays and `_extra`, as text: `"12.50"`. Integers stay numbers. JSON text is exact, so
  numbers in it stay numbers.

With `flattening_enabled`, too, every record has all fields of its schema. Without these settings,
fields that the service did not send are absent from a record.

In stream maps, `json.dumps` writes decimals with all their digits. `json.loads` reads them as
floating point.

### Time zones

With `time_zone`, date-times without an offset are taken as local times of that zone and converted
to UTC, at any depth:

- A time that comes twice, when clocks go back, is the first of the two.
- A time that is skipped, when clocks go forward, has the offset from before the change: in New
  York, 02:30 is the same as 03:30.
- Dates stay as they are, and so does `_extra`.
- `updatedOn` of a row without an offset is always taken as UTC, the time of the service's ranges
  and of the bookmark. In the specification, it has one.
- A year before 1 or after 9999 in UTC, such as `9999-12-31T23:59:59` in New York, does not fit: the
  field is null, and the value is in `_extra`.

The rules of the zone come from the system, or from the Python package `tzdata`.

## Overview
"""


def text() -> str:
    """Return the page as Markdown."""
    streams = STREAMS[max(ApiVersion)]
    fields = {name: list(_fields(_schema(name))) for name in streams}
    has_identifiers = any(MARK in field for rows in fields.values() for _, field in rows)
    return "\n".join(
        [
            _INTRODUCTION + _IDENTIFIERS * has_identifiers + _VALUES,
            *("| stream | contents | fields |", "| --- | --- | --- |"),
            *(
                f"| [`{name}`](#{name}) | {_description(name)} | {len(fields[name])} |"
                for name in streams
            ),
            *(line for name in streams for line in _section(name, fields[name])),
            "",
        ]
    )


def _schema(name: str) -> Schema:
    file = resources.files(schemas) / f"{name}.json"
    return t.cast("Schema", json.loads(file.read_text(encoding="utf-8")))


def _description(stream: str) -> str:
    """Return the stream's description, and the API version that it requires."""
    first = min(version for version, streams in STREAMS.items() if stream in streams)
    description: str = _schema(stream)["x-description"]
    required = "" if first is min(ApiVersion) else f' Requires `api_version: "{first}"`.'
    return f"{description}{required}"


def _section(stream: str, fields: list[tuple[str, Schema]]) -> Iterator[str]:
    """Yield the lines of a stream's section."""
    is_marked = any(MARK in field for _, field in fields)
    columns = ["field", "type", *["identifier"] * is_marked, "description"]
    yield from ("", f"## {stream}", "", _description(stream), "", _row(columns))
    yield _row(["---"] * len(columns))
    for path, field in fields:
        mark = [f"`{field[MARK]}`" if MARK in field else ""] * is_marked
        yield _row([f"`{path}`", _type(field), *mark, field["description"]])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _fields(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield the fields depth first, each with its path."""
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, field
        yield from _fields(field, f"{path}.")
        yield from _fields(field.get("items", {}), f"{path}[].")


def _type(field: Schema) -> str:
    """Return a field's type for the table, without `null`."""
    types = [field["type"]] if isinstance(field["type"], str) else field["type"]
    text = " or ".join(name for name in types if name != "null")
    if "format" in field:
        text += f" ({field['format']})"
    if "items" in field:
        text += f" of {_type(field['items'])}s"
    return text
