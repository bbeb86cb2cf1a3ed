"""The reference of the streams, docs/streams.md, made of their classes and schemas."""

from __future__ import annotations

import json
import typing as t
from importlib import resources

from scripts.generate.masking import MARK
from tap_campusgroups import schemas
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_campusgroups.client import CampusGroupsStream

    Schema: t.TypeAlias = dict[str, t.Any]

_INTRODUCTION: t.Final = """\
# Streams

Every stream of the tap, with every field of its schema. This page is generated from the schemas
(`make generate`); do not edit it.

- All streams have the primary key `id` and the replication key `updatedOn`.
- Every field but `id` may be null, also where nothing else is said, and so may the items of arrays.
- `a.b` is the field `b` of the object `a`; `a[].b` is the field `b` of each object in the array
  `a`.
- A type in parentheses is the format of a text: `date` is a day, `2024-05-01`; `date-time` is an
  instant, `2024-05-01T10:00:00Z`, without the `Z` if the service sends no offset.
- `_extra` is the tap's own: see "Odd values" in the [README](../README.md#odd-values).
"""

_IDENTIFIERS: t.Final = """\
- A field with a mark in the column *identifier* names a person or leads to one. `hash`: something
  to join by, which a keyed hash can stand for. `drop`: a name, a picture, an address or the like,
  which few analyses need. A field without a mark may hold personal data all the same: people type
  what they like into texts, and the ids of users are people's, too.
  [masked.meltano.yml](../examples/masked.meltano.yml) is made of these marks.
"""


def text() -> str:
    """Write the page.

    Returns:
        Markdown.
    """
    streams = {stream.name: stream for stream in STREAMS[max(ApiVersion)]}
    fields = {name: list(_fields(_schema(name))) for name in streams}
    has_identifiers = any(MARK in field for rows in fields.values() for _, field in rows)
    return "\n".join(
        [
            _INTRODUCTION + _IDENTIFIERS * has_identifiers,
            *("| stream | what a row is | fields |", "| --- | --- | --- |"),
            *(
                f"| [`{name}`](#{name}) | {_what(stream)} | {len(fields[name])} |"
                for name, stream in streams.items()
            ),
            *(line for name, stream in streams.items() for line in _section(stream, fields[name])),
            "",
        ]
    )


def _schema(name: str) -> Schema:
    file = resources.files(schemas) / f"{name}.json"
    return t.cast("Schema", json.loads(file.read_text(encoding="utf-8")))


def _what(stream: type[CampusGroupsStream]) -> str:
    """Say what a row is, and when the stream is there at all."""
    said = stream.description
    versions = [version for version, streams in STREAMS.items() if stream in streams]
    return said if min(ApiVersion) in versions else f'{said} With `api_version: "{min(versions)}"`.'


def _section(stream: type[CampusGroupsStream], fields: list[tuple[str, Schema]]) -> Iterator[str]:
    """Write the lines of a stream."""
    is_marked = any(MARK in field for _, field in fields)
    columns = ["field", "type", *["identifier"] * is_marked, "description"]
    yield from ("", f"## {stream.name}", "", _what(stream), "", _row(columns))
    yield _row(["---"] * len(columns))
    for path, field in fields:
        mark = [f"`{field[MARK]}`" if MARK in field else ""] * is_marked
        yield _row([f"`{path}`", _type(field), *mark, field["description"]])


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _fields(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Walk the fields, each followed by those within it."""
    for name, field in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        yield path, field
        yield from _fields(field, f"{path}.")
        yield from _fields(field.get("items", {}), f"{path}[].")


def _type(field: Schema) -> str:
    """Write a type without `null`, which is among all of them."""
    kinds = [field["type"]] if isinstance(field["type"], str) else field["type"]
    said = " or ".join(kind for kind in kinds if kind != "null")
    if "format" in field:
        said += f" ({field['format']})"
    if "items" in field:
        said += f" of {_type(field['items'])}s"
    return said
