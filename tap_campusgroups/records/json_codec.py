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
from types import SimpleNamespace

import msgspec
import simplejson  # type: ignore[import-untyped]
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

STREAM_MAP_JSON: t.Final = SimpleNamespace(dumps=simplejson.dumps, loads=simplejson.loads)
"""The name `json` in stream maps. `dumps` of the standard library fails for a `Decimal`."""

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


def json_decoder(expected: t.Any, **options: t.Any) -> Callable[[Buffer | str | Raw], t.Any]:
    """Return a function that decodes JSON of one msgspec type, or raises `JsonError`."""
    decode = msgspec.json.Decoder(expected, **options).decode

    def decode_text(text: Buffer | str | Raw) -> t.Any:
        try:
            return decode(text)
        except msgspec.ValidationError:
            raise UnexpectedJsonError from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise InvalidJsonError from None

    return decode_text


decode_value = json_decoder(t.Any, float_hook=to_decimal)
"""Decode JSON of any type; raise `JsonError` if it is invalid or has too long an integer."""

_decode_array = json_decoder(list[t.Any], float_hook=to_decimal)
_decode_object = json_decoder(dict[str, Raw])
_decode_raw_array = json_decoder(list[Raw])


def decode_or_repair(decode: Callable[[t.Any], _T], text: Buffer | Raw) -> tuple[_T, bool]:
    """Decode JSON, if need be repaired; return whether invalid Unicode was replaced."""
    try:
        return decode(text), False
    except InvalidJsonError:
        repaired, has_invalid_unicode = repair_json(text)
        return decode(repaired), has_invalid_unicode


# An empty row of three bytes takes hundreds once decoded, a small number dozens. Each of 999 rows
# may have 400 nested objects, such as the tags of a user or the answers of a survey.
MAX_OBJECTS: t.Final = 400_000
MAX_VALUES: t.Final = 2_000_000
_STRIDE: t.Final = 61  # a prime, so that few repeated texts have the same character at every stop

_TEXT_OR_VALUE = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)|[{\[,]', re.DOTALL)


def _check_size(content: bytes) -> None:
    """Refuse JSON whose values would take far more memory than its text, before it is decoded."""
    sample = content[::_STRIDE]  # to count all characters of every page would take 3 % of the time
    if (
        sample.count(b"{") * 2 * _STRIDE <= MAX_OBJECTS
        and (sample.count(b",") + sample.count(b"[")) * 2 * _STRIDE <= MAX_VALUES
    ):
        return
    objects = values = 0
    for mark in _TEXT_OR_VALUE.finditer(content):  # not within texts, which may be CSS
        first = content[mark.start()]
        objects += first == ord("{")
        values += first in b",["
        if objects > MAX_OBJECTS or values > MAX_VALUES:
            msg = f"JSON of more than {MAX_OBJECTS:,} objects or {MAX_VALUES:,} values"
            raise UnexpectedJsonError(msg)


def decode_body(content: Buffer) -> tuple[dict[str, Raw], bool]:
    """Decode the top-level keys of a response body; return whether invalid Unicode was replaced.

    The values stay JSON text.

    Raises:
        UnexpectedJsonError: If the body is not an object, has a key twice, or too many values.
        InvalidJsonError: If the body cannot be repaired to valid JSON.
    """
    _check_size(bytes(content))
    text = memoryview(content)
    if bytes(text[:3]) == codecs.BOM_UTF8:
        text = text[3:]
    return decode_or_repair(_decode_keys, text)


_KEY = re.compile(rb'\s*+[{,]\s*+"(?:[^"\\]|\\.)*+"\s*+:\s*+')
_END = re.compile(rb"\s*+(?:\{\s*+)?\}\s*+")


def _decode_keys(text: Buffer | Raw) -> dict[str, Raw]:
    """Decode the keys of an object, which must all differ: msgspec would keep the last of two."""
    body: dict[str, Raw] = _decode_object(text)
    view, end = memoryview(text), 0
    # The text is one key and value after the other only if none is missing.
    for raw in body.values():
        key = _KEY.match(view, end)
        end = key.end() + len(memoryview(raw)) if key else len(view)
    if not _END.fullmatch(view, end):
        msg = "an object that has a key twice"
        raise UnexpectedJsonError(msg)
    return body


def _check_unique(pairs: list[tuple[str, t.Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise UnexpectedJsonError


_FIRST_ROW_BYTES: t.Final = 2**14  # a longer row is found in a second attempt
_unique_decoder = json.JSONDecoder(object_pairs_hook=_check_unique, strict=False)


def repeats_key(results: Raw) -> bool:
    """Return whether the first row of a page has a key twice, at any depth.

    A query that returns a column twice does so in every row. To look at all rows would take a tenth
    of the time of their conversion.
    """
    text = memoryview(results)
    for size in (_FIRST_ROW_BYTES, len(text)):
        start = str(text[:size], "utf-8", "replace")
        try:
            _unique_decoder.raw_decode(start, max(start.find("{"), 0))
        except UnexpectedJsonError:
            return True
        except (ValueError, RecursionError):  # cut, invalid, or a number of thousands of digits
            continue
        return False
    return False


def longest_row(results: Raw) -> bytes:
    """Return the longest row of a page as JSON text; empty if the page needs a repair."""
    with suppress(JsonError):
        return max(map(bytes, _decode_raw_array(results)), key=len, default=b"")
    return b""


def decode_rows(results: Raw) -> tuple[list[Record], int, bool]:
    """Decode the rows of a page; raise `JsonError` if they are not an array, or beyond repair.

    Returns:
        The rows that are objects, the number of those that are not, and whether invalid Unicode was
        replaced.
    """
    values, has_invalid_unicode = decode_or_repair(_decode_array, results)
    rows = [value for value in values if isinstance(value, dict)]
    return rows, len(values) - len(rows), has_invalid_unicode


_MAX_REPAIRED_BYTES: t.Final = 64 * 2**20  # above the size of any page of 999 rows
_MAX_REPAIRS: t.Final = 10**6
_CHUNK_BYTES: t.Final = 2**20

# What is invalid within a text or outside of texts. Quotes and the other escapes are matched, too,
# because they tell where a text ends.
_MARK = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    rb"|(?P<surrogate>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
    rb'|"|(?P<control>[\0-\x1f])|(?P<constant>NaN|-?Infinity)',
    re.DOTALL,
)


def repair_json(text: Buffer | Raw) -> tuple[Raw, bool]:
    """Rewrite JSON as some services write it; otherwise, one value would cost a whole page.

    Invalid UTF-8 bytes and lone surrogates become U+FFFD: JSON can escape a lone surrogate, but
    neither UTF-8 nor a database can store one. Control characters in texts are escaped; NaN and
    Infinity become texts. The second result is whether invalid Unicode was replaced.

    Works in small steps, so that other threads and signal handlers run meanwhile.
    """
    view = memoryview(text)
    if len(view) > _MAX_REPAIRED_BYTES:
        raise InvalidJsonError
    source, repaired = bytearray(), bytearray()
    chunks = (bytes(view[at : at + _CHUNK_BYTES]) for at in range(0, len(view), _CHUNK_BYTES))
    for part in codecs.iterdecode(chunks, "utf-8", "replace"):
        source += part.encode()
    has_invalid_unicode, is_in_text, end, repairs = source != view, False, 0, 0
    for mark in _MARK.finditer(source):
        kind, token = mark.lastgroup, mark[0]
        if token == b'"':
            is_in_text = not is_in_text
        elif kind is not None and is_in_text == (kind != "constant"):
            if (repairs := repairs + 1) > _MAX_REPAIRS:
                raise InvalidJsonError
            has_invalid_unicode |= kind == "surrogate"
            repaired += source[end : mark.start()]
            repaired += {
                "constant": b'"%b"' % token,
                "control": b"\\u%04x" % token[0],
                "surrogate": rb"\ufffd",
            }[kind]
            end = mark.end()
    repaired += memoryview(source)[end:]
    return Raw(repaired), has_invalid_unicode


def encode_json(value: t.Any) -> str:
    """Encode a value as JSON; raise `InvalidJsonError` if it is nested too deeply."""
    try:
        return encoder.encode(value).decode()
    except RecursionError:
        raise InvalidJsonError from None


def format_json(value: t.Any) -> str:
    """Encode a value as JSON on one line, with spaces for readers."""
    return msgspec.json.format(encode_json(value), indent=0)


def encode_texts(values: Iterable[t.Any]) -> list[str]:
    """Encode each value like `encode_json`."""
    try:
        return encoder.encode_lines(values).decode().split("\n")[:-1]
    except RecursionError:
        raise InvalidJsonError from None


class _RecordMessage(msgspec.Struct, tag_field="type", tag="RECORD", gc=False):
    stream: str
    record: t.Any
    time_extracted: datetime
    version: int | msgspec.UnsetType = msgspec.UNSET


_decimals_as_text = msgspec.json.Encoder(decimal_format="string")


def record_lines(
    stream: str,
    records: Iterable[t.Any],
    *,
    time_extracted: datetime,
    version: int | None = None,
    decimals_as_text: bool = False,
) -> bytes:
    """Encode the RECORD messages of a page, from dictionaries or msgspec structs, as JSON lines."""
    optional = msgspec.UNSET if version is None else version
    return (_decimals_as_text if decimals_as_text else encoder).encode_lines(
        [_RecordMessage(stream, record, time_extracted, optional) for record in records]
    )


def describe_json(text: Buffer | Raw) -> str:
    """Return the type of valid JSON by its first character, without decoding it."""
    first = bytes(memoryview(text)[:99]).removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    return _TYPES_BY_FIRST_CHARACTER.get(first, "number")
