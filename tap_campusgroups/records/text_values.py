"""Nested values and decimals as text, for loaders that cannot hold them.

This is the last step before output: catalogs, stream maps and `_extra` see the values themselves.
"""

from __future__ import annotations

import typing as t
from decimal import Decimal

import msgspec

from tap_campusgroups.records.converter import is_fully_convertible, single_type
from tap_campusgroups.records.json_codec import JSON_TYPES, encode_json

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_campusgroups.records.converter import Schema
    from tap_campusgroups.records.json_codec import Record
    from tap_campusgroups.records.values import ValueFormat

NESTED_TYPES: t.Final = frozenset({"object", "array"})


def types_of(definition: Schema) -> list[str]:
    """Return the types that a property may have; all of them if it does not declare any."""
    types = definition.get("type") or [*JSON_TYPES.values()]
    return types if isinstance(types, list) else [types]


def text_schema(schema: Schema, value_format: ValueFormat) -> dict[str, t.Any]:
    """Return the schema of the records of `text_record`, from the schema of the values themselves.

    Constraints of a property that becomes text apply to its value, and not to the text.
    """
    texts = NESTED_TYPES if value_format.nested_as_text else frozenset[str]()
    texts |= {"number"} if value_format.decimals_as_text else set()
    names = schema["properties"].items()
    return {**schema, "properties": {name: _text_definition(one, texts) for name, one in names}}


def _text_definition(definition: Schema, texts: frozenset[str]) -> dict[str, t.Any]:
    types = types_of(definition)
    if "number" in texts and "number" in types and single_type(definition) != "number":
        types = [*types, "integer"]  # only values of a single type are converted
    may_hold_decimals = "number" in texts and not NESTED_TYPES.isdisjoint(types)
    if texts.isdisjoint(types) and not may_hold_decimals:
        return {**definition}
    annotations = {"title", "description"}
    kept = {k: v for k, v in definition.items() if k in annotations or k.startswith("x-")}
    new = dict.fromkeys("string" if name in texts else name for name in types)
    kept["type"] = [*new] if isinstance(definition.get("type", []), list) else next(iter(new))
    if not texts.isdisjoint(types) or not is_fully_convertible(definition):
        return kept
    if "properties" in definition:
        inner = definition["properties"].items()
        kept["properties"] = {name: _text_definition(one, texts) for name, one in inner}
    if "items" in definition:
        kept["items"] = _text_definition(definition["items"], texts)
    return kept


def text_record(
    record: Record,
    fields: Mapping[str, Schema],
    value_format: ValueFormat,
    *,
    is_flattened: bool = False,
) -> Record:
    """Return a record, after its stream map, with text instead of nested values and decimals.

    Some loaders take their columns from a row. So a record that is flattened, or has no nested
    values, has all fields of its schema: those that are absent are null.

    Args:
        record: The record.
        fields: The properties of its `text_schema`.
        value_format: Which values become text.
        is_flattened: Whether the SDK has flattened the record. It leaves a null object as it is.
    """
    if is_flattened:
        record = {k: v for k, v in record.items() if v is not None or k in fields}
    if is_flattened or value_format.nested_as_text:
        record = dict.fromkeys(fields) | record
    if not (value_format.nested_as_text or value_format.decimals_as_text):
        return record
    return {
        name: _as_text(value, fields.get(name, {}), value_format) for name, value in record.items()
    }


def _as_text(value: t.Any, definition: Schema, value_format: ValueFormat) -> t.Any:
    if isinstance(value, (dict, list)):
        if value_format.nested_as_text:
            return encode_json(value)
        return msgspec.to_builtins(value) if value_format.decimals_as_text else value
    is_number = isinstance(value, (Decimal, float)) or (
        # A stream map may return 0 for a number.
        isinstance(value, int)
        and not isinstance(value, bool)
        and "integer" not in types_of(definition)
    )
    return encode_json(value) if is_number and value_format.decimals_as_text else value
