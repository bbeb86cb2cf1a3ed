"""Only fields that msgspec cannot convert fall back; rows are still structs."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tap_campusgroups.records.converter import Converter
from tap_campusgroups.records.json_codec import (
    Raw,
)
from tests.support.conversion import (
    FIELDS,
    KEY,
    SCHEMA,
    ConverterPair,
)


def test_common_values_convert_without_fallback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
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


def test_repeated_mismatch_makes_one_struct_type() -> None:
    convert_page = ConverterPair(SCHEMA).convert_page
    page = Raw(b'[{"id":"x","status":{"id":"x"},"new":1,"at":"soon","updatedOn":"soon"}]')
    assert len({type(row) for _ in range(5) for row in convert_page(page).rows}) == 1


@pytest.mark.parametrize("odd", ['{"id":1,"id":2}', '{"id":"x","id":1}', '{"a\\"b":1}'])
def test_rows_after_page_without_structs_are_structs_again(odd: str) -> None:
    convert_page = ConverterPair(SCHEMA).convert_page
    assert convert_page(Raw(f"[{odd}]".encode())).rows
    for page in (b'[{"id":1}]', b'[{"name":7}]', b"[{}]"):
        (row,) = convert_page(Raw(page)).rows
        assert isinstance(row, msgspec.Struct)


def test_unknown_fields_new_in_every_row_do_not_widen_structs() -> None:
    pair = ConverterPair(SCHEMA)
    for number in range(20):
        page = json.dumps([{KEY: None, f"new{number}-{row}": 1} for row in range(100)]).encode()
        rows = pair.convert_page(Raw(page)).rows
        pair.row_by_row(page)
    assert pair.page_quality == pair.row_quality
    assert len(getattr(type(rows[0]), "__struct_fields__", ())) < 1000
