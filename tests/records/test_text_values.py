"""Nested values and decimals as text, time zones, and the columns of every row."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from singer_sdk.contrib.msgspec import MsgSpecWriter

from tap_campusgroups.records.json_codec import STREAM_MAP_JSON
from tests.support.fast_path import NEUTRAL_MAP, Tap, assert_same_run, drift, user_catalog

if TYPE_CHECKING:
    from tests.simulator import Dataset
    from tests.support.fast_path import Run

STREAMS = ("events", "groups", "payments")
DIGITS = "12345678901234567890.12345678901234567890"
TEXT: dict[str, Any] = {"nested_values": "text"}
DECIMALS: dict[str, Any] = {"decimals": "text"}
ZONE: dict[str, Any] = {"time_zone": "America/New_York"}
FLAT: dict[str, Any] = {"flattening_enabled": True, "flattening_max_depth": 1}


def with_decimals(dataset: Dataset) -> None:
    """Change rows: decimals everywhere, null and absent objects, and what does not fit."""
    for stream in STREAMS:
        drift(dataset[stream])
        dataset[stream][4] |= {"new": {"a": [0.1, 7]}}
    first, second, *_ = dataset["events"]
    first |= {"country": None, "startDate": "2026-07-01T10:00:00", "updatedOn": "2025-05-31"}
    del second["country"]
    dataset["payments"][0]["amount"] = 12
    dataset["payments"][4]["amount"] = DIGITS
    fee = {"id": 1, "fee": DIGITS}
    dataset["groups"][4]["membershipOptions"] = [fee, {"id": 2, "fee": 3}]


def assert_valid(run: Run) -> None:
    """Check that every record is valid against its schema."""
    assert run.error is None
    schemas = {message["stream"]: message["schema"] for message in run.of_type("SCHEMA")}
    for stream, records in run.records.items():
        for record in records:
            Draft202012Validator(schemas[stream]).validate(record)


@pytest.mark.parametrize("more", [TEXT, DECIMALS, TEXT | DECIMALS | ZONE], ids=str)
def test_values_as_text_are_the_same_on_both_paths(tap: Tap, more: dict[str, Any]) -> None:
    fast = tap(*STREAMS, prepare=with_decimals, **more)
    assert_valid(fast)
    assert_same_run(fast, tap(*STREAMS, prepare=with_decimals, writer=MsgSpecWriter(), **more))
    sdk = tap("events", prepare=with_decimals, **more, **NEUTRAL_MAP)
    assert_same_run(tap("events", prepare=with_decimals, **more), sdk)


def row(run: Run, stream: str, number: int) -> dict[str, Any]:
    """Return the record of an id; the service returns rows in any order."""
    (record,) = [one for one in run.records[stream] if one["id"] == number]
    return record


def types_in(run: Run, stream: str) -> dict[str, Any]:
    """Return the type of each field in the SCHEMA of a stream."""
    (schema,) = [one["schema"] for one in run.of_type("SCHEMA") if one["stream"] == stream]
    return {name: definition["type"] for name, definition in schema["properties"].items()}


def test_nested_values_as_text_are_exact_and_in_every_row(tap: Tap) -> None:
    native = tap(*STREAMS, prepare=with_decimals)
    run = tap(*STREAMS, prepare=with_decimals, **TEXT)
    types = types_in(run, "groups")
    assert types["_extra"] == types["membershipOptions"] == ["string", "null"]
    for stream in STREAMS:
        for record, other in zip(run.records[stream], native.records[stream], strict=True):
            assert list(record) == list(types_in(run, stream))
            for name, value in record.items():
                expected = other.get(name)
                is_nested = isinstance(expected, (dict, list))
                found = json.loads(value, parse_float=Decimal) if is_nested else value
                assert repr(found) == repr(expected)
    assert row(run, "events", 5)["_extra"] == '{"new":{"a":[0.1,7]}}'
    assert f'"fee":{DIGITS}}}' in row(run, "groups", 5)["membershipOptions"]


def test_decimals_as_text_keep_digits_at_any_depth(tap: Tap) -> None:
    run = tap(*STREAMS, prepare=with_decimals, **DECIMALS)
    assert types_in(run, "payments")["amount"] == ["string", "null"]
    assert types_in(run, "payments")["id"] == "integer"
    assert row(run, "payments", 1)["amount"] == "12"
    assert row(run, "payments", 5)["amount"] == DIGITS
    assert row(run, "payments", 5)["_extra"]["new"] == {"a": ["0.1", 7]}
    options = row(run, "groups", 5)["membershipOptions"]
    assert [option["fee"] for option in options] == [DIGITS, "3"]
    mapped: dict[str, Any] = {
        "stream_maps": {"payments": {"amount": "record.get('amount') or 0", "more": "0.5"}}
    }
    with_map = tap("payments", prepare=with_decimals, **DECIMALS, **mapped)
    assert_valid(with_map)
    for record in with_map.records["payments"]:
        assert record["amount"] == (row(run, "payments", record["id"]).get("amount") or "0")


@pytest.mark.parametrize("more", [{}, TEXT, DECIMALS], ids=str)
@pytest.mark.parametrize("depth", [1, 2])
def test_flattened_row_has_exactly_the_columns_of_its_schema(
    tap: Tap, depth: int, more: dict[str, Any]
) -> None:
    settings = FLAT | {"flattening_max_depth": depth} | more
    run = tap(*STREAMS, prepare=with_decimals, **settings)
    assert_valid(run)
    for stream in STREAMS:
        for record in run.records[stream]:
            assert list(record) == list(types_in(run, stream))
    assert "country" not in row(run, "events", 1)
    assert row(run, "events", 1)["country__id"] is None
    assert f'"fee":{DIGITS}' in row(run, "groups", 5)["membershipOptions"]


def test_stream_map_sees_objects_before_they_become_text(tap: Tap) -> None:
    rules = {"_extra": None, "country": "(record.get('country') or {}).get('id')", "copy": "record"}
    run = tap("events", prepare=with_decimals, stream_maps={"events": rules}, **TEXT)
    types = types_in(run, "events")
    assert types["copy"] == ["string", "null"]
    for record in run.records["events"]:
        assert list(record) == list(types)
        assert json.loads(record["copy"])["id"] == record["id"]
        assert not isinstance(record["country"], str)


def test_objects_of_user_catalog_become_text_after_their_constraints(tap: Tap) -> None:
    strict = {"type": ["object", "null"], "properties": {"id": {"type": "integer"}}}
    catalog = user_catalog(
        *("events", "id", "updatedOn", "_extra"),
        country=strict | {"required": ["id"]},
        tags={"type": ["array", "string", "null"], "maxItems": 9},
        customFields={},
        name={"type": ["number", "string", "null"]},
    )

    def prepare(dataset: Dataset) -> None:
        rows = dataset["events"]
        rows[0] |= {"country": {"id": "7"}, "tags": [1.0], "customFields": {"a": 1}}
        rows[1] |= {"country": {}, "tags": "x", "name": 1.5}

    for more in (TEXT, TEXT | DECIMALS):
        run = tap(prepare=prepare, catalog=catalog, **more)
        assert_valid(run)
        first, second = row(run, "events", 1), row(run, "events", 2)
        assert (first["country"], first["tags"]) == ('{"id":7}', "[1.0]")
        assert first["customFields"] == '{"a":1}'
        assert (second["country"], second["tags"]) == (None, "x")
        assert json.loads(second["_extra"])["country"] == {}
        assert str(second["name"]) == "1.5"
        assert_same_run(run, tap(prepare=prepare, catalog=catalog, writer=MsgSpecWriter(), **more))


# `json` in stream maps


@pytest.mark.parametrize("more", [{}, TEXT, DECIMALS, FLAT], ids=str)
def test_json_dumps_in_stream_map_is_exact(tap: Tap, more: dict[str, Any]) -> None:
    rules = {
        "_extra": "json.dumps(record['_extra'])",
        "copy": "json.dumps({'a': [_.get('capacity')]}, separators=(',', ':'), sort_keys=True)",
    }
    run = tap("events", prepare=with_decimals, stream_maps={"events": rules}, **more)
    assert_valid(run)
    record = row(run, "events", 5)
    assert record["_extra"] == '{"new": {"a": [0.1, 7]}}'
    assert record["copy"] == f'{{"a":[{json.dumps(record["capacity"])}]}}'


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=8,
    )
)
def test_json_without_decimals_is_that_of_the_standard_library(value: object) -> None:
    """Hashes of masked values must not change."""
    for options in ({}, {"ensure_ascii": False}, {"sort_keys": True, "indent": 1}):
        text = STREAM_MAP_JSON.dumps(value, **options)
        assert text == json.dumps(value, **options)
        assert STREAM_MAP_JSON.loads(text) == value


# Time zones


def test_time_zone_changes_only_date_times_without_offset(tap: Tap) -> None:
    native = tap("events", prepare=with_decimals)
    run = tap("events", prepare=with_decimals, **ZONE)
    assert run.bookmarks == native.bookmarks
    first, before = row(run, "events", 1), row(native, "events", 1)
    assert before["startDate"] == "2026-07-01T10:00:00"
    assert first["startDate"] == "2026-07-01T14:00:00.000000Z"
    assert first["updatedOn"] == before["updatedOn"] == "2025-05-31T00:00:00.000000Z"
    for name, value in first.items():
        assert value == before[name] or not str(before[name]).endswith("Z"), name
