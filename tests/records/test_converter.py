"""Conversion of single rows and values by schema."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_campusgroups.exceptions import StreamError
from tap_campusgroups.records.converter import (
    Converter,
    UnknownFields,
    is_fully_convertible,
    single_type,
)
from tap_campusgroups.records.json_codec import Raw, decode_rows
from tap_campusgroups.records.quality import DataQualityCounters
from tap_campusgroups.records.values import (
    MAX_SAFE_INTEGER,
    ConversionError,
    ValueFormat,
    canonical_timestamp,
    format_timestamp,
    parse_timestamp,
    to_boolean,
    to_canonical_timestamp,
    to_date,
    to_integer,
    to_timestamp,
)

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "updatedOn": {"type": ["string", "null"], "format": "date-time"},
        "count": {"type": ["integer", "null"]},
        "price": {"type": ["number", "null"]},
        "deleted": {"type": ["boolean", "null"]},
        "name": {"type": ["string", "null"]},
        "at": {"type": ["string", "null"], "format": "date-time"},
        "day": {"type": ["string", "null"], "format": "date"},
        "status": {
            "type": ["object", "null"],
            "properties": {
                "id": {"type": ["integer", "null"]},
                "name": {"type": ["string", "null"]},
            },
        },
        "tags": {
            "type": ["array", "null"],
            "items": {
                "type": ["object", "null"],
                "properties": {"id": {"type": ["integer", "null"]}},
            },
        },
        "admins": {"type": ["array", "null"], "items": {"type": ["integer", "null"]}},
        "free": {"type": ["object", "null"]},
        "either": {"type": ["string", "integer", "null"]},
        "any": {},
        "_extra": {"type": ["object", "null"]},
    },
}


def convert(row: dict[str, Any], **options: Any) -> tuple[dict[str, Any], DataQualityCounters]:
    """Convert one row by `SCHEMA`; return the record and the counters."""
    quality = DataQualityCounters()
    converter = Converter(
        SCHEMA, stream="events", replication_key="updatedOn", quality=quality, **options
    )
    return converter(row), quality


FITTING: dict[str, list[tuple[Any, Any]]] = {
    "count": [
        *((7, 7), ("7", 7), (" -7 ", -7), ("7.0", 7), (Decimal("7.00"), 7), ("", None)),
        *((2**70, 2**70), ("null", None), ("1e3", 1000), ("9007199254740993.0", 2**53 + 1)),
        (Decimal("7.00000000000000000001"), 7),
    ],
    "price": [
        *(("12.50", Decimal("12.50")), (Decimal("12.50"), Decimal("12.50")), (12, 12)),
        (" ", None),
    ],
    "deleted": [
        *(("false", False), ("FALSE", False), ("0", False), (0, False), ("true", True)),
        *(("1", True), (1, True), ("", None)),
    ],
    "name": [
        *(("", ""), ("Zoë", "Zoë"), (7, "7"), (Decimal("1.50"), "1.50"), (True, "true")),
        *(({"a": [1]}, '{"a":[1]}'), (None, None)),
    ],
    "day": [
        *(("2024-02-29", "2024-02-29"), ("", None), ("2024-02-29T00:00:00.000Z", "2024-02-29")),
        ("2024-02-29 00:00:00.000 UTC", "2024-02-29"),
        *(("2024-02-29 00:00", "2024-02-29"), ("2024-05-01t00:00:00z", "2024-05-01")),
    ],
    "at": [
        ("2024-02-29T10:00:00Z", "2024-02-29T10:00:00Z"),
        ("2024-02-29T10:00:00.5+00:00", "2024-02-29T10:00:00.5+00:00"),
        ("2024-02-29T10:00:00.5-05:00", "2024-02-29T15:00:00.500000Z"),
        *(("2024-02-29 10:00:00", "2024-02-29T10:00:00"), ("2024-02-29", "2024-02-29T00:00:00")),
        ("2024-05-01T10:00:00.1234567Z", "2024-05-01T10:00:00.1234567Z"),
        ("2024-05-01T10:00:00-00:00", "2024-05-01T10:00:00.000000Z"),
        ("2024-05-01T10:00:00+00:00:30", "2024-05-01T09:59:30.000000Z"),
        ("2024-05-01t10:00:00z", "2024-05-01T10:00:00Z"),
        ("2024-05-01 10:00:00.5Z", "2024-05-01T10:00:00.5Z"),
        ("2024-05-01T10:00:00,5", "2024-05-01T10:00:00.500000"),
        ("2026-01-01 10:00:00.000 UTC", "2026-01-01T10:00:00.000Z"),
        ("2026-01-01 10:00:00.0000000 +00:00", "2026-01-01T10:00:00.0000000+00:00"),
        ("2026-01-01 10:00:00 -05:00", "2026-01-01T15:00:00.000000Z"),
        *(("2024-05-01T10Z", "2024-05-01T10:00:00.000000Z"), (" ", None)),
    ],
    "status": [
        *(({"id": "3", "name": None}, {"id": 3, "name": None}), ('{"id": "3"}', {"id": 3})),
        ("", None),
    ],
    "tags": [
        *(([{"id": "1"}, {"id": 2}], [{"id": 1}, {"id": 2}]), ('[{"id": 1}]', [{"id": 1}])),
        *(([], []), ([None], [None]), (None, None)),
    ],
    "admins": [(["1", 2], [1, 2])],
    "free": [({"a": "1"}, {"a": "1"})],
    "either": [(5, 5)],
    "any": [([1, "x"], [1, "x"])],
}


@pytest.mark.parametrize(
    ("field", "value", "converted"),
    [(field, *pair) for field, pairs in FITTING.items() for pair in pairs],
    ids=repr,
)
def test_fitting_value_is_converted(field: str, value: object, converted: object) -> None:
    record, quality = convert({"id": 1, "updatedOn": None, field: value})
    assert record[field] == converted
    assert type(record[field]) is type(converted)
    assert str(record[field]) == str(converted)  # also the digits
    assert quality == DataQualityCounters()


MISMATCHED: dict[str, list[tuple[Any, Any]]] = {
    "count": [
        *(("seven", "count"), (Decimal("7.5"), "count"), (Decimal("1e999999999"), "count")),
        *(("9" * 5000, "count"), ("٣", "count"), ([7], "count"), (True, "count")),
    ],
    "price": [*(("12,50", "price"), ("Infinity", "price"), ({}, "price"), (False, "price"))],
    "deleted": [*(("maybe", "deleted"), (2, "deleted"), ([], "deleted"))],
    "day": [
        *(("2024-02-29T10:00:00Z", "day"), ("2024-02-29T00:00:00-05:00", "day"), ("soon", "day")),
        ("0000-00-00", "day"),
    ],
    "at": [
        *(("soon", "at"), ("10:00", "at"), (20240229, "at")),
        *(("0001-01-01T00:00:00+05:00", "at"), ("2024-05-01 UTC", "at")),
        *(("0001-01-01T00:00:00+10:00", "at"), ("2024-05-01\x0010:00:00Z", "at")),
        *(("2024-05-01T10:00:00.123456\x00Z", "at"), ("2024-05-01-10:00", "at")),
        *(("2024-W18-3", "at"), ("0000-00-00", "at"), ("2024-02-30T00:00:00Z", "at")),
    ],
    "status": [*(("open", "status"), ([1], "status"), ({"id": "x"}, "status.id"))],
    "tags": [*(("x", "tags"), ([{"id": "x"}], "tags[].id"), ([5], "tags[]"))],
    "admins": [(["x"], "admins[]")],
}


@pytest.mark.parametrize(
    ("field", "value", "where"),
    [(field, *pair) for field, pairs in MISMATCHED.items() for pair in pairs],
    ids=repr,
)
def test_mismatched_value_is_null_kept_in_extra_and_counted(
    field: str, value: object, where: str
) -> None:
    record, quality = convert({"id": 1, "updatedOn": None, field: value})
    assert record["_extra"] == {field: value}
    assert dict(quality.type_mismatches) == {where: 1}
    inner = record[field]
    if where == "status.id":
        assert inner == {"id": None}
    elif where == "tags[].id":
        assert inner == [{"id": None}]
    elif where.endswith("[]"):
        assert inner == [None]
    else:
        assert inner is None


@pytest.mark.parametrize(
    ("zone", "text", "converted"),
    [
        ("America/New_York", "2026-01-15T10:00:00", "2026-01-15T15:00:00.000000Z"),
        ("America/New_York", "2026-07-15 10:00:00.5", "2026-07-15T14:00:00.500000Z"),
        ("America/New_York", "2026-07-15", "2026-07-15T04:00:00.000000Z"),
        # Clocks go back at 02:00 on November 1: 01:30 comes twice, and is the first.
        ("America/New_York", "2026-11-01T00:59:59", "2026-11-01T04:59:59.000000Z"),
        ("America/New_York", "2026-11-01T01:30:00", "2026-11-01T05:30:00.000000Z"),
        ("America/New_York", "2026-11-01T02:00:00", "2026-11-01T07:00:00.000000Z"),
        # Clocks go forward at 02:00 on March 8: 02:30 is skipped, and is 03:30.
        ("America/New_York", "2026-03-08T01:59:59", "2026-03-08T06:59:59.000000Z"),
        ("America/New_York", "2026-03-08T02:30:00", "2026-03-08T07:30:00.000000Z"),
        ("America/New_York", "2026-03-08T03:30:00", "2026-03-08T07:30:00.000000Z"),
        ("Australia/Sydney", "2026-04-05T02:30:00", "2026-04-04T15:30:00.000000Z"),
        ("Asia/Kolkata", "2026-01-01T00:00:00", "2025-12-31T18:30:00.000000Z"),
        # With an offset, the time zone changes nothing.
        ("Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("Asia/Kolkata", "2026-01-01T00:00:00.5+00:00", "2026-01-01T00:00:00.5+00:00"),
        ("Asia/Kolkata", "2026-01-01T00:00:00-05:00", "2026-01-01T05:00:00.000000Z"),
        # Before year 1 or after year 9999 in UTC.
        ("Asia/Kolkata", "0001-01-01T00:00:00", None),
        ("America/New_York", "9999-12-31T23:59:59", None),
    ],
)
def test_time_zone_makes_timestamps_without_offset_utc(
    zone: str, text: str, converted: str | None
) -> None:
    row = {"id": 1, "updatedOn": "2026-07-15T10:00:00", "at": text, "day": "2026-07-15"}
    record, quality = convert(row, value_format=ValueFormat(time_zone=ZoneInfo(zone)))
    assert record["at"] == converted
    assert record["_extra"] == (None if converted else {"at": text})
    assert sum(quality.type_mismatches.values()) == (not converted)
    assert (record["updatedOn"], record["day"]) == ("2026-07-15T10:00:00.000000Z", "2026-07-15")
    if len(text) == len("2026-01-15T10:00:00"):
        assert convert(row)[0]["at"] == text


def test_decimals_as_text_make_decimals_of_all_numbers() -> None:
    for value in (12, "12", Decimal("12.50"), "1e3"):
        record, _ = convert({"price": value}, value_format=ValueFormat(decimals_as_text=True))
        assert isinstance(record["price"], Decimal)
        assert record["price"] == Decimal(value)
    assert (
        convert({"price": ""}, value_format=ValueFormat(decimals_as_text=True))[0]["price"] is None
    )


UNKNOWN: dict[str, Any] = {"id": 1, "updatedOn": None, "new": 1, "status": {"id": "2", "new": 2}}


def test_unknown_fields_with_capture_keep_whole_field_in_extra() -> None:
    record, quality = convert(UNKNOWN)
    assert record == {
        "id": 1,
        "updatedOn": None,
        "status": {"id": 2},
        "_extra": {"new": 1, "status": {"id": "2", "new": 2}},
    }
    assert {name: unknown.count for name, unknown in quality.unknown_fields.items()} == {
        "new": 1,
        "status.new": 1,
    }


def test_unknown_fields_with_ignore_are_left_out_and_counted() -> None:
    record, quality = convert(UNKNOWN, unknown_fields=UnknownFields.IGNORE)
    assert record == {"id": 1, "updatedOn": None, "status": {"id": 2}, "_extra": None}
    assert set(quality.unknown_fields) == {"new", "status.new"}


@pytest.mark.parametrize("row", [{"new": 1}, {"status": {"new": None}}])
def test_unknown_fields_with_fail_raise(row: dict[str, Any]) -> None:
    with pytest.raises(StreamError, match="new"):
        convert({"id": 1, **row}, unknown_fields=UnknownFields.FAIL)


def test_deselected_field_is_kept_out_of_extra() -> None:
    record, quality = convert(
        UNKNOWN | {"count": "x"}, deselected_fields={"status", "count", "new"}
    )
    assert record["_extra"] is None
    assert set(quality.type_mismatches) == {"count"}


def test_field_named_extra_from_service_is_unknown() -> None:
    record, quality = convert({"id": 1, "_extra": {"a": 1}})
    assert record["_extra"] == {"_extra": {"a": 1}}
    assert set(quality.unknown_fields) == {"(a name)"}


def test_schema_without_extra_gets_no_extra() -> None:
    quality = DataQualityCounters()
    schema = {"properties": {"id": {"type": "integer"}}}
    converter = Converter(schema, stream="events", replication_key="updatedOn", quality=quality)
    assert converter({"id": "x", "new": 1}) == {"id": None, "updatedOn": None}
    assert (set(quality.unknown_fields), set(quality.type_mismatches)) == ({"new"}, {"id"})


@pytest.mark.parametrize(
    ("values", "suggestion"),
    [
        ([1, 2], "integer"),
        ([1, Decimal("1.5")], "number"),
        ([True, None], "boolean"),
        (["x"], "string"),
        (["2024-05-01T10:00:00Z", None], "date-time"),
        (["2024-05-01T10:00:00Z", "x"], "string"),
        ([{}], "object"),
        ([[]], "array"),
        ([[], {}], "string"),
        ([1, "x", True, {}], "string"),
        ([None], "null"),
    ],
)
def test_unknown_field_gets_suggested_type(values: list[object], suggestion: str) -> None:
    quality = DataQualityCounters()
    for value in values:
        quality.add_unknown("new", value)
    unknown = quality.unknown_fields["new"]
    assert unknown.suggested_type == suggestion
    if suggestion == "null":
        return
    # docs/new-fields.md, "Types"
    is_time = suggestion == "date-time"
    schema = {"type": "string", "format": "date-time"} if is_time else {"type": suggestion}
    converter = Converter(
        {"properties": {"new": schema}},
        stream="events",
        replication_key="updatedOn",
        quality=quality,
    )
    for value in values:
        assert (converter({"new": value})["new"] is None) == (value is None)
    assert not quality.type_mismatches


@pytest.mark.parametrize(
    "row", [{"id": 1}, {"id": 1, "updatedOn": None}, {"id": 1, "updatedOn": ""}]
)
def test_missing_updated_on_is_null(row: dict[str, Any]) -> None:
    record, quality = convert(row)
    assert record == {"id": 1, "updatedOn": None, "_extra": None}
    assert not quality.type_mismatches


@pytest.mark.parametrize("value", ["soon", 1714557600])
def test_invalid_updated_on_is_null_kept_in_extra_and_counted(value: object) -> None:
    record, quality = convert({"id": 1, "updatedOn": value})
    assert record == {"id": 1, "updatedOn": None, "_extra": {"updatedOn": value}}
    assert dict(quality.type_mismatches) == {"updatedOn": 1}


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000000Z"),
        ("2024-05-01T10:00:00.5Z", "2024-05-01T10:00:00.500000Z"),
        ("2024-05-01T10:00:00.123456Z", "2024-05-01T10:00:00.123456Z"),
        ("2024-05-01T10:00:00.123456789Z", "2024-05-01T10:00:00.123456Z"),
        ("2024-05-01 10:00:00", "2024-05-01T10:00:00.000000Z"),
        ("2024-05-01 10:00:00.000 UTC", "2024-05-01T10:00:00.000000Z"),
        ("2024-05-01 10:00:00.0000000 +02:00", "2024-05-01T08:00:00.000000Z"),
        ("2024-05-01T10:00:00+05:00", "2024-05-01T05:00:00.000000Z"),
        ("2024-05-01T10:00:00.250-0530", "2024-05-01T15:30:00.250000Z"),
        (" 2024-05-01 ", "2024-05-01T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("0001-01-01T00:00:00+10:00", None),  # before year 1 in UTC
        ("", None),
        ("soon", None),
        ("20240501", None),  # probably a number
        (None, None),
        (5, None),
    ],
    ids=repr,
)
def test_timestamp_has_one_canonical_form(value: object, form: str | None) -> None:
    assert canonical_timestamp(value) == form


# Hypothesis requires naive bounds; two days keep every offset within the calendar.
TIMESTAMPS = st.datetimes(
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    min_value=datetime(1, 1, 3),  # noqa: DTZ001
    max_value=datetime(9999, 12, 29),  # noqa: DTZ001
)


@given(TIMESTAMPS, TIMESTAMPS)
def test_canonical_form_sorts_like_timestamps(one: datetime, other: datetime) -> None:
    a, b = canonical_timestamp(one.isoformat()), canonical_timestamp(other.isoformat())
    assert a is not None
    assert b is not None
    assert (a < b) == (one < other)
    assert parse_timestamp(a) == one
    assert canonical_timestamp(a) == a


def test_decoded_numbers_keep_their_digits() -> None:
    ((row,), *_) = decode_rows(Raw(b'[{"price": 12.50, "big": 12345678901234567890123, "n": 1e2}]'))
    assert str(row["price"]) == "12.50"
    assert row["big"] == 12345678901234567890123


@pytest.mark.parametrize("value", [None, "null", "NULL"])
def test_null_extra_from_service_is_ignored(value: object) -> None:
    record, quality = convert({"id": 1, "_extra": value})
    assert record["_extra"] is None
    assert quality.unknown_fields == {}


def test_null_unknown_field_is_counted_and_kept() -> None:
    record, quality = convert({"id": 1, "new": None})
    assert record["_extra"] == {"new": None}
    assert (quality.unknown_fields["new"].count, quality.unknown_fields["new"].suggested_type) == (
        1,
        "null",
    )


def test_suggested_type_is_that_of_the_value() -> None:
    _, quality = convert({"id": 1, "new": 5, "status": {"id": 1, "new": True}})
    assert quality.unknown_fields["new"].suggested_type == "integer"
    assert quality.unknown_fields["status.new"].suggested_type == "boolean"


def test_mismatch_two_objects_deep_has_full_path() -> None:
    inner = {"type": ["object", "null"], "properties": {"c": {"type": ["integer", "null"]}}}
    outer = {"type": ["object", "null"], "properties": {"b": inner}}
    quality = DataQualityCounters()
    schema = {"properties": {"a": outer, "updatedOn": {}, "_extra": {}}}
    Converter(schema, stream="events", replication_key="updatedOn", quality=quality)(
        {"a": {"b": {"c": "x"}}}
    )
    assert dict(quality.type_mismatches) == {"a.b.c": 1}


def test_mismatch_beside_ignored_field_is_kept_in_extra() -> None:
    row = {"id": 1, "status": {"id": "x", "new": 1}}
    record, _ = convert(row, unknown_fields=UnknownFields.IGNORE)
    assert record["status"] == {"id": None}
    assert record["_extra"] == {"status": row["status"]}


TEXT = ["string", "null"]


@pytest.mark.parametrize(
    ("definition", "value", "expected"),
    [
        ({"type": TEXT, "enum": ["a", None]}, "a", "a"),
        ({"type": TEXT, "enum": ["a"]}, None, None),
        ({"type": TEXT, "enum": ["a"]}, "b", "mismatch"),
        ({"type": TEXT, "format": "date-time", "maxLength": 30}, "2024-05-01T10:00:00Z", "same"),
        ({"type": TEXT, "format": "email"}, "a@b.example", "same"),
        ({"type": TEXT, "format": "email"}, "jane", "mismatch"),
        ({"anyOf": [{"type": "string", "format": "date-time"}]}, "2024-05-01 10:00", "mismatch"),
        ({"type": TEXT, "pattern": "("}, "a", "mismatch"),
        ({"type": ["array", "null"]}, "[1, [2]]", [1, [2]]),
        ({"type": ["array", "null"]}, [1], [1]),
        ({"type": ["array", "null"]}, 5, "mismatch"),
        ({"type": ["object", "null"]}, '{"a": 1}', {"a": 1}),
        ({"type": ["object", "null"]}, [1], "mismatch"),
    ],
    ids=repr,
)
def test_value_in_user_schema_is_valid_or_null(
    definition: dict[str, Any], value: object, expected: object
) -> None:
    quality = DataQualityCounters()
    schema = {"properties": {"field": definition, "updatedOn": {}, "_extra": {}}}
    record = Converter(schema, stream="events", replication_key="updatedOn", quality=quality)(
        {"field": value}
    )
    if expected == "mismatch":
        assert (record["field"], record["_extra"]) == (None, {"field": value})
        assert dict(quality.type_mismatches) == {"field": 1}
    else:
        assert record["field"] == (value if expected == "same" else expected)
        assert record["_extra"] is None


NULLABLE = {"type": TEXT}
WHOLE = {"type": "string"}


@pytest.mark.parametrize(
    "schema",
    [
        WHOLE,
        {"type": ["null", "integer"], "x-direct-identifier": "hash", "title": "t"},
        {"type": TEXT, "format": "date", "description": "d", "default": None, "examples": []},
        {"type": TEXT, "format": "date-time"},
        {"type": ["integer", "null"], "format": "int64"},
        {"type": ["object", "null"]},
        {"type": "object", "properties": {"a": NULLABLE, "b": {"type": ["array", "null"]}}},
        {"type": "array", "items": NULLABLE},
        {"type": "array", "items": {"type": ["object", "null"], "properties": {"a": NULLABLE}}},
    ],
    ids=repr,
)
def test_schema_satisfied_by_types_is_fully_convertible(schema: dict[str, Any]) -> None:
    assert is_fully_convertible(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": []},
        {"type": ["string", "integer", "null"]},
        {"type": "text"},
        {"type": "string", "enum": ["a"]},
        {"type": "string", "X-enum": ["a"]},
        {"type": "string", "format": "email"},
        {"type": "object", "properties": {"a": WHOLE}},
        {"type": "object", "properties": {"a": {"type": TEXT, "enum": ["a"]}}},
        {"type": "object", "properties": {"a": NULLABLE}, "items": WHOLE},
        {"type": "object", "properties": {"a": WHOLE}, "items": NULLABLE},
        {"type": "array", "items": WHOLE},
        {"type": "array", "items": {"type": ["object", "null"], "properties": {"a": WHOLE}}},
    ],
    ids=repr,
)
def test_schema_with_other_constraints_is_not_fully_convertible(schema: dict[str, Any]) -> None:
    assert not is_fully_convertible(schema)


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, "string"),
        ({"type": ["null", "array"]}, "array"),
        ({"type": ["null"]}, None),
        ({"type": "null"}, None),
        ({"type": "money"}, None),
        ({"type": ["string", "number"]}, None),
        ({}, None),
    ],
    ids=repr,
)
def test_single_type_is_the_only_one_besides_null(schema: dict[str, Any], kind: str | None) -> None:
    assert single_type(schema) == kind


# Single values at the limits of their types


@pytest.mark.usefixtures("local_time_of_new_york")
@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T10:00:00",
        "2024-05-01 10:00:00",
        "2024-05-01T10:00:00Z",
        "2024-05-01T12:00:00+02:00",
        " 2024-05-01T06:00:00-04:00 ",
    ],
)
def test_timestamp_without_offset_is_utc_in_any_local_time(text: str) -> None:
    timestamp = parse_timestamp(text)
    assert timestamp is not None
    assert timestamp.isoformat() == "2024-05-01T10:00:00+00:00"
    assert timestamp.tzinfo is UTC
    assert (
        canonical_timestamp(text) == to_canonical_timestamp(text) == "2024-05-01T10:00:00.000000Z"
    )


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_timestamp_outside_calendar_in_utc_is_invalid(text: str) -> None:
    assert parse_timestamp(text) is None
    with pytest.raises(ConversionError):
        to_canonical_timestamp(text)


@pytest.mark.parametrize("text", ["", " ", "null", "NULL"])
def test_null_text_is_null_in_any_type(text: str) -> None:
    for convert in (to_boolean, to_canonical_timestamp, to_date, to_timestamp, to_integer):
        assert convert(text) is None


def test_integer_beyond_thousand_digits_is_mismatch() -> None:
    assert to_integer("1e999") == 10**999
    with pytest.raises(ConversionError):
        to_integer("1e1000")


@pytest.mark.parametrize("sign", [1, -1])
def test_rounded_integer_is_accepted_only_where_doubles_are_exact(sign: int) -> None:
    tiny = Decimal("1e-12")
    assert to_integer(sign * (MAX_SAFE_INTEGER + tiny)) == sign * MAX_SAFE_INTEGER
    with pytest.raises(ConversionError):
        to_integer(sign * (MAX_SAFE_INTEGER + 1 + tiny))


def test_timestamp_has_the_precision_that_is_asked_for() -> None:
    timestamp = datetime(999, 5, 1, 10, 0, 0, 5, timezone(timedelta(hours=2)))
    assert format_timestamp(timestamp) == "0999-05-01T08:00:00.000005Z"
    assert format_timestamp(timestamp, "seconds") == "0999-05-01T08:00:00Z"
