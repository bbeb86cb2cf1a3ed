"""The tap's JSON: response bodies, rows of pages, and lines of Singer output.

Numbers keep their digits: one with a decimal point or an exponent becomes a `Decimal`.
"""

from __future__ import annotations

import codecs
import re
import sys
import typing as t
from datetime import datetime  # noqa: TC003 - msgspec reads the annotation
from decimal import Decimal, InvalidOperation

import msgspec
from singer_sdk.contrib.msgspec import encoder

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Record: t.TypeAlias = dict[str, t.Any]
Buffer: t.TypeAlias = "bytes | memoryview"
Raw = msgspec.Raw
"""JSON text of a value that is not decoded yet."""

MAX_DEPTH: t.Final = 100
"""Nesting levels that a value keeps; JSON parsers fail at about 1,000."""

MAX_DIGITS: t.Final = 1000
"""Integer digits of a number with a decimal point or an exponent, such as 1e999999."""

_JSON_TYPES: t.Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}

_T = t.TypeVar("_T")


class JsonError(ValueError):
    """Base of this module's errors; their text never quotes the JSON, which may be personal."""


class InvalidJsonError(JsonError):
    """The text is not valid JSON."""


class UnexpectedJsonError(JsonError):
    """The text is valid JSON, but not of the expected type."""


def to_decimal(text: str) -> Decimal | None:
    """Parse a number with all its digits; return `None` beyond `MAX_DIGITS`."""
    try:
        number = Decimal(text)
    except InvalidOperation:  # an exponent that Decimal cannot hold
        return None
    return number if number.adjusted() < MAX_DIGITS else None


def _decimal_or_text(text: str) -> Decimal | str:
    number = to_decimal(text)
    return text if number is None else number


_value_decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(float_hook=_decimal_or_text)
_rows_decoder = msgspec.json.Decoder(list[t.Any], float_hook=_decimal_or_text)
_body_decoder = msgspec.json.Decoder(dict[str, Raw])
_raw_rows_decoder = msgspec.json.Decoder(list[dict[str, Raw]])


def _decode(decoder: msgspec.json.Decoder[_T], text: Buffer | str | Raw) -> _T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise UnexpectedJsonError from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJsonError from None


def decode_body(content: Buffer | Raw) -> dict[str, Raw]:
    """Decode the top-level keys of a response body; their values stay JSON text.

    Raises:
        UnexpectedJsonError: If the body is not an object.
        InvalidJsonError: If the body is not valid JSON.
    """
    text = _without_byte_order_mark(content)
    try:
        return _decode(_body_decoder, text)
    except InvalidJsonError:
        # Repairing takes long; skip it for a body that was cut off.
        if (bytes(text[:99]).lstrip()[:1], bytes(text[-99:]).rstrip()[-1:]) != (b"{", b"}"):
            raise
        # The values of a row are three levels deep: body, Results, row.
        repaired = _repair_values(str(text, "utf-8", "surrogateescape"), MAX_DEPTH + 3)
        return _decode(_body_decoder, repaired.encode("utf-8", "surrogateescape"))


def _without_byte_order_mark(content: Buffer | Raw) -> memoryview:
    view = memoryview(content)
    return view[3:] if bytes(view[:3]) == codecs.BOM_UTF8 else view


def byte_size(text: Raw) -> int:
    """Count the bytes of a JSON text."""
    return len(memoryview(text))


def decode_value(text: Buffer | str | Raw) -> t.Any:
    """Decode JSON of any type.

    Raises:
        InvalidJsonError: If the text is not valid JSON.
        UnexpectedJsonError: If it contains an integer of thousands of digits.
    """
    return _decode(_value_decoder, text)


class DecodedRows(t.NamedTuple):
    """The rows of a page, decoded."""

    rows: list[Record]
    non_object_rows: int
    """Number of rows left out because they are not objects."""
    has_invalid_unicode: bool
    """Whether invalid Unicode was replaced."""


def decode_rows(results: Raw) -> DecodedRows:
    """Decode the rows of a page.

    Raises:
        UnexpectedJsonError: If the text is not an array.
        InvalidJsonError: If the text cannot be repaired to valid JSON.
    """
    has_invalid_unicode = False
    try:
        values = _decode(_rows_decoder, results)
    except JsonError:
        results, has_invalid_unicode = repair_json(results)
        values = _decode(_rows_decoder, results)
    rows = [value for value in values if isinstance(value, dict)]
    return DecodedRows(rows, len(values) - len(rows), has_invalid_unicode)


def decode_raw_rows(results: Raw) -> list[dict[str, Raw]]:
    """Decode the rows of a page like `decode_rows`; their values stay JSON text."""
    return _decode(_raw_rows_decoder, results)


# A surrogate pair or a lone surrogate, after an even number of backslashes.
_SURROGATE = re.compile(
    r"(?<!\\)((?:\\\\)*)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def replace_invalid_unicode(text: Buffer | Raw) -> Raw:
    """Replace invalid UTF-8 bytes and lone surrogates with U+FFFD.

    JSON can escape a lone surrogate, but neither UTF-8 nor a database can store one.
    """
    decoded = bytes(memoryview(text)).decode(errors="replace")
    replaced = _SURROGATE.sub(lambda m: m[0] if m[2] else rf"{m[1]}\ufffd", decoded)
    return Raw(replaced.encode())


_INTEGER_LIMIT: t.Final = sys.int_info.default_max_str_digits
# Strings, brackets, NaN and Infinity, and numbers that may be longer than the limit.
_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{\]}]|-?Infinity|NaN'
    rf"|(?<![0-9.eE+-])[0-9.eE+-]{{{_INTEGER_LIMIT + 1},}}",
    re.DOTALL,
)
_INTEGER = re.compile(r"-?[0-9]+")
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f]")


def repair_json(results: Raw) -> tuple[Raw, bool]:
    """Rewrite the rows of a page so that every JSON parser accepts them.

    Invalid Unicode is replaced. Integers of thousands of digits, values nested too deeply, NaN and
    Infinity become strings; otherwise, one of them would cost all rows of the page.

    Returns:
        The repaired text, and whether invalid Unicode was replaced.
    """
    replaced = replace_invalid_unicode(results)
    has_invalid_unicode = memoryview(replaced) != memoryview(results)
    # The values of a row are two levels deep: array, row.
    repaired = _repair_values(bytes(memoryview(replaced)).decode(), MAX_DEPTH + 2)
    return Raw(repaired.encode()), has_invalid_unicode


def _repair_values(text: str, max_depth: int) -> str:
    """Rewrite values as in `repair_json`, and escape control characters in strings."""
    parts: list[str] = []
    end = start = depth = 0
    for match in _TOKEN.finditer(text):
        found: str = match[0]
        if found in "[{":
            depth += 1
            if depth == max_depth + 1:
                start = match.start()
            continue
        if found in "]}":
            depth -= 1
            if depth != max_depth:
                continue
            # `surrogateescape` has made surrogates of invalid UTF-8.
            nested = text[start : match.end()].encode("utf-8", "surrogateescape")
            repaired = encode_json(nested.decode(errors="replace"))
        elif depth > max_depth:
            continue
        elif found[0] == '"':
            if not _CONTROL_CHARACTER.search(found):
                continue
            start = match.start()
            repaired = _CONTROL_CHARACTER.sub(lambda m: f"\\u{ord(m[0]):04x}", found)
        elif found[-1] in "Ny" or _INTEGER.fullmatch(found):
            start = match.start()
            repaired = f'"{found}"'
        else:
            continue
        parts += [text[end:start], repaired]
        end = match.end()
    return "".join([*parts, text[end:]])


def lenient_decoder(expected: t.Any) -> Callable[[Raw], t.Any]:
    """Return a decoder of one msgspec type that converts between text, number and 0/1.

    The decoder raises `UnexpectedJsonError` if the JSON does not fit the type.
    """
    decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(expected, strict=False)
    return lambda text: _decode(decoder, text)


def encode_json(value: t.Any) -> str:
    """Encode a value as JSON."""
    return encoder.encode(value).decode()


def limit_depth(value: t.Any) -> t.Any:
    """Copy a value, with whatever is nested deeper than `MAX_DEPTH` as JSON text."""
    if not isinstance(value, (dict, list)):
        return value
    root: list[t.Any] = [value]
    parents: list[t.Any] = [root]
    for level in range(MAX_DEPTH + 1):
        children: list[t.Any] = []
        for parent in parents:
            for key, child in parent.items() if isinstance(parent, dict) else enumerate(parent):
                if isinstance(child, (dict, list)):
                    parent[key] = encode_json(child) if level == MAX_DEPTH else child.copy()
                    children.append(parent[key])
        if not children:
            break
        parents = children
    return root[0]


class _RecordMessage(msgspec.Struct, tag_field="type", tag="RECORD", gc=False):
    stream: str
    record: t.Any
    time_extracted: datetime


def record_lines(stream: str, records: Iterable[t.Any], *, time_extracted: datetime) -> bytes:
    """Encode the RECORD messages of a page as JSON lines.

    Args:
        stream: Name of the stream.
        records: Dictionaries or msgspec structs.
        time_extracted: When the page was fetched, timezone-aware.
    """
    return encoder.encode_lines(
        [_RecordMessage(stream, record, time_extracted) for record in records]
    )


_DOCUMENTED_KEYS: t.Final = frozenset({"Results", "NextToken", "nextToken", "message", "queryId"})
_MAX_KEYS: t.Final = 6


def json_type(value: t.Any) -> str:
    """Return the JSON type of a decoded value."""
    return _JSON_TYPES[type(value)]


def describe_body(content: Buffer) -> str:
    """Describe the structure of a response body without quoting its values.

    Names of keys are included only if the API documents them.
    """
    try:
        value = decode_value(_without_byte_order_mark(content))
    except JsonError:
        return f"{len(content)} bytes that are not JSON"
    if not isinstance(value, dict):
        return f"JSON of type {json_type(value)}"
    keys = [
        f"{key if key in _DOCUMENTED_KEYS else '(another key)'}: {json_type(item)}"
        for key, item in list(value.items())[:_MAX_KEYS]
    ]
    return f"an object of {', '.join(keys) or 'no keys'}"
