"""Conversion of one row at a time to a record of the stream's schema.

Nothing is lost: whatever the schema does not expect is kept in `_extra`.
"""

from __future__ import annotations

import enum
import typing as t
from decimal import Decimal
from functools import partial

from jsonschema import Draft202012Validator, FormatChecker

from tap_campusgroups.exceptions import StreamError
from tap_campusgroups.records import values
from tap_campusgroups.records.values import ConversionError, ValueFormat
from tap_campusgroups.redaction import safe_field_name

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_campusgroups.records.json_codec import Record
    from tap_campusgroups.records.quality import DataQualityCounters

Schema: t.TypeAlias = "Mapping[str, t.Any]"
Convert: t.TypeAlias = "Callable[[t.Any], t.Any]"

EXTRA: t.Final = "_extra"
"""Field of every stream for values that its schema does not expect, by field name."""


class UnknownFields(enum.StrEnum):
    """What to do with fields that a schema does not have."""

    CAPTURE = "capture"
    IGNORE = "ignore"
    FAIL = "fail"


_FORMATS: t.Final = frozenset({"date-time", "date"})
_TYPES: t.Final[dict[str, Convert]] = {
    "integer": values.to_integer,
    "number": values.to_number,
    "boolean": values.to_boolean,
    "string": values.to_string,
    "object": lambda value: values.to_container(value, dict),
    "array": lambda value: values.to_container(value, list),
}
_CONVERTIBLE_KEYWORDS: t.Final = frozenset(
    {"type", "format", "properties", "items", "title", "description", "default", "examples"}
)


class Converter:
    """Converts the rows of one stream; docs/streams.md ("Values") lists the rules.

    `_extra` keeps the original value of each top-level field that the schema does not have, or that
    contains, at any depth, a value that does not fit or a field that the schema does not have,
    unless it is one of `deselected_fields`, which are not wholly selected.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        stream: str,
        replication_key: str,
        quality: DataQualityCounters,
        unknown_fields: UnknownFields = UnknownFields.CAPTURE,
        deselected_fields: Collection[str] = (),
        value_format: ValueFormat | None = None,
    ) -> None:
        self._stream = stream
        self._replication_key = replication_key
        self._quality = quality
        self._unknown_fields = unknown_fields
        self._deselected_fields = frozenset(deselected_fields)
        self._has_extra = EXTRA in schema["properties"]
        self._has_mismatch = False
        self._formats, self._types = _conversions(value_format or ValueFormat())
        self._fields = {
            name: _validated(self._compile(definition, name), definition)
            for name, definition in schema["properties"].items()
            if name != EXTRA  # the tap's own field, not one of the service
        } | {replication_key: values.to_canonical_timestamp}

    def __call__(self, row: Record) -> Record:
        """Return the record of a row, its fields in the order of the schema."""
        record: Record = {}
        extra: Record = {}
        for name in self._fields:
            if name in row:
                record[name] = self.convert_field(name, row[name], extra)
            elif name == self._replication_key:
                record[name] = None
        for name in row:
            if name not in self._fields:
                self.handle_unknown_field(name, row[name], extra)
        if self._has_extra:
            record[EXTRA] = finished_extra(extra)
        return record

    def convert_field(self, name: str, value: t.Any, extra: Record) -> t.Any:
        """Convert the value of a top-level field; add it to `extra` if that loses anything."""
        self._has_mismatch = False
        converted = self._convert_value(self._fields[name], value, name)
        if self._has_mismatch and name not in self._deselected_fields:
            extra[name] = value
        return converted

    def handle_unknown_field(self, name: str, value: t.Any, extra: Record) -> None:
        """Count a top-level field that the schema does not have, and treat it as configured."""
        if name == EXTRA and (value is None or str(value).lower() == "null"):
            return
        self._count_unknown(safe_field_name(name), value)
        if self._unknown_fields is UnknownFields.CAPTURE and name not in self._deselected_fields:
            extra[name] = value

    def _count_unknown(self, path: str, value: t.Any) -> None:
        self._quality.add_unknown(path, value)
        if self._unknown_fields is UnknownFields.FAIL:
            msg = (
                f"Stream '{self._stream}': field {path} is not in the schema, and unknown_fields "
                'is "fail". Set it to "capture", or deselect the stream.'
            )
            raise StreamError(msg)

    def _compile(self, schema: Schema, path: str) -> Convert:
        match single_type(schema), schema:
            case "object", {"properties": dict() as properties}:
                return self._compile_object(properties, f"{path}.")
            case "array", {"items": dict() as items}:
                return self._compile_array(items, f"{path}[]")
            case "string", {"format": str() as name} if name in self._formats:
                return self._formats[name]
            case str() as name, _:
                return self._types[name]
        return lambda value: value  # a schema of the user's catalog without a single type

    def _compile_object(self, properties: Mapping[str, Schema], prefix: str) -> Convert:
        fields = {
            name: self._compile(definition, prefix + name)
            for name, definition in properties.items()
        }

        def convert(value: t.Any) -> t.Any:
            row = values.to_container(value, dict)
            if row is None:
                return None
            record = {
                name: self._convert_value(to_type, row[name], prefix + name)
                for name, to_type in fields.items()
                if name in row
            }
            if len(record) < len(row):
                for name in row:
                    if name not in fields:
                        self._count_unknown(prefix + safe_field_name(name), row[name])
                        self._has_mismatch |= self._unknown_fields is UnknownFields.CAPTURE
            return record

        return convert

    def _compile_array(self, items: Schema, path: str) -> Convert:
        to_item = self._compile(items, path)

        def convert(value: t.Any) -> t.Any:
            array = values.to_container(value, list)
            if array is None:
                return None
            return [self._convert_value(to_item, item, path) for item in array]

        return convert

    def _convert_value(self, to_type: Convert, value: t.Any, path: str) -> t.Any:
        if value is None:
            return None
        try:
            return to_type(value)
        except ConversionError:
            self._quality.type_mismatches[path] += 1
            self._has_mismatch = True
            return None


def _conversions(value_format: ValueFormat) -> tuple[dict[str, Convert], dict[str, Convert]]:
    """Return the conversions to the formats of text, and to the types."""
    formats: dict[str, Convert] = {
        "date-time": partial(values.to_timestamp, time_zone=value_format.time_zone),
        "date": values.to_date,
    }
    return formats, _TYPES | ({"number": _to_decimal} if value_format.decimals_as_text else {})


def _to_decimal(value: t.Any) -> Decimal | None:
    number = values.to_number(value)
    return None if number is None else Decimal(number)


def finished_extra(extra: Record) -> Record | None:
    """Return the value of `_extra`, in an order that does not depend on earlier rows."""
    return dict(sorted(extra.items())) or None


def single_type(schema: Schema) -> str | None:
    """Return the one type that a property has besides null, or `None` if it has not exactly one."""
    types = schema.get("type")
    names = [name for name in types if name != "null"] if isinstance(types, list) else [types]
    return names[0] if len(names) == 1 and names[0] in _TYPES else None


def is_fully_convertible(schema: Schema, *, is_nested: bool = False) -> bool:
    """Return whether a value converted by type is always null or valid against a schema.

    This is true of all schemas of the tap; a user's catalog may have others. A nested schema must
    allow null.
    """
    nested = [*schema.get("properties", {}).values()]
    nested += [schema["items"]] if "items" in schema else []
    name = single_type(schema)
    return (
        name is not None
        and all(key in _CONVERTIBLE_KEYWORDS or key.startswith("x-") for key in schema)
        and (name != "string" or schema.get("format") in [None, *_FORMATS])
        and (not is_nested or "null" in schema["type"])
        and all(is_fully_convertible(one, is_nested=True) for one in nested)
    )


_FORMAT_CHECKER: t.Final = FormatChecker()


@_FORMAT_CHECKER.checks("date-time", raises=ConversionError)
def _is_timestamp(value: object) -> bool:
    return not isinstance(value, str) or values.to_timestamp(value) == value


def _validated(convert: Convert, schema: Schema) -> Convert:
    """Return a conversion whose results are valid against a schema."""
    if is_fully_convertible(schema):
        return convert
    validator = Draft202012Validator(schema, format_checker=_FORMAT_CHECKER)

    def convert_and_validate(value: t.Any) -> t.Any:
        converted = convert(value)
        try:
            is_valid = converted is None or validator.is_valid(converted)
        except Exception:  # noqa: BLE001 - the schema itself may be invalid
            is_valid = False
        if not is_valid:
            raise ConversionError
        return converted

    return convert_and_validate
