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
from decimal import Decimal, InvalidOperation

import msgspec

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Record: t.TypeAlias = dict[str, t.Any]
Schema: t.TypeAlias = "Mapping[str, t.Any]"

_rows_decoder = msgspec.json.Decoder(list[Record], float_hook=Decimal)


def decode_rows(results: msgspec.Raw) -> list[Record]:
    """Decode a page's rows.

    Args:
        results: JSON text of an array of objects.

    Returns:
        The rows; numbers with a decimal point as `Decimal`, so that no digit is lost.

    Raises:
        msgspec.DecodeError: If it is not such an array.
    """
    return _rows_decoder.decode(results)


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


_INTEGER = re.compile(r"[+-]?[0-9]{1,1000}(?:\.0*)?")
_LONGEST_INTEGER: t.Final = 1000  # digits; 1e999999999 is a number, too
_TRUE: t.Final = frozenset({"true", "1"})
_FALSE: t.Final = frozenset({"false", "0"})


def _to_integer(value: t.Any) -> int | None:
    if isinstance(value, int):
        return int(value)  # a boolean, too, becomes a number
    if (
        isinstance(value, Decimal)
        and value.adjusted() < _LONGEST_INTEGER
        and value == value.to_integral_value()
    ):
        return int(value)
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        if _INTEGER.fullmatch(text):
            return int(text.partition(".")[0])
    raise Unconvertible


def _to_number(value: t.Any) -> int | Decimal | None:
    if isinstance(value, (int, Decimal)):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise Unconvertible from None
        if number.is_finite():
            return number
    raise Unconvertible


def _to_boolean(value: t.Any) -> bool | None:
    if isinstance(value, (int, Decimal)):
        if value in {0, 1}:
            return bool(value)
    elif isinstance(value, str):
        text = value.strip().lower()
        if not text:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    raise Unconvertible


_text_encoder = msgspec.json.Encoder(decimal_format="number")


def _to_string(value: t.Any) -> str:
    return value if isinstance(value, str) else _text_encoder.encode(value).decode()


def _to_instant(value: t.Any) -> str | None:
    """Write an instant with an offset in UTC: some loaders cut the offset off, and it would shift.

    One without an offset stays as it is: of which zone it is, only the school knows.
    """
    text = _to_string(value).strip()
    if not text:
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
    text = _to_string(value)
    if not text.strip():
        return None
    if instant := canonical_instant(text):
        return instant
    raise Unconvertible


def _to_date(value: t.Any) -> str | None:
    """Take a date, also one that arrives as its midnight."""
    text = _to_string(value).strip()
    if not text:
        return None
    day, midnight = text[:10], text[10:]
    if _DATE.fullmatch(day) and _MIDNIGHT.fullmatch(midnight):
        return day
    raise Unconvertible


def _from_json_text(value: t.Any, wanted: type) -> t.Any:
    """Take an object or array, also one that arrives as JSON text."""
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = msgspec.json.decode(value, type=t.Any)
        except msgspec.DecodeError:
            raise Unconvertible from None
    if isinstance(value, wanted):
        return value
    raise Unconvertible


def _as_it_is(value: t.Any) -> t.Any:
    return value


Convert: t.TypeAlias = "Callable[[t.Any], t.Any]"

_FORMATS: t.Final[dict[str, Convert]] = {"date-time": _to_instant, "date": _to_date}
_SCALARS: t.Final[dict[str, Convert]] = {
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
    """Converts the rows of one stream by its schema.

    * text, number and 0/1 where the schema has an integer, a number or a boolean: converted;
    * a number, boolean, object or array where it has a string: its JSON text;
    * JSON text where it has an object or an array: decoded;
    * empty text where it has anything but a plain string: null;
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
        self._convert = self._object(schema, path="", special={replication_key: _to_canonical})

    def __call__(self, row: Record) -> Record:
        """Convert one row.

        Args:
            row: A decoded row; not changed.

        Returns:
            The record.
        """
        record: Record = self._convert(row)
        record.setdefault(self._replication_key, None)
        return record

    def _property(self, schema: Schema, path: str) -> Convert:
        match _types(schema):
            case ["object"] if "properties" in schema:
                return self._object(schema, path)
            case ["array"] if "items" in schema:
                return self._array(schema, path)
            case ["string"] if schema.get("format") in _FORMATS:
                return _FORMATS[schema["format"]]
            case [kind] if kind in _SCALARS:
                return _SCALARS[kind]
            case _:  # a catalog may bring a schema of the user's own
                return _as_it_is

    def _object(
        self, schema: Schema, path: str, special: Mapping[str, Convert] | None = None
    ) -> Convert:
        prefix = f"{path}." if path else ""
        fields = {
            name: self._property(definition, prefix + name)
            for name, definition in schema["properties"].items()
        } | dict(special or {})
        oddities = self._oddities

        def convert(value: t.Any) -> t.Any:
            row = _from_json_text(value, dict)
            if row is None:
                return None
            record: Record = {}
            for name, item in row.items():
                to_type = fields.get(name)
                if to_type is None:
                    oddities.unknown[prefix + name] += 1
                    continue
                try:
                    record[name] = None if item is None else to_type(item)
                except Unconvertible:
                    oddities.unconvertible[prefix + name] += 1
                    record[name] = item
            return record

        return convert

    def _array(self, schema: Schema, path: str) -> Convert:
        path = f"{path}[]"
        to_item = self._property(schema["items"], path)
        oddities = self._oddities

        def convert(value: t.Any) -> t.Any:
            items = _from_json_text(value, list)
            if items is None:
                return None
            converted = []
            for item in items:
                try:
                    converted.append(None if item is None else to_item(item))
                except Unconvertible:
                    oddities.unconvertible[path] += 1
                    converted.append(item)
            return converted

        return convert


def _types(schema: Schema) -> list[str]:
    """List the types of a property other than null."""
    types = schema.get("type", [])
    return [name for name in ([types] if isinstance(types, str) else types) if name != "null"]
