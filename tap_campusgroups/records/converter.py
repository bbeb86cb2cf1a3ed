"""Rows of the service made into records, one at a time, by the stream's schema.

Nothing of a row gets lost: what its schema does not foresee is kept in `_extra`.
"""

from __future__ import annotations

import enum
import typing as t

from jsonschema import Draft202012Validator, FormatChecker

from tap_campusgroups.exceptions import UnknownFieldError
from tap_campusgroups.records.json_codec import limit_depth
from tap_campusgroups.records.quality import safe_field_name
from tap_campusgroups.records.values import (
    ConversionError,
    to_boolean,
    to_canonical_timestamp,
    to_container,
    to_date,
    to_integer,
    to_number,
    to_string,
    to_timestamp,
)

if t.TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_campusgroups.records.json_codec import Record
    from tap_campusgroups.records.quality import DataQualityCounters

Schema: t.TypeAlias = "Mapping[str, t.Any]"
Convert: t.TypeAlias = "Callable[[t.Any], t.Any]"

EXTRA: t.Final = "_extra"
"""Field of every stream for what its schema does not foresee, under the names of the fields."""


class UnknownFields(enum.StrEnum):
    """What to do with fields that a schema does not have."""

    CAPTURE = "capture"
    IGNORE = "ignore"
    FAIL = "fail"


def _to_object(value: t.Any) -> t.Any:
    return limit_depth(to_container(value, dict))


def _to_array(value: t.Any) -> t.Any:
    return limit_depth(to_container(value, list))


_FORMATS: t.Final[dict[str, Convert]] = {"date-time": to_timestamp, "date": to_date}
_TYPES: t.Final[dict[str | None, Convert]] = {
    "integer": to_integer,
    "number": to_number,
    "boolean": to_boolean,
    "string": to_string,
    "object": _to_object,
    "array": _to_array,
}
_PLAIN_KEYWORDS: t.Final = frozenset(
    {"type", "format", "properties", "items", "title", "description", "default", "examples"}
)


class Converter:
    """Converts the rows of one stream by its schema.

    * text, number and 0/1 where the schema has an integer, a number or a boolean: converted;
    * a number, boolean, object or array where it has a string: its JSON text;
    * JSON text where it has an object or an array: decoded;
    * empty text and the text `null` where it has anything but a plain string: null;
    * an instant with an offset: in UTC; a date that arrives as its midnight: the date;
    * `updatedOn` always in canonical form, null if there is none;
    * a value that does not fit its type: null.

    If a top-level field does not fit, or has a value in it that does not, or a field that the
    schema does not know, then `_extra` has its whole value as it came, under its name. So it has
    the top-level fields that the schema does not know.
    """

    def __init__(
        self,
        schema: Schema,
        *,
        replication_key: str,
        quality: DataQualityCounters,
        unknown_fields: UnknownFields = UnknownFields.CAPTURE,
        deselected_fields: Collection[str] = (),
    ) -> None:
        """Compile a schema.

        Args:
            schema: The stream's JSON schema; `_extra` is written only if it has one.
            replication_key: Field that gets the canonical form.
            quality: Where to count what does not fit.
            unknown_fields: What to do with fields that the schema does not have.
            deselected_fields: Top-level fields that must not get into `_extra`: not all of them is selected.
        """
        self._replication_key = replication_key
        self._quality = quality
        self._unknown_fields = unknown_fields
        self._deselected = frozenset(deselected_fields)
        self._has_extra = EXTRA in schema["properties"]
        self._has_mismatch = False
        properties = schema["properties"]
        self._fields = {
            name: convert
            if is_fully_convertible(definition := properties[name])
            else _checked(convert, definition)
            for name, convert in self._compile_fields(schema).items()
        } | {replication_key: to_canonical_timestamp}
        self._fields.pop(EXTRA, None)  # the service knows nothing of it

    def __call__(self, row: Record) -> Record:
        """Convert one row.

        Args:
            row: A decoded row; not changed.

        Returns:
            The record, its fields in the order of the schema.

        Raises:
            UnknownFieldError: If the row has an unknown field, and that is to be an error.
        """
        record: Record = {}
        extra: Record = {}
        for name in self._fields:
            if name in row:
                record[name] = self.convert_field(name, row[name], extra)
            elif name == self._replication_key:
                record[name] = None
        if row.keys() - self._fields.keys():
            for name in row:
                if name not in self._fields:
                    self.handle_unknown_field(name, row[name], extra)
        if self._has_extra:
            record[EXTRA] = extra or None
        return record

    def convert_field(self, name: str, value: t.Any, extra: Record) -> t.Any:
        """Convert one value of a row.

        Args:
            name: A field of the schema, at its top.
            value: The decoded value.
            extra: The row's `_extra`, which gets the value if not all of it can be converted.

        Returns:
            The value for the record.
        """
        self._has_mismatch = False
        converted = self._convert_value(self._fields[name], value, name)
        if self._has_mismatch and name not in self._deselected:
            extra[name] = limit_depth(value)
        return converted

    def handle_unknown_field(self, name: str, value: t.Any, extra: Record) -> None:
        """Deal with a field that the schema does not have.

        Args:
            name: The field.
            value: The decoded value.
            extra: The row's `_extra`.

        Raises:
            UnknownFieldError: If it is to be an error.
        """
        if name == EXTRA and (value is None or str(value).lower() == "null"):
            return
        self._count_unknown(safe_field_name(name), value)
        if self._unknown_fields is UnknownFields.CAPTURE and name not in self._deselected:
            extra[name] = limit_depth(value)

    def _count_unknown(self, path: str, value: t.Any) -> None:
        self._quality.add_unknown(path, value)
        if self._unknown_fields is UnknownFields.FAIL:
            raise UnknownFieldError(path)

    def _compile_fields(self, schema: Schema, prefix: str = "") -> dict[str, Convert]:
        return {
            name: self._compile(definition, prefix + name)
            for name, definition in schema["properties"].items()
        }

    def _compile(self, schema: Schema, path: str) -> Convert:
        match single_type(schema), schema:
            case "object", {"properties": dict()}:
                return self._object(schema, path)
            case "array", {"items": dict() as items}:
                return self._array(items, f"{path}[]")
            case "string", {"format": kind} if kind in _FORMATS:
                return _FORMATS[kind]
            case kind, _ if kind in _TYPES:
                return _TYPES[kind]
        return limit_depth  # a catalog may bring a schema of the user's own

    def _object(self, schema: Schema, path: str) -> Convert:
        prefix = f"{path}."
        fields = self._compile_fields(schema, prefix)

        def convert(value: t.Any) -> t.Any:
            row = to_container(value, dict)
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

    def _array(self, items: Schema, path: str) -> Convert:
        to_item = self._compile(items, path)

        def convert(value: t.Any) -> t.Any:
            values = to_container(value, list)
            if values is None:
                return None
            return [self._convert_value(to_item, item, path) for item in values]

        return convert

    def _convert_value(self, to_type: Convert, value: t.Any, path: str) -> t.Any:
        if value is None:
            return None
        try:
            return to_type(value)
        except ConversionError:
            self._quality.add_type_mismatch(path)
            self._has_mismatch = True
            return None


def single_type(schema: object) -> str | None:
    """Name the one type that a property has beside null; `None` if there is not just one."""
    types = schema.get("type") if isinstance(schema, dict) else None
    named = [name for name in types if name != "null"] if isinstance(types, list) else [types]
    (kind,) = named if len(named) == 1 else [None]
    return kind if isinstance(kind, str) and kind in _TYPES else None


def is_fully_convertible(schema: object, *, is_inner: bool = False) -> bool:
    """Return whether a value that was converted by type always satisfies a schema, or is null.

    Args:
        schema: Of a property. All of the tap's own are plain; a catalog may bring others.
        is_inner: Whether it is in another one, where null has to be allowed, too.
    """
    kind = single_type(schema)
    if kind is None or not isinstance(schema, dict):
        return False
    properties = schema.get("properties", {})
    inner = [*properties.values()] if isinstance(properties, dict) else [properties]
    inner += [schema["items"]] if "items" in schema else []
    return (
        all(word in _PLAIN_KEYWORDS or word.startswith("x-") for word in schema)
        and (kind != "string" or schema.get("format") in [None, *_FORMATS])
        and (not is_inner or "null" in schema["type"])
        and all(is_fully_convertible(one, is_inner=True) for one in inner)
    )


_FORMAT_CHECKER: t.Final = FormatChecker()


@_FORMAT_CHECKER.checks("date-time", raises=ConversionError)
def _is_instant(value: object) -> bool:
    return not isinstance(value, str) or to_timestamp(value) == value


def _checked(convert: Convert, schema: t.Any) -> Convert:
    """Convert, and make sure that a schema allows what comes of it."""
    validator = Draft202012Validator(schema, format_checker=_FORMAT_CHECKER)

    def convert_and_check(value: t.Any) -> t.Any:
        converted = convert(value)
        try:
            is_valid = converted is None or validator.is_valid(converted)
        except Exception:  # noqa: BLE001 - the schema itself may be none
            is_valid = False
        if not is_valid:
            raise ConversionError
        return converted

    return convert_and_check
