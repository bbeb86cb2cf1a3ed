"""Rows of the service made into records: types by schema, instants in one form.

The service answers from a data lake, and values may arrive as text. Conversion is lenient in what
it takes and exact in what it gives: decimals keep their digits.
"""

from __future__ import annotations

import re
import typing as t
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from tap_campusgroups.codec import BadJsonError, decode_value, encode_text

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_campusgroups.codec import Record

Schema: t.TypeAlias = "Mapping[str, t.Any]"

_DATE = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")  # without hyphens it may be any number
_MIDNIGHT = re.compile(r"(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z|\+00:?00)?)?")


def parse_instant(value: object) -> datetime | None:
    """Read an instant in any ISO 8601 form.

    Args:
        value: For instance `2024-05-01T10:00:00Z`, `2024-05-01 10:00:00.5+02:00` or `2024-05-01`.
            Without an offset it is UTC.

    Returns:
        The instant, aware, in UTC; `None` if the value is none.
    """
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    try:
        instant = datetime.fromisoformat(value.strip())
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def write_canonical(instant: datetime) -> str:
    """Write an aware instant in canonical form: see `canonical_instant`."""
    # Not `strftime`: its %Y does not pad years before 1000 everywhere.
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat('T', 'microseconds')}Z"


def canonical_instant(value: object) -> str | None:
    """Write an instant in the one form that bookmarks and `updatedOn` have.

    UTC and of fixed width, for the SDK compares bookmarks as strings.

    Args:
        value: As `parse_instant` takes it.

    Returns:
        For instance `2024-05-01T08:00:00.500000Z`; `None` if the value is no instant.
    """
    instant = parse_instant(value)
    return None if instant is None else write_canonical(instant)


class Unconvertible(ValueError):  # noqa: N818 - caught where it is raised, never shown
    """A value does not fit its type."""


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_INTEGER: t.Final = 1000  # digits; 1e999999999 is a number, too

LARGEST_WHOLE_DOUBLE: t.Final = 2**53 - 1
"""Up to here, a double that is whole stands for one integer only."""

_TRUE: t.Final = frozenset({"true", "1"})
_FALSE: t.Final = frozenset({"false", "0"})


def _is_nothing(text: str) -> bool:
    """Say whether a text in anything but a text field stands for null."""
    return not text or text.lower() == "null"


def _to_integer(value: t.Any) -> int | None:
    if isinstance(value, int):
        return int(value)  # a boolean, too, becomes a number
    if isinstance(value, str):
        text = value.strip()
        if _is_nothing(text):
            return None
        if not _NUMBER.fullmatch(text):
            raise Unconvertible
        value = Decimal(text)
    if isinstance(value, Decimal) and value.adjusted() < _LONGEST_INTEGER:
        if value == value.to_integral_value():
            return int(value)
        # As every reader of JSON that uses doubles: 7.00000000000000000001 is 7.
        if abs(value) <= LARGEST_WHOLE_DOUBLE and (double := float(value)).is_integer():
            return int(double)
    raise Unconvertible


def _to_number(value: t.Any) -> int | Decimal | None:
    if isinstance(value, (int, Decimal)):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        text = value.strip()
        if _is_nothing(text):
            return None
        if _NUMBER.fullmatch(text):
            return Decimal(text)
    raise Unconvertible


def _to_boolean(value: t.Any) -> bool | None:
    if isinstance(value, (int, Decimal)):
        if value in {0, 1}:
            return bool(value)
    elif isinstance(value, str):
        text = value.strip().lower()
        if _is_nothing(text):
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    raise Unconvertible


def _to_string(value: t.Any) -> str:
    return value if isinstance(value, str) else encode_text(value)


def to_instant(value: t.Any) -> str | None:
    """Convert to an instant: one with an offset in UTC, one without as it is.

    Some loaders cut the offset off, and the value would shift; of which zone one without is, only
    the school knows.

    Raises:
        Unconvertible: If it is none.
    """
    text = _to_string(value).strip()
    if _is_nothing(text):
        return None
    if not _DATE.match(text):
        raise Unconvertible
    try:
        offset = datetime.fromisoformat(text).utcoffset()
    except ValueError:
        raise Unconvertible from None
    # In UTC it may be before the year 1.
    return (offset and canonical_instant(text)) or text


def _to_canonical(value: t.Any) -> str | None:
    text = _to_string(value).strip()
    if _is_nothing(text):
        return None
    if instant := canonical_instant(text):
        return instant
    raise Unconvertible


def to_date(value: t.Any) -> str | None:
    """Convert to a date, also one that arrives as its midnight.

    Raises:
        Unconvertible: If it is none.
    """
    text = _to_string(value).strip()
    if _is_nothing(text):
        return None
    day, midnight = text[:10], text[10:]
    if _DATE.fullmatch(day) and _MIDNIGHT.fullmatch(midnight):
        return day
    raise Unconvertible


def _from_json_text(value: t.Any, wanted: type) -> t.Any:
    """Take an object or array, also one that arrives as JSON text."""
    if isinstance(value, str):
        if _is_nothing(value.strip()):
            return None
        try:
            value = decode_value(value)
        except BadJsonError:
            raise Unconvertible from None
    if isinstance(value, wanted):
        return value
    raise Unconvertible


def _as_it_is(value: t.Any) -> t.Any:
    return value


Convert: t.TypeAlias = "Callable[[t.Any], t.Any]"

_FORMATS: t.Final[dict[str, Convert]] = {"date-time": to_instant, "date": to_date}
_SCALARS: t.Final[dict[str | None, Convert]] = {
    "integer": _to_integer,
    "number": _to_number,
    "boolean": _to_boolean,
    "string": _to_string,
}


@dataclass(frozen=True, slots=True)
class Oddities:
    """What a stream's rows held that its schema does not foresee, counted a field path.

    Attributes:
        unconvertible: Values that do not fit their type; passed on as they are, so that a loader
            refuses them loudly.
        unknown: Values of fields that the schema does not have; left out of the record.
    """

    unconvertible: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)


class Converter:
    """Converts the rows of one stream by its schema, one at a time.

    * text, number and 0/1 where the schema has an integer, a number or a boolean: converted;
    * a number, boolean, object or array where it has a string: its JSON text;
    * JSON text where it has an object or an array: decoded;
    * empty text and the text `null` where it has anything but a plain string: null;
    * an instant with an offset: in UTC; a date that arrives as its midnight: the date;
    * `updatedOn` always in canonical form, null if there is none;
    * a value that does not fit, and a field that the schema does not have: see `Oddities`.
    """

    def __init__(self, schema: Schema, *, replication_key: str, oddities: Oddities) -> None:
        """Compile a schema.

        Args:
            schema: The stream's JSON schema.
            replication_key: Field that gets the canonical form.
            oddities: Where to count what does not fit.
        """
        self._replication_key = replication_key
        self._oddities = oddities
        self._fields = self._compile_fields(schema) | {replication_key: _to_canonical}

    def __call__(self, row: Record) -> Record:
        """Convert one row.

        Args:
            row: A decoded row; not changed.

        Returns:
            The record, its fields in the order of the schema.
        """
        record = self._convert_fields(row, self._fields, prefix="")
        record.setdefault(self._replication_key, None)
        return record

    def convert_field(self, name: str, value: t.Any) -> t.Any:
        """Convert one value of a row.

        Args:
            name: A field of the schema, at its top.
            value: The decoded value.
        """
        return self._convert_value(self._fields[name], value, name)

    def _compile_fields(self, schema: Schema, prefix: str = "") -> dict[str, Convert]:
        return {
            name: self._compile(definition, prefix + name)
            for name, definition in schema["properties"].items()
        }

    def _compile(self, schema: Schema, path: str) -> Convert:
        match main_type(schema), schema:
            case "object", {"properties": _}:
                return self._object(schema, path)
            case "array", {"items": items}:
                return self._array(items, f"{path}[]")
            case "string", {"format": kind} if kind in _FORMATS:
                return _FORMATS[kind]
            case kind, _ if kind in _SCALARS:
                return _SCALARS[kind]
        return _as_it_is  # a catalog may bring a schema of the user's own

    def _object(self, schema: Schema, path: str) -> Convert:
        prefix = f"{path}."
        fields = self._compile_fields(schema, prefix)

        def convert(value: t.Any) -> t.Any:
            row = _from_json_text(value, dict)
            return None if row is None else self._convert_fields(row, fields, prefix)

        return convert

    def _array(self, items: Schema, path: str) -> Convert:
        to_item = self._compile(items, path)

        def convert(value: t.Any) -> t.Any:
            values = _from_json_text(value, list)
            if values is None:
                return None
            return [self._convert_value(to_item, item, path) for item in values]

        return convert

    def _convert_fields(self, row: Record, fields: Mapping[str, Convert], prefix: str) -> Record:
        record = {
            name: self._convert_value(to_type, row[name], prefix + name)
            for name, to_type in fields.items()
            if name in row
        }
        if len(record) < len(row):
            self._oddities.unknown.update(prefix + name for name in row if name not in fields)
        return record

    def _convert_value(self, to_type: Convert, value: t.Any, path: str) -> t.Any:
        if value is None:
            return None
        try:
            return to_type(value)
        except Unconvertible:
            self._oddities.unconvertible[path] += 1
            return value


def main_type(schema: Schema) -> str | None:
    """Name the one type that a property has beside null; `None` if there is not just one."""
    types = schema.get("type", [])
    names = [types] if isinstance(types, str) else types
    named = [name for name in names if name != "null"]
    return named[0] if len(named) == 1 else None
