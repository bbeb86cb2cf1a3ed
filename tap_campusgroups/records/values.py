"""Conversion of single values to the types of a schema.

The service exports from a data lake, so a value may arrive as text. Conversion accepts many
spellings and loses nothing: decimals keep their digits.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from tap_campusgroups.records import json_codec
from tap_campusgroups.records.json_codec import MAX_DIGITS

if t.TYPE_CHECKING:
    from datetime import tzinfo

MAX_SAFE_INTEGER: t.Final = 2**53 - 1  # up to here, a whole double stands for one integer

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"  # text without hyphens may be any number
_TIME = r"(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?"
# Group 1 is a timestamp as in RFC 3339, in UTC or without an offset; the rest is for
# `fromisoformat`, which would also accept any character between date and time.
_TIMESTAMP = re.compile(rf"({_DATE}T{_TIME}(?:Z|\+00:00)?)|{_DATE}(?:T[0-9:.,Z+-]+)?")
# UTC, or an offset, after any spaces: SQL engines write `2024-05-01 10:00:00.000 UTC`.
_ZONE = re.compile(r"(?<=[0-9]) *(UTC|Z|[+-][0-9:.]+)$")
_MIDNIGHT = re.compile(r"[T ]00:00(?::00(?:\.0+)?)?(?: *(?:Z|UTC|\+00:?00))?", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_BOOLEANS: t.Final = {"true": True, "1": True, "false": False, "0": False, "-0": False}


class ConversionError(ValueError):
    """A value does not fit its type."""


@dataclass(frozen=True, slots=True)
class ValueFormat:
    """The settings of how values are written.

    Attributes:
        nested_as_text: Whether objects and arrays are written as JSON text.
        decimals_as_text: Whether numbers with a decimal point are written as text, unless they are
            in JSON text, which is exact.
        time_zone: Time zone of timestamps without an offset, except `updatedOn`.
    """

    nested_as_text: bool = False
    decimals_as_text: bool = False
    time_zone: tzinfo | None = None


def parse_timestamp(value: object) -> datetime | None:
    """Parse a timestamp in any ISO 8601 form; without an offset, it is in UTC, like the result."""
    try:
        text = to_timestamp(value) if isinstance(value, str) else None
    except ConversionError:
        return None
    return _in_utc(text) if text else None


def _in_utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)  # never has another offset


def format_timestamp(timestamp: datetime, timespec: str = "microseconds") -> str:
    """Format an aware timestamp in UTC; by default in the form of `canonical_timestamp`."""
    # Not `strftime`: its %Y does not pad years before 1000 on every platform.
    return f"{timestamp.astimezone(UTC).isoformat('T', timespec).removesuffix('+00:00')}Z"


def canonical_timestamp(value: object) -> str | None:
    """Return a timestamp in the canonical form, `2024-05-01T08:00:00.500000Z`.

    Bookmarks and `updatedOn` have this form, because the SDK compares bookmarks as strings.
    """
    timestamp = parse_timestamp(value)
    return None if timestamp is None else format_timestamp(timestamp)


# Each function below converts to one type. It returns `None` for text that stands for null, and
# raises `ConversionError` for a value that does not fit the type.


def _text(value: t.Any) -> str | None:
    """Return a value as text without outer whitespace, or `None` if it stands for null."""
    text = value.strip() if isinstance(value, str) else json_codec.encode_json(value)
    return None if text.lower() in {"", "null"} else text


def to_integer(value: t.Any) -> int | None:
    """Convert to an integer, also a whole number with a decimal point."""
    number = to_number(value)
    if not isinstance(number, Decimal):
        return number
    if number.adjusted() < MAX_DIGITS:
        if number == number.to_integral_value():
            return int(number)
        # As in any JSON parser that uses doubles, 7.00000000000000000001 is 7.
        double = float(number)
        if double.is_integer() and abs(double) <= MAX_SAFE_INTEGER:
            return int(double)
    raise ConversionError


def to_number(value: t.Any) -> int | Decimal | None:
    """Convert to a number with all its digits; `true` is not 1, which may be the id of a row."""
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        if (text := _text(value)) is None:
            return None
        if _NUMBER.fullmatch(text) and isinstance(number := json_codec.to_decimal(text), Decimal):
            return number
    raise ConversionError


def to_boolean(value: t.Any) -> bool | None:
    """Convert true, false, 1 and 0, also as text."""
    if isinstance(value, (int, Decimal)) and value in {0, 1}:
        return bool(value)
    if isinstance(value, str):
        if (text := _text(value)) is None:
            return None
        if text.lower() in _BOOLEANS:
            return _BOOLEANS[text.lower()]
    raise ConversionError


def to_string(value: t.Any) -> str:
    """Convert to text; a value that is not text becomes its JSON."""
    return value if isinstance(value, str) else json_codec.encode_json(value)


def to_timestamp(value: t.Any, time_zone: tzinfo | None = None) -> str | None:
    """Convert to an RFC 3339 timestamp, in UTC if it has an offset or the time zone is known.

    Some loaders drop offsets, which would shift the value. Without a time zone, a timestamp without
    an offset stays without: only the school knows its time zone. With one, a time that comes twice
    is the first of the two, and one that is skipped has the offset from before.
    """
    text = to_string(value).strip()
    match = _TIMESTAMP.fullmatch(text) or _TIMESTAMP.fullmatch(text := _normalize_timestamp(text))
    if match is None:
        if _text(text) is None:
            return None
        raise ConversionError
    try:
        timestamp = datetime.fromisoformat(text)
        if time_zone is not None and timestamp.tzinfo is None:
            return format_timestamp(timestamp.replace(tzinfo=time_zone))
        if match[1]:
            return text
        return timestamp.isoformat() if timestamp.tzinfo is None else format_timestamp(timestamp)
    except (ValueError, OverflowError):
        raise ConversionError from None


def _normalize_timestamp(text: str) -> str:
    """Return a timestamp with the letters and the T of RFC 3339, and without spaces."""
    text = _ZONE.sub(lambda zone: zone[1].replace("UTC", "Z"), text.upper())
    return f"{text[:10]}T{text[11:]}" if text[10:11] == " " else text


def to_canonical_timestamp(value: t.Any) -> str | None:
    """Convert to the form of `canonical_timestamp`."""
    text = to_timestamp(value)
    return text and format_timestamp(_in_utc(text))


def to_date(value: t.Any) -> str | None:
    """Convert to a date; a timestamp at midnight becomes its date."""
    text = value.strip() if isinstance(value, str) else json_codec.encode_json(value)
    day, time = text[:10], text[10:]
    if day[4:8:3] != "--" or (time and not _MIDNIGHT.fullmatch(time)):
        if _text(text) is None:
            return None
        raise ConversionError
    try:
        date.fromisoformat(day)
    except ValueError:
        raise ConversionError from None
    return day


def to_container(value: t.Any, expected: type) -> t.Any:
    """Convert to an object or array (`dict` or `list`), also from JSON text."""
    if isinstance(value, str):
        if (text := _text(value)) is None:
            return None
        try:
            value = json_codec.decode_value(text)
        except json_codec.JsonError:
            raise ConversionError from None
    if isinstance(value, expected):
        return value
    raise ConversionError
