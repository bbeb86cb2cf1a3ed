"""One value made into its schema's type: numbers, booleans, texts, dates, instants, nested JSON.

The service answers from a data lake, and values may arrive as text. Conversion is lenient in what
it takes and exact in what it gives: decimals keep their digits.
"""

from __future__ import annotations

import re
import typing as t
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from tap_campusgroups.records.json_codec import (
    MAX_DIGITS,
    JsonError,
    decode_value,
    encode_json,
    limit_depth,
    to_decimal,
)

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"  # without hyphens it may be any number
# `fromisoformat` takes more: anything between date and time, a NUL and what follows it, 24:00.
_INSTANT = re.compile(rf"{_DATE}(?:T[0-9:.,Z+-]+)?")
_INSTANT_IN_FORM = re.compile(
    rf"{_DATE}T(?:[01][0-9]|2[0-3]):[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]+)?(?:Z|\+00:00)?"
)
_MIDNIGHT = re.compile(r"(?:[Tt ]00:00(?::00(?:\.0+)?)?(?:[Zz]|\+00:?00)?)?")


def parse_timestamp(value: object) -> datetime | None:
    """Read an instant in any ISO 8601 form.

    Args:
        value: For instance `2024-05-01T10:00:00Z`, `2024-05-01 10:00:00.5+02:00` or `2024-05-01`.
            Without an offset it is UTC.

    Returns:
        The instant, aware, in UTC; `None` if the value is none.
    """
    try:
        instant = _read_instant(_spell_instant(value)) if isinstance(value, str) else None
        return instant and instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _spell_instant(text: str) -> str:
    """Write the letters of an instant as RFC 3339 does, and T for a blank."""
    text = text.strip().upper()
    return f"{text[:10]}T{text[11:]}" if text[10:11] == " " else text


def _read_instant(text: str) -> datetime | None:
    """Read an instant, which is aware only if the text has an offset.

    Raises:
        ValueError: If it is in no calendar.
    """
    return datetime.fromisoformat(text) if _INSTANT.fullmatch(text) else None


def format_timestamp(instant: datetime) -> str:
    """Write an aware instant in canonical form: see `canonical_timestamp`."""
    # Not `strftime`: its %Y does not pad years before 1000 everywhere.
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat('T', 'microseconds')}Z"


def canonical_timestamp(value: object) -> str | None:
    """Write an instant in the one form that bookmarks and `updatedOn` have.

    UTC and of fixed width, for the SDK compares bookmarks as strings.

    Args:
        value: As `parse_timestamp` takes it.

    Returns:
        For instance `2024-05-01T08:00:00.500000Z`; `None` if the value is no instant.
    """
    instant = parse_timestamp(value)
    return None if instant is None else format_timestamp(instant)


class ConversionError(ValueError):
    """A value does not fit its type."""


_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

MAX_SAFE_INTEGER: t.Final = 2**53 - 1
"""Up to here, a double that is whole stands for one integer only."""

_TRUE: t.Final = frozenset({"true", "1"})
_FALSE: t.Final = frozenset({"false", "0", "-0"})


def _is_nothing(text: str) -> bool:
    """Say whether a text in anything but a text field stands for null."""
    return not text or text.lower() == "null"


def to_integer(value: t.Any) -> int | None:
    """Convert to an integer; a boolean becomes 0 or 1, and a number that is whole becomes one.

    Raises:
        ConversionError: If it is none.
    """
    if isinstance(value, int):
        return int(value)  # a boolean, too, becomes a number
    if isinstance(value, str):
        value = to_number(value)
    if value is None:
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal) and value.adjusted() < MAX_DIGITS:
        if value == value.to_integral_value():
            return int(value)
        # As every reader of JSON that uses doubles: 7.00000000000000000001 is 7.
        double = float(value)
        if double.is_integer() and abs(double) <= MAX_SAFE_INTEGER:
            return int(double)
    raise ConversionError


def to_number(value: t.Any) -> int | Decimal | None:
    """Convert to a number with all of its digits.

    Raises:
        ConversionError: If it is none.
    """
    if isinstance(value, (int, Decimal)):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        text = value.strip()
        if _is_nothing(text):
            return None
        if _NUMBER.fullmatch(text) and (number := to_decimal(text)) is not None:
            return number
    raise ConversionError


def to_boolean(value: t.Any) -> bool | None:
    """Convert `true`, `false`, 1 and 0, and these as text.

    Raises:
        ConversionError: If it is none of them.
    """
    if isinstance(value, (int, Decimal)):
        if value in {0, 1}:
            return bool(value)
    elif isinstance(value, str):
        text = value.strip().lower()
        if _is_nothing(text):
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
    raise ConversionError


def to_string(value: t.Any) -> str:
    """Convert to text: anything but text becomes its JSON."""
    return value if isinstance(value, str) else encode_json(limit_depth(value))


def to_timestamp(value: t.Any) -> str | None:
    """Convert to an instant, `2024-05-01T10:00:00.5Z`: one with an offset in UTC.

    Some loaders cut the offset off, and the value would shift. One without an offset stays without:
    of which zone it is, only the school knows.

    Raises:
        ConversionError: If it is none.
    """
    text = to_string(value).strip()
    try:
        if _INSTANT_IN_FORM.fullmatch(text) or _INSTANT_IN_FORM.fullmatch(
            text := _spell_instant(text)
        ):
            datetime.fromisoformat(text)
            return text
        instant = _read_instant(text)
    except ValueError:
        raise ConversionError from None
    if instant is None:
        if _is_nothing(text):
            return None
        raise ConversionError
    offset = instant.utcoffset()
    if offset is None:
        return instant.isoformat()
    try:
        return format_timestamp(instant)
    except OverflowError:  # in UTC it is before the year 1
        if offset % timedelta(minutes=1):
            raise ConversionError from None
        return instant.isoformat()


def to_canonical_timestamp(value: t.Any) -> str | None:
    """Convert to the form of `canonical_timestamp`.

    Raises:
        ConversionError: If it is no instant.
    """
    text = to_string(value).strip()
    if _is_nothing(text):
        return None
    if instant := canonical_timestamp(text):
        return instant
    raise ConversionError


def to_date(value: t.Any) -> str | None:
    """Convert to a date, also one that arrives as its midnight.

    Raises:
        ConversionError: If it is none.
    """
    text = to_string(value).strip()
    if _is_nothing(text):
        return None
    day = text[:10]
    if day[4:8:3] != "--" or (day != text and not _MIDNIGHT.fullmatch(text[10:])):
        raise ConversionError
    try:
        date.fromisoformat(day)
    except ValueError:
        raise ConversionError from None
    return day


def to_container(value: t.Any, wanted: type) -> t.Any:
    """Take an object or array, also one that arrives as JSON text.

    Args:
        value: The value.
        wanted: `dict` or `list`.

    Raises:
        ConversionError: If it is not of that type.
    """
    if isinstance(value, str):
        if _is_nothing(value.strip()):
            return None
        try:
            value = decode_value(value)
        except JsonError:
            raise ConversionError from None
    if isinstance(value, wanted):
        return value
    raise ConversionError
