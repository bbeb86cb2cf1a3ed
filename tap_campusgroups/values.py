"""One value made into its schema's type: numbers, booleans, texts, dates, instants, nested JSON.

The service answers from a data lake, and values may arrive as text. Conversion is lenient in what
it takes and exact in what it gives: decimals keep their digits.
"""

from __future__ import annotations

import re
import typing as t
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from tap_campusgroups.codec import BadJsonError, UnexpectedJsonError, decode_value, encode_text

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
_FALSE: t.Final = frozenset({"false", "0", "-0"})


def _is_nothing(text: str) -> bool:
    """Say whether a text in anything but a text field stands for null."""
    return not text or text.lower() == "null"


def to_integer(value: t.Any) -> int | None:
    """Convert to an integer; a boolean becomes 0 or 1, and a number that is whole becomes one.

    Raises:
        Unconvertible: If it is none.
    """
    if isinstance(value, int):
        return int(value)  # a boolean, too, becomes a number
    if isinstance(value, str):
        value = to_number(value)
    if value is None:
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, Decimal) and value.adjusted() < _LONGEST_INTEGER:
        if value == value.to_integral_value():
            return int(value)
        # As every reader of JSON that uses doubles: 7.00000000000000000001 is 7.
        double = float(value)
        if double.is_integer() and abs(double) <= LARGEST_WHOLE_DOUBLE:
            return int(double)
    raise Unconvertible


def to_number(value: t.Any) -> int | Decimal | None:
    """Convert to a number with all of its digits.

    Raises:
        Unconvertible: If it is none.
    """
    if isinstance(value, (int, Decimal)):
        return int(value) if isinstance(value, bool) else value
    if isinstance(value, str):
        text = value.strip()
        if _is_nothing(text):
            return None
        if _NUMBER.fullmatch(text):
            try:
                return Decimal(text)
            except InvalidOperation:  # an exponent beyond all reason
                raise Unconvertible from None
    raise Unconvertible


def to_boolean(value: t.Any) -> bool | None:
    """Convert `true`, `false`, 1 and 0, and these as text.

    Raises:
        Unconvertible: If it is none of them.
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
    raise Unconvertible


def to_string(value: t.Any) -> str:
    """Convert to text: anything but text becomes its JSON."""
    return value if isinstance(value, str) else encode_text(value)


def to_instant(value: t.Any) -> str | None:
    """Convert to an instant: one with an offset in UTC, one without as it is.

    Some loaders cut the offset off, and the value would shift; of which zone one without is, only
    the school knows.

    Raises:
        Unconvertible: If it is none.
    """
    text = to_string(value).strip()
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


def to_canonical(value: t.Any) -> str | None:
    """Convert to the form of `canonical_instant`.

    Raises:
        Unconvertible: If it is no instant.
    """
    text = to_string(value).strip()
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
    text = to_string(value).strip()
    if _is_nothing(text):
        return None
    day, midnight = text[:10], text[10:]
    if _DATE.fullmatch(day) and _MIDNIGHT.fullmatch(midnight):
        return day
    raise Unconvertible


def from_json_text(value: t.Any, wanted: type) -> t.Any:
    """Take an object or array, also one that arrives as JSON text.

    Args:
        value: The value.
        wanted: `dict` or `list`.

    Raises:
        Unconvertible: If it is not of that type.
    """
    if isinstance(value, str):
        if _is_nothing(value.strip()):
            return None
        try:
            value = decode_value(value)
        except (BadJsonError, UnexpectedJsonError):
            raise Unconvertible from None
    if isinstance(value, wanted):
        return value
    raise Unconvertible
