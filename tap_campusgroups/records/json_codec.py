"""The tap's JSON: response bodies, rows of pages, and lines of Singer output.

Numbers keep their digits: one with a decimal point or an exponent becomes a `Decimal`.
"""

from __future__ import annotations

import codecs
import json
import re
import typing as t
from contextlib import suppress
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from decimal import Decimal, InvalidOperation

import msgspec
from singer_sdk.contrib.msgspec import encoder

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Record: t.TypeAlias = dict[str, t.Any]
Buffer: t.TypeAlias = "bytes | bytearray | memoryview"
Raw = msgspec.Raw
"""JSON text of a value that is not decoded yet."""

MAX_DIGITS: t.Final = 1000  # integer digits of a number with a decimal point or an exponent

JSON_TYPES: t.Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}
"""Name of each type of a decoded value."""

_TYPES_BY_FIRST_CHARACTER: t.Final = {
    b"n": "null",
    b"t": "boolean",
    b"f": "boolean",
    b'"': "string",
    b"[": "array",
    b"{": "object",
}

_T = t.TypeVar("_T")


class JsonError(ValueError):
    """Base of this module's errors; their text never quotes the JSON, which may be personal."""


class InvalidJsonError(JsonError):
    """The text is not valid JSON."""


class UnexpectedJsonError(JsonError):
    """The text is valid JSON, but not of the expected type."""


def to_decimal(text: str) -> Decimal | str:
    """Parse a number with all its digits; return it as text if it exceeds `MAX_DIGITS`."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that Decimal cannot hold
        return text
    return number if number.adjusted() < MAX_DIGITS else text


_value_decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(float_hook=to_decimal)
_rows_decoder = msgspec.json.Decoder(list[t.Any], float_hook=to_decimal)
_raw_rows_decoder = msgspec.json.Decoder(list[Raw])
_body_decoder = msgspec.json.Decoder(dict[str, Raw])


def _decode(decoder: msgspec.json.Decoder[_T], text: Buffer | str | Raw) -> _T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise UnexpectedJsonError from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJsonError from None


def decode_body(content: Buffer) -> tuple[dict[str, Raw], bool]:
    """Decode the top-level keys of a response body; return whether invalid Unicode was replaced.

    The values stay JSON text.

    Raises:
        UnexpectedJsonError: If the body is not an object, or has a key twice.
        InvalidJsonError: If the body cannot be repaired to valid JSON.
    """
    text = memoryview(content)
    if bytes(text[:3]) == codecs.BOM_UTF8:
        text = text[3:]
    try:
        return _decode_keys(text), False
    except InvalidJsonError:
        repaired, has_invalid_unicode = repair_json(text)
        return _decode_keys(repaired), has_invalid_unicode


_KEY = re.compile(rb'\s*+[{,]\s*+"(?:[^"\\]|\\.)*+"\s*+:\s*+')
_END = re.compile(rb"\s*+(?:\{\s*+)?\}\s*+")


def _decode_keys(text: Buffer | Raw) -> dict[str, Raw]:
    """Decode the keys of an object, which must all differ: msgspec would keep the last of two."""
    body, view, end = _decode(_body_decoder, text), memoryview(text), 0
    # The text is one key and value after the other only if none is missing.
    for raw in body.values():
        key = _KEY.match(view, end)
        end = key.end() + len(memoryview(raw)) if key else len(view)
    if not _END.fullmatch(view, end):
        msg = "an object that has a key twice"
        raise UnexpectedJsonError(msg)
    return body


def decode_value(text: Buffer | str | Raw) -> t.Any:
    """Decode JSON of any type; raise `JsonError` if it is invalid or has too long an integer."""
    return _decode(_value_decoder, text)


def longest_row(results: Raw) -> bytes:
    """Return the longest row of a page as JSON text; empty if the page needs a repair."""
    with suppress(JsonError):
        return max(
            (bytes(row) for row in _decode(_raw_rows_decoder, results)), key=len, default=b""
        )
    return b""


class DecodedRows(t.NamedTuple):
    """The rows of a page that are objects, and the number of those that are not."""

    rows: list[Record]
    non_object_rows: int
    has_invalid_unicode: bool


def decode_rows(results: Raw) -> DecodedRows:
    """Decode the rows of a page; raise `JsonError` if they are not an array, or beyond repair."""
    has_invalid_unicode = False
    try:
        values = _decode(_rows_decoder, results)
    except JsonError:
        results, has_invalid_unicode = repair_json(results)
        values = _decode(_rows_decoder, results)
    rows = [value for value in values if isinstance(value, dict)]
    return DecodedRows(rows, len(values) - len(rows), has_invalid_unicode)


# A surrogate pair or a lone surrogate, after an even number of backslashes.
_SURROGATE = re.compile(
    r"(?<!\\)((?:\\\\)*+)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def repair_json(text: Buffer | Raw) -> tuple[Raw, bool]:
    """Rewrite JSON as some services write it; otherwise, one value would cost a whole page.

    Invalid UTF-8 bytes and lone surrogates become U+FFFD: JSON can escape a lone surrogate, but
    neither UTF-8 nor a database can store one. Python's parser, unlike msgspec, accepts control
    characters in strings, and NaN and Infinity, which become strings. The second result is whether
    invalid Unicode was replaced.
    """
    decoded = str(memoryview(text), "utf-8", "replace")
    source = _SURROGATE.sub(lambda m: m[0] if m[2] else f"{m[1]}\ufffd", decoded)
    try:
        value = json.loads(source, strict=False, parse_float=to_decimal, parse_constant=str)
        repaired = encoder.encode(value)
    except (ValueError, RecursionError):
        raise InvalidJsonError from None
    return Raw(repaired), source.encode() != memoryview(text)


def lenient_decoder(expected: t.Any) -> Callable[[Raw], t.Any]:
    """Return a decoder of one msgspec type that converts between text, number and 0/1."""
    decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(expected, strict=False)
    return lambda text: _decode(decoder, text)


def encode_json(value: t.Any) -> str:
    """Encode a value as JSON; raise `InvalidJsonError` if it is nested too deeply."""
    try:
        return encoder.encode(value).decode()
    except RecursionError:
        raise InvalidJsonError from None


def format_json(value: t.Any) -> str:
    """Encode a value as JSON on one line, with spaces for readers."""
    return msgspec.json.format(encode_json(value), indent=0)


class _RecordMessage(msgspec.Struct, tag_field="type", tag="RECORD", gc=False):
    stream: str
    record: t.Any
    time_extracted: datetime
    version: int | msgspec.UnsetType = msgspec.UNSET


def record_lines(
    stream: str, records: Iterable[t.Any], *, time_extracted: datetime, version: int | None = None
) -> bytes:
    """Encode the RECORD messages of a page, from dictionaries or msgspec structs, as JSON lines."""
    optional = msgspec.UNSET if version is None else version
    return encoder.encode_lines(
        [_RecordMessage(stream, record, time_extracted, optional) for record in records]
    )


def describe_json(text: Buffer | Raw) -> str:
    """Return the type of valid JSON by its first character, without decoding it."""
    first = bytes(memoryview(text)[:99]).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return _TYPES_BY_FIRST_CHARACTER.get(first, "number")
