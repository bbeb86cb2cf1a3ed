"""Odd pages, converted as a whole (fast path) and row by row (slow path)."""

from __future__ import annotations

import json
from copy import deepcopy
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_campusgroups.exceptions import StreamError
from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.records.json_codec import (
    JsonError,
    Raw,
    decode_rows,
    encode_json,
    record_lines,
)
from tests.simulator.dataset import tap_schemas
from tests.support.conversion import KEY, SCHEMA, assert_same
from tests.support.harness import NEWEST
from tests.support.lost_values import missing
from tests.support.strategies import pages, schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "odd-pages"
EXAMPLES = 3
"""Pages per seed."""

SCHEMAS = {**tap_schemas("1.1"), "of every kind": SCHEMA}

EDITS: tuple[dict[str, Any], ...] = (
    {"type": ["string", "null"]},
    {"type": ["integer", "null"]},
    {"type": ["number", "null"]},
    {"type": ["boolean", "null"]},
    {"type": ["object", "null"]},
    {"type": ["array", "null"]},
    {"type": ["string", "null"], "maxLength": 5},
    {"type": ["string", "null"], "enum": ["a", None]},
    {"type": ["string", "null"], "format": "date"},
    {"type": ["string", "null"], "pattern": "^[0-9]+$"},
    {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
    {"type": ["object", "null"], "additionalProperties": False, "properties": {}},
    {"type": ["array", "null"], "items": {"type": "integer"}},
    {"type": ["integer", "string", "null"]},
    {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    {},
)
"""What a user may make of a field in a catalog."""


@st.composite
def edited(draw: st.DrawFn, stream: str) -> Mapping[str, Any]:
    """Return a schema of the tap as a user's catalog may have it."""
    schema = deepcopy(dict(SCHEMAS[stream]))
    properties = schema["properties"]
    fields = sorted(properties.keys() - {"id", KEY, EXTRA})
    for name in draw(st.lists(st.sampled_from(fields), max_size=2, unique=True)):
        if draw(st.booleans()):
            del properties[name]
        else:
            properties[name] = draw(st.sampled_from(EDITS))
    if draw(st.booleans()):
        properties["new"] = draw(st.sampled_from(EDITS))
    return schema


def both_paths_agree(schema: Mapping[str, Any], page: str) -> list[Any]:
    """Both paths write the same records, or fail alike; return them as a target reads them."""
    pair = assert_same(schema, page, primary_key="id" if "id" in schema["properties"] else None)
    try:
        rows = pair.convert_page(Raw(page.encode())).rows
    except (JsonError, StreamError):
        return []
    lines = record_lines("some", rows, time_extracted=NEWEST).splitlines()
    return [json.loads(line, parse_float=Decimal)["record"] for line in lines]


def records_are_valid(schema: Mapping[str, Any], records: list[Any]) -> None:
    """Every record is valid against its schema."""
    for record in records:
        for error in Draft202012Validator(schema).iter_errors(record):
            msg = f"invalid record: {error.json_path}: {error.message[:200]}"
            raise AssertionError(msg)


def nothing_is_lost(rows: list[Any], records: list[Any]) -> None:
    """Every value is in its column or in `_extra`."""
    assert len(records) == len(rows), f"{len(rows)} rows, {len(records)} records"
    for row, record in zip(rows, records, strict=True):
        if row.pop(EXTRA, None) is None:  # the service's own field of this name is another matter
            assert not (lost := missing(row, record)), f"{lost} of {row} lost in {record}"


def check_pages(data: st.DataObject, stream: str) -> None:
    """Convert a page of a stream, the same with usable ids, and one of any schema."""
    schema = data.draw(edited(stream))
    page = data.draw(pages(schema, rows=4, fields=10))
    both_paths_agree(schema, page)
    try:
        rows = decode_rows(Raw(page.encode()))[0]
    except (JsonError, StreamError):
        return
    rows = [row | {"id": number} for number, row in enumerate(rows)]
    records = both_paths_agree(schema, encode_json(rows))
    records_are_valid(schema, records)
    nothing_is_lost(rows, records)
    free = data.draw(schemas())
    both_paths_agree(free, data.draw(pages(free)))


def play(number: int) -> str | None:
    """Convert the pages of a seed, all of one stream; return a violation."""
    stream = sorted(SCHEMAS)[number % len(SCHEMAS)]
    configured = settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],  # a smaller page takes minutes to find
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
    )
    try:
        configured(seed(number)(given(st.data(), st.just(stream))(check_pages)))()
    except Exception as violation:  # noqa: BLE001 - an unexpected error is one, too
        return f"stream {stream}: {type(violation).__name__}: {violation}"
    return None
