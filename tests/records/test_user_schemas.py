"""With any schema of a user's catalog, whole pages and single rows convert alike."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.conversion import (
    KEY,
    NESTED,
    STABLE,
    STRUCTURES,
    TIMESTAMP,
    assert_same,
    maybe,
)
from tests.support.strategies import (
    NAMES,
    pages,
    schemas,
)

SEVERAL_TYPES = {"type": ["integer", "string", "null"]}
USER_PROPERTIES: dict[str, dict[str, Any]] = {
    "without a type": {"id": {}, "any": {}, "at": {"format": "date-time"}},
    "of several types": {
        "id": SEVERAL_TYPES,
        KEY: SEVERAL_TYPES,
        "name": {"type": ["object", "string"]},
    },
    "null only": {"id": {"type": "null"}, "name": {"type": ["null"]}, "any": {"type": []}},
    "not nullable": {"id": {"type": "integer"}, "name": {"type": "string"}},
    "objects without properties": {"status": {"type": "object"}, "tags": maybe("array")},
    "objects with no properties": {"status": maybe("object", properties={})},
    "arrays of anything": {"tags": maybe("array", items={})},
    "arrays of arrays": {"tags": maybe("array", items=maybe("array", items=maybe("integer")))},
    "arrays of arrays of objects": {
        "tags": maybe("array", items=maybe("array", items=maybe("object", properties=NESTED)))
    },
    "arrays of objects with no type": {"tags": maybe("array", items={"properties": NESTED})},
    "arrays of objects of several types": {
        "tags": maybe("array", items={"type": ["object", "string"], "properties": NESTED})
    },
    "arrays of strings with properties": {
        "tags": maybe("array", items={"type": "string", "properties": NESTED})
    },
    "properties without a type": {"status": {"properties": NESTED}, "name": {"items": {}}},
    "nested field of any type": {
        "status": maybe("object", properties={"id": maybe("integer"), "any": {}})
    },
    "other formats": {
        "name": maybe("string", format="uuid"),
        "id": maybe("integer", format="date"),
    },
    "id of any type": {"id": {}},
    "id is an object": {"id": maybe("object", properties=NESTED)},
    "id is an array": {"id": maybe("array", items={"type": "object", "properties": NESTED})},
    "no updatedOn": {"id": {"type": "integer"}, "name": maybe("string")},
    "updatedOn between other fields": {"id": {"type": "integer"}, KEY: maybe("string"), "name": {}},
    "updatedOn as a number": {KEY: maybe("number"), "id": maybe("integer")},
    "updatedOn as an object": {KEY: maybe("object", properties=NESTED), "id": maybe("integer")},
    "no properties": {},
    "names of Python keywords": {
        name: maybe("integer") for name in ("class", "None", "def", "self")
    },
    "names that are not identifiers": {
        name: maybe("integer") for name in ("", " ", "a b", "a.b", "1", "é")
    },
    "names used by the tap": {name: maybe("integer") for name in ("_extra", "f0", "f1", "f2")},
    "names that need escapes": {'a"b': maybe("integer"), "a\\b": maybe("string"), "a\n": TIMESTAMP},
    "names that need escapes, nested": {
        "status": maybe("object", properties={'a"b': maybe("integer"), "\0": TIMESTAMP}),
        "tags": maybe("array", items={"type": "object", "properties": {"\\": maybe("integer")}}),
    },
}


@pytest.mark.parametrize("properties", USER_PROPERTIES.values(), ids=USER_PROPERTIES)
def test_user_schema_converts_alike(properties: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties}
    fields = [*properties, "new"]
    rows = [
        f'{{"{KEY}":"2024-05-01T10:00:00+02:00",{json.dumps(field)}:{value}}}'
        for field in fields
        for value in [*STRUCTURES, "1", '"1"', '"x"', "7.50", '"2024-05-01T10:00:00+02:00"']
    ]
    inner = dict.fromkeys(NAMES, "1")
    nested = [json.dumps({KEY: None, field: inner}) for field in fields]
    nested += [json.dumps({KEY: None, field: [inner]}) for field in fields]
    row_with_all = json.dumps({KEY: "soon", **dict.fromkeys(fields, 1)})
    assert_same(schema, f"[{row_with_all}]", *(f"[{row}]" for row in [*rows, *nested]))
    assert_same(schema, f"[{','.join([*rows, *nested, row_with_all])}]")
    for row in rows:
        assert_same(schema, f"[{row}]")
    if "id" in properties:
        assert_same(schema, f"[{','.join([*rows, *nested, row_with_all])}]", primary_key="id")


@settings(STABLE, max_examples=80)
@given(st.data())
def test_random_user_schema_converts_alike(data: st.DataObject) -> None:
    schema = data.draw(schemas())
    texts = data.draw(st.lists(pages(schema), min_size=1, max_size=2))
    assert_same(schema, *texts)
    if "id" in schema["properties"]:
        assert_same(schema, *texts, primary_key="id")
