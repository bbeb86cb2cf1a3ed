"""A page converted as a whole has the same records as its rows converted one by one."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tap_campusgroups.records import values
from tap_campusgroups.records.converter import EXTRA, Converter, UnknownFields
from tap_campusgroups.records.json_codec import Raw
from tap_campusgroups.records.quality import DataQualityCounters
from tests.simulator import Dataset
from tests.simulator.dataset import tap_schemas
from tests.simulator.timestamps import UNUSUAL_FORMATS, parse_timestamp, to_milliseconds
from tests.support.conversion import (
    FIELDS,
    FORMATS,
    KEY,
    SCHEMA,
    STABLE,
    VALUES,
    ConverterPair,
    assert_same,
)
from tests.support.harness import NEWEST
from tests.support.strategies import NAMES, pages, schemas


def with_odd_timestamps(value: Any, number: int) -> Any:
    """Rewrite every timestamp in a row in one of the odd forms."""
    if isinstance(value, dict):
        return {name: with_odd_timestamps(inner, number) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_odd_timestamps(inner, number) for inner in value]
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", value):
        timestamp = parse_timestamp(value)
        assert timestamp is not None
        return UNUSUAL_FORMATS[number](to_milliseconds(timestamp))
    return value


@pytest.mark.parametrize("stream", sorted(tap_schemas()))
def test_service_rows_convert_alike(stream: str) -> None:
    dataset = Dataset(40, newest=NEWEST)
    full = dataset.full_row(stream)
    odd = [with_odd_timestamps(full, number) for number in range(len(UNUSUAL_FORMATS))]
    assert len({str(row) for row in odd}) == len(UNUSUAL_FORMATS)
    pair = assert_same(
        tap_schemas()[stream],
        json.dumps(dataset[stream]),
        json.dumps(dataset[stream][:1], ensure_ascii=False, indent=1),
        json.dumps([full, *odd]),
        "[]",
    )
    assert pair.page_quality == DataQualityCounters()


@pytest.mark.parametrize("field", FIELDS)
def test_any_value_converts_alike(field: str) -> None:
    properties = {name: SCHEMA["properties"][name] for name in (KEY, field, EXTRA)}
    good = '{"id":1,"updatedOn":"2024-05-01T10:00:00.000Z"}'
    rows = ",".join(f'{{"{field}":{value}}},{good}' for value in VALUES)
    for value in VALUES:
        assert_same({"properties": properties}, f'[{{"{field}":{value}}}]')
    # A value changes neither the next page nor the rows around it.
    assert_same(SCHEMA, *(f'[{{"{field}":{value}}}]' for value in VALUES))
    for value_format in (FORMATS["native"], FORMATS["all"]):
        assert_same(SCHEMA, f"[{good},{rows}]", f"[{rows}]", value_format=value_format)


def test_rows_without_id_are_left_out_alike() -> None:
    rows = [f'{{"{KEY}":"2024-05-01T10:00:00.000Z","id":{value}}}' for value in VALUES]
    rows += ["{}", '{"name":"a"}', '{"new":1}']
    pair = assert_same(SCHEMA, *(f"[{row}]" for row in rows), primary_key="id")
    all_rows = f"[{','.join([*rows, *rows])}]"
    assert_same(SCHEMA, all_rows, all_rows, primary_key="id")
    for page, without in (
        ('[{"id":0}]', 0),
        ('[{"id":true},{"id":"true"},{"id":false}]', 3),
        ('[{"id":"0"},{"id":1.0},{"id":" 1"}]', 0),
        ('[{"id":null},{},{"id":1}]', 2),
    ):
        assert pair.convert_page(Raw(page.encode())).rows_without_key == without


@pytest.mark.parametrize("mode", UnknownFields)
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_unknown_field_of_any_name_converts_alike(name: str, mode: UnknownFields) -> None:
    key = json.dumps(name)
    pages = [
        f"[{{{key}:1}},{{{key}:[1e400]}},{{}}]",
        f'[{{"status":{{{key}:1}},"tags":[{{{key}:2}}]}}]',
    ]
    pair = assert_same(SCHEMA, *pages, unknown_fields=mode)
    assert pair.convert_page(Raw(b'[{"id":1}]')).rows
    if mode is UnknownFields.FAIL:
        for page in pages:
            assert assert_same(SCHEMA, page, unknown_fields=mode).page_quality.unknown_fields
    else:
        assert sum(unknown.count for unknown in pair.page_quality.unknown_fields.values()) == 4


def test_newest_key_is_found_among_all_timestamp_forms() -> None:
    keys = [
        *("2024-05-01T10:00:00.123Z", "2024-05-01T10:00:00.124Z", "2024-05-01T10:00:00.124500Z"),
        *("2024-05-01T15:30:00.125+05:30", "2024-05-01 10:00:00.126", "2024-05-02", "2024-05-01"),
        *(
            "2024-05-02T05:00:00-05:00",
            "2024-05-02T10:00:00,001Z",
            "soon",
            "",
            "9999-12-31T23:00-05:00",
        ),
    ]
    newest = [
        *("10:00:00.123000", "10:00:00.124000", "10:00:00.124500", "10:00:00.125000"),
        "10:00:00.126000",
    ]
    rows = [json.dumps({KEY: key}) for key in keys]
    for number, clock in enumerate(newest):
        for order in (rows[: number + 1], rows[number::-1]):
            page = f"[{','.join(order)}]".encode()
            found = ConverterPair(SCHEMA).convert_page(Raw(page)).newest
            assert found == f"2024-05-01T{clock}Z"
    assert_same(SCHEMA, *(f"[{','.join(rows[:end])}]" for end in range(len(rows) + 1)))
    all_rows = ConverterPair(SCHEMA).convert_page(Raw(f"[{','.join(rows)}]".encode()))
    assert all_rows.newest == "2024-05-02T10:00:00.001000Z"


@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ("{}", []),
        ('{"name":"a","id":1}', ["id", "name"]),
        ('{"name":null,"new":1,"updatedOn":null,"id":1}', ["id", "updatedOn", "name"]),
        ('{"name":7,"updatedOn":"soon","id":"x"}', ["id", "updatedOn", "name"]),
        ('{"_extra":1,"name":"a","name":"b","id":1}', ["id", "name"]),
    ],
)
def test_record_has_schema_order_without_absent_fields(row: str, keys: list[str]) -> None:
    expected = sorted({*keys, KEY, EXTRA}, key=FIELDS.index)
    page = ConverterPair(SCHEMA).convert_page(Raw(f"[{row}]".encode()))
    (record,) = (json.loads(msgspec.json.encode(row)) for row in page.rows)
    assert list(record) == expected
    assert_same(SCHEMA, f"[{row}]")


def test_hour_24_in_python_3_14_converts_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        """Parses hour 24 as midnight of the next day, like Python 3.14."""

        @classmethod
        def fromisoformat(cls, text: str) -> datetime:  # type: ignore[override]
            if text[11:19] != "24:00:00":
                return datetime.fromisoformat(text)
            return datetime.fromisoformat(text.replace("T24", "T00")) + timedelta(days=1)

    monkeypatch.setattr(values, "datetime", Later)
    page = '[{"updatedOn":"2024-05-01T24:00:00.000Z","at":"2024-05-01T24:00:00.000Z"}]'
    assert_same(SCHEMA, page)
    assert (
        ConverterPair(SCHEMA).convert_page(Raw(page.encode())).newest
        == "2024-05-02T00:00:00.000000Z"
    )


@settings(STABLE, max_examples=120)
@given(
    st.lists(pages(SCHEMA), max_size=3),
    st.sampled_from([None, None, "id"]),
    st.sampled_from([*UnknownFields, UnknownFields.CAPTURE]),
    st.sampled_from([*FORMATS]),
)
@example(["[]"], "id", UnknownFields.CAPTURE, "all")
@example(
    ['[{"id":"x"}]', '[{"id":1}]', '[{"id":"1","count":"x"}]'],
    *(None, UnknownFields.CAPTURE, "native"),
)
@example(
    ['[{"new":1}]', '[{"new":[],"other":{}}]', '[{"id":1}]'],
    *(None, UnknownFields.IGNORE, "nested"),
)
def test_random_pages_convert_alike(
    texts: list[str], primary_key: str | None, unknown_fields: UnknownFields, value_format: str
) -> None:
    assert_same(
        SCHEMA,
        *texts,
        primary_key=primary_key,
        unknown_fields=unknown_fields,
        value_format=FORMATS[value_format],
    )


@settings(STABLE, max_examples=200)
@given(st.data())
def test_random_user_schema_converts_alike(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    texts = data.draw(st.lists(pages(schema), min_size=1, max_size=2))
    value_format = FORMATS[data.draw(st.sampled_from([*FORMATS]))]
    assert_same(schema, *texts, value_format=value_format)
    if "id" in schema["properties"]:
        assert_same(schema, *texts, primary_key="id", value_format=value_format)


# Only fields that msgspec cannot convert fall back; rows are still structs.


def test_common_values_convert_without_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("converted value by value")

    monkeypatch.setattr(Converter, "convert_field", refuse)
    key = "2024-05-01T10:00:00.123Z"
    rows: list[dict[str, Any]] = [
        {"id": 1, "at": "2024-05-01T10:00:00+02:00", "count": 7},
        {"id": "7", "count": "null", "deleted": "TRUE", "name": "", "status": {"id": "8"}},
        {"id": 7.0, "count": None, "deleted": 0, "day": "2024-05-01T00:00:00Z", "admins": ["1"]},
        {"id": "1", "deleted": "0", "tags": [{"id": "1", "at": "2024-05-01", "is": "1"}, None]},
        {"id": 1, "deep": {"in": {"at": "2024-05-01", "id": "2"}}, "answers": ["a", None]},
        {"id": 1, "updatedOn": "2024-05-01T10:00:00+02:00"},
    ]
    convert_page = ConverterPair(SCHEMA, primary_key="id").convert_page
    for row in rows:
        (_,) = convert_page(Raw(json.dumps([{KEY: key, **row}]).encode())).rows


@pytest.mark.parametrize("field", FIELDS)
def test_rows_after_mismatch_are_structs(field: str) -> None:
    convert_page = ConverterPair(SCHEMA).convert_page
    for page in (
        f'[{{"{field}":{{"id":"x"}},"new":1}}]',
        *('[{"id":1}]', '[{"id":"x"}]', '[{"at":"soon"}]', '[{"updatedOn":"soon"}]'),
        f'[{{"{field}":7,"new":2}},{{"name":"a"}}]',
    ):
        rows = convert_page(Raw(page.encode())).rows
        assert rows
        assert all(isinstance(row, msgspec.Struct) for row in rows)


def test_unknown_fields_new_in_every_row_do_not_widen_structs() -> None:
    pair = ConverterPair(SCHEMA)
    for number in range(20):
        page = json.dumps([{KEY: None, f"new{number}-{row}": 1} for row in range(100)]).encode()
        rows = pair.convert_page(Raw(page)).rows
        pair.row_by_row(page)
    assert pair.page_quality == pair.row_quality
    assert len(getattr(type(rows[0]), "__struct_fields__", ())) < 1000
