"""Every record is valid against its schema, including formats, for any row of the service.

Each page is converted as a whole and row by row.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.records.json_codec import Raw, decode_rows, encode_json, record_lines
from tests.simulator.dataset import tap_schemas
from tests.support.conversion import FORMATS, assert_same
from tests.support.harness import NEWEST
from tests.support.strategies import ANYTHING, CLOCKS, DAYS, NUMBER_TEXTS, WORDS, ZONES, pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_campusgroups.records.values import ValueFormat

KEY = "updatedOn"
SCHEMAS = tap_schemas("1.1")
STREAM = pytest.mark.parametrize("stream", sorted(SCHEMAS))

_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
    r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])?"
)
"""`date-time` of RFC 3339 as all parsers accept it; the offset is optional."""

CHECKER = FormatChecker()


@CHECKER.checks("date-time", raises=ValueError)
def is_timestamp(value: object) -> bool:
    """Check a timestamp like the strictest loaders, and that `datetime` can represent it."""
    if not isinstance(value, str):
        return True
    return bool(_TIMESTAMP.fullmatch(value) and datetime.fromisoformat(value))


def records_of(
    schema: Mapping[str, Any], page: str, value_format: ValueFormat = FORMATS["native"]
) -> tuple[list[Any], Mapping[str, Any]]:
    """Check that both converters return the same records.

    Returns:
        The records as a target reads them, and their schema.
    """
    pair = assert_same(schema, page, primary_key="id", value_format=value_format)
    lines = record_lines(
        *("some", pair.convert_page(Raw(page.encode())).rows),
        time_extracted=NEWEST,
        decimals_as_text=value_format.decimals_as_text,
    ).splitlines()
    return [json.loads(line)["record"] for line in lines], pair.schema


def assert_valid(
    schema: Mapping[str, Any], page: str, value_format: ValueFormat = FORMATS["native"]
) -> list[Any]:
    """Check that both conversions of a page are the same and valid; return the records."""
    records, written_schema = records_of(schema, page, value_format)
    validator = Draft202012Validator(written_schema, format_checker=CHECKER)
    for record in records:
        for error in validator.iter_errors(record):
            pytest.fail(f"{error.json_path}: {error.message[:200]}")
        if value_format.decimals_as_text:
            assert not any(isinstance(one, float) for one in leaves(record))
        if value_format.nested_as_text:
            assert list(record) == list(written_schema["properties"])
            assert not any(isinstance(one, (dict, list)) for one in record.values())
    return records


def leaves(value: Any) -> Iterator[Any]:
    """Yield the values in objects and arrays."""
    match value:
        case dict() | list():
            for inner in value.values() if isinstance(value, dict) else value:
                yield from leaves(inner)
        case _:
            yield value


def with_ids(page: str) -> str:
    """Give each row without an id a number."""
    rows = decode_rows(Raw(page.encode()))[0]
    return encode_json([{"id": number} | row for number, row in enumerate(rows)])


@STREAM
@settings(max_examples=15)
@given(data=st.data())
def test_record_of_random_row_is_valid(stream: str, data: st.DataObject) -> None:
    page = with_ids(data.draw(pages(SCHEMAS[stream], fields=10)))
    assert_valid(SCHEMAS[stream], page, FORMATS[data.draw(st.sampled_from([*FORMATS]))])


def paths(schema: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """List all definitions of a schema with their paths; `[]` stands for an item."""
    found: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    for name, definition in schema.get("properties", {}).items():
        found.append(((name,), definition))
        found += [((name, *path), inner) for path, inner in paths(definition)]
    if "items" in schema:
        found.append((("[]",), schema["items"]))
        found += [(("[]", *path), inner) for path, inner in paths(schema["items"])]
    return found


def row_with(value: Any, path: Sequence[str]) -> Any:
    """Return a row that has a value at a path."""
    for step in reversed(path):
        value = [value, None] if step == "[]" else {step: value}
    return value


ODD_VALUES: list[Any] = [
    *(None, True, 0, 7.5, 10**30, "", " ", "null", "7", "true", "x", [], {}, [None], [[None]]),
    *([{}], {"id": "x"}, [{"id": "x", "new": None}], "[null]", '[{"id": null}]', '{"id": "x"}'),
    *("\0", "\x1f", "9" * 4000, "1e999999", "-1e1001", "1e-5000", "NaN", "Infinity"),
]
DATES = [f"{day}{clock}{zone}" for day in DAYS for clock in CLOCKS[:8] for zone in ZONES[:6]]
ODD_DATES = [
    *("0000-00-00", "0000-00-00T00:00:00Z", "2024-02-30", "2024-13-01", "2023-02-29T10:00:00Z"),
    *(f"2024-05-01{mark}10:00:00" for mark in ("\0", "\x01", "\x1f", "_", "-", "+", "é", "\u2028")),
    *(f"2024-05-01{mark}10:00:00Z" for mark in ("t", " ", "\t", "\n", "W", "1", ":")),
    *("2024-05-01T10:00:00z", "2024-05-01t10:00z", "2024-05-01T10Z", "2024-05-01T10"),
    *("2024-05-01T", "2024-05-01T24:00:00Z", "2024-05-01T24:00", "2024-05-01T23:59:60Z"),
    *("2024-05-01T25:00:00Z", "2024-05-01T10:00:00+00:00:30", "2024-05-01T10:00:00-00:00"),
    *("2024-05-01T10:00:00+0000", "2024-05-01T10:00:00+00:00:00", "2024-05-01T10:00:00,5Z"),
    *("2024-05-01T100000Z", "0001-01-01T00:00:00+10:00", "0001-01-01T00:00:00+10:00:30"),
    *("0001-01-01T00+10", "9999-12-31T23:59:59-10:00", "2024-W18-3", "2024-W18-3T10:00:00.123Z"),
    *("2024-122T10:00:00Z", "2024-05-01T10:00:00.Z", "2024-05-01T10:00:00.1234567890123Z"),
    *("2024-05-01+02:00", "2024-05-01T00:00:00Z", "2024-02-30T00:00:00Z", "2024-05-01 00:00"),
    *("20240501", "2024-5-1"),
]


@STREAM
def test_odd_value_at_any_path_is_valid_or_null(stream: str) -> None:
    schema = SCHEMAS[stream]
    texts = [json.dumps(value) for value in ODD_VALUES]
    rows = [
        json.dumps(row_with("@", path)).replace('"@"', text)
        for path, _ in paths(schema)
        for text in texts
    ]
    page = ",".join(
        row if row.startswith('{"id"') else f'{{"id":{number},{row[1:]}'
        for number, row in enumerate(rows)
    )
    assert_valid(schema, f"[{page}]")


@pytest.mark.parametrize("stream", ["checklist_items", "events", "survey_submissions"])
def test_odd_date_at_any_path_is_valid_or_null(stream: str) -> None:
    schema = SCHEMAS[stream]
    rows = [
        {"id": 1} | row_with(text, path)
        for path, definition in paths(schema)
        if "format" in definition
        for text in [*ODD_DATES, *DATES[:: 7 if len(path) > 1 else 1]]
    ]
    records = assert_valid(schema, json.dumps(rows))
    assert len(records) == len(rows)


DAY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        KEY: {"type": ["string", "null"], "format": "date-time"},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        EXTRA: {"type": ["object", "null"]},
    },
}


# Values kept in `_extra`


@pytest.mark.parametrize("field", ["new", "name", "at", "tags", EXTRA])
def test_deep_value_is_kept_whole(field: str) -> None:
    deep = '{"a":[' * 100 + "]}" * 100
    (record,) = assert_valid(SCHEMAS["events"], f'[{{"id":1,"{field}":{deep}}}]')
    kept = record["name"] if field == "name" else encode_json(record[EXTRA][field])
    assert kept == deep


@settings(max_examples=60)
@given(ANYTHING)
@example("1e999999")
def test_unknown_field_keeps_its_value(text: str) -> None:
    schema = SCHEMAS["rooms"]
    (record,) = assert_valid(schema, f'[{{"id":1,"shoeSize":{text}}}]')
    assert set(record[EXTRA]) == {"shoeSize"}


# Schemas of a user's catalog

USER_SCHEMAS: dict[str, Any] = {
    "several types": {"type": ["integer", "string", "null"]},
    "a number or text": {"type": ["number", "string", "null"]},
    "no type": {},
    "any of": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
    "any of numbers": {"anyOf": [{"type": "integer"}, {"type": ["boolean", "null"]}]},
    "one of objects": {"oneOf": [{"type": "null"}, {"type": "object", "required": ["id"]}]},
    "an enum": {"type": ["string", "null"], "enum": ["a", "b", None]},
    "a pattern": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
    "a short text": {"type": ["string", "null"], "maxLength": 3},
    "a range": {"type": ["integer", "null"], "minimum": 1, "maximum": 9},
    "a multiple": {"type": ["number", "null"], "multipleOf": 0.5},
    "an address": {"type": ["string", "null"], "format": "email"},
    "a uuid": {"type": ["string", "null"], "format": "uuid"},
    "a free object": {"type": ["object", "null"]},
    "a free array": {"type": ["array", "null"]},
    "a map": {"type": ["object", "null"], "additionalProperties": {"type": "integer"}},
    "a strict object": {
        "type": ["object", "null"],
        "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
        "required": ["id"],
        "additionalProperties": False,
    },
    "strict items": {"type": ["array", "null"], "items": {"type": "integer"}},
    "strict items that are objects": {
        "type": ["array", "null"],
        "items": {"type": "object", "properties": {"id": {"type": "integer"}}},
    },
    "a few items": {
        "type": ["array", "null"],
        "items": {"type": ["integer", "null"]},
        "maxItems": 1,
    },
    "only null": {"type": "null"},
    "unknown type": {"type": ["foo", "null"]},
    "an invalid pattern": {"type": ["string", "null"], "pattern": "["},
    "an unresolvable reference": {"$ref": "#/definitions/nowhere"},
}
"""Definitions of a field in a user's catalog; all but those in INVALID_SCHEMAS allow null."""

INVALID_SCHEMAS = {"unknown type", "an invalid pattern", "an unresolvable reference"}


@pytest.mark.parametrize("definition", USER_SCHEMAS.values(), ids=USER_SCHEMAS)
def test_value_in_user_schema_is_valid_or_null_and_kept(
    definition: Any, request: pytest.FixtureRequest
) -> None:
    schema = {**DAY_SCHEMA, "properties": {**DAY_SCHEMA["properties"], "own": definition}}
    texts = [json.dumps(one) for one in [*ODD_VALUES, *ODD_DATES[:6], *WORDS, 5, ["1"], [5]]]
    texts += ['{"id":5}', '[{"id":5}]', '"a@b"', '"abc"', '"12"', '{"id":5,"name":"a","x":1}']
    texts += ['"2024-05-01T10:00:00Z"', '"00000000-0000-0000-0000-000000000000"', '{"a":1}']
    texts += [json.dumps(number) for number in NUMBER_TEXTS]
    rows = (f'{{"id":{number},"own":{text}}}' for number, text in enumerate(texts))
    page = f"[{','.join(rows)}]"
    if request.node.callspec.id in INVALID_SCHEMAS:  # validity cannot be checked, but nothing fails
        records, _ = records_of(schema, page)
    else:
        for value_format in FORMATS.values():
            assert_valid(schema, page, value_format)
        records = assert_valid(schema, page)
        assert "null" in str(definition) or any(record["own"] is not None for record in records)
    assert len(records) == len(texts)
    for record, text in zip(records, texts, strict=True):
        stands_for_null = str(json.loads(text) or "").strip().lower() in {"", "null"}
        if record["own"] is None and not stands_for_null:
            assert "own" in record[EXTRA], text
