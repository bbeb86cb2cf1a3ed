"""All that the tap knows of JSON: bodies of answers, rows of pages, lines of Singer output.

Numbers keep their digits both ways: what has a decimal point is a `Decimal`.
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
"""Levels of nesting that a value keeps; readers of JSON give up at some 1,000."""

MAX_DIGITS: t.Final = 1000
"""Digits before the point of a number that has a decimal point or an exponent; 1e999999 is one."""


class JsonError(ValueError):
    """Base of the errors of this module."""


class InvalidJsonError(JsonError):
    """A text is no JSON; the decoder's own words are left out, for they may quote from it."""


class UnexpectedJsonError(JsonError):
    """A text is JSON, but not of the type that was asked for."""


_T = t.TypeVar("_T")


def to_decimal(text: str) -> Decimal | None:
    """Read a number with all of its digits.

    Args:
        text: A number as JSON spells it.

    Returns:
        The number; `None` if it has more than `MAX_DIGITS`, or an exponent beyond all reason.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.adjusted() < MAX_DIGITS else None


def _decimal_or_text(text: str) -> Decimal | str:
    number = to_decimal(text)
    return text if number is None else number


_any_decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(float_hook=_decimal_or_text)
_body_decoder = msgspec.json.Decoder(dict[str, Raw])
_rows_decoder: msgspec.json.Decoder[list[t.Any]] = msgspec.json.Decoder(
    list[t.Any], float_hook=_decimal_or_text
)
_split_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def _decode(decoder: msgspec.json.Decoder[_T], text: Buffer | str | Raw) -> _T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise UnexpectedJsonError from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidJsonError from None


def decode_body(content: Buffer | Raw) -> dict[str, Raw]:
    """Decode the keys of a body; their values stay text.

    Raises:
        UnexpectedJsonError: If it is JSON, but not an object.
        InvalidJsonError: If it is not JSON.
    """
    text = _without_mark(memoryview(content))
    try:
        return _decode(_body_decoder, text)
    except InvalidJsonError:
        # A body that was cut off does not end so: it is not worth the time.
        if (bytes(text[:99]).lstrip()[:1], bytes(text[-99:]).rstrip()[-1:]) != (b"{", b"}"):
            raise
        # In the body, around a value of a row: the body, its Results, the row.
        mended = _repair_values(str(text, "utf-8", "surrogateescape"), MAX_DEPTH + 3)
        return _decode(_body_decoder, mended.encode("utf-8", "surrogateescape"))


def _without_mark(content: memoryview) -> memoryview:
    """Leave out a byte order mark."""
    return content[3:] if bytes(content[:3]) == codecs.BOM_UTF8 else content


def byte_size(text: Raw) -> int:
    """Count the bytes of a text."""
    return len(memoryview(text))


def decode_value(text: str | Raw) -> t.Any:
    """Decode any JSON.

    Raises:
        InvalidJsonError: If the text is none.
        UnexpectedJsonError: If it has an integer of thousands of digits.
    """
    return _decode(_any_decoder, text)


class DecodedRows(t.NamedTuple):
    """The rows of a page, decoded.

    Attributes:
        rows: Those that are objects.
        non_object_rows: Number of rows that are not objects: null, numbers, texts, arrays.
        has_invalid_unicode: Whether invalid Unicode was replaced.
    """

    rows: list[Record]
    non_object_rows: int
    has_invalid_unicode: bool


def decode_rows(results: Raw) -> DecodedRows:
    """Decode a page's rows.

    Args:
        results: JSON text of an array.

    Raises:
        UnexpectedJsonError: If it is no array.
        InvalidJsonError: If it is no JSON.
    """
    has_invalid_unicode = False
    try:
        values = _decode(_rows_decoder, results)
    except JsonError:
        results, has_invalid_unicode = repair_json(results)
        values = _decode(_rows_decoder, results)
    rows = [value for value in values if isinstance(value, dict)]
    return DecodedRows(rows, len(values) - len(rows), has_invalid_unicode)


# Half of a surrogate pair, in a text that has an even number of backslashes before it.
_HALF_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_PAIR_LENGTH: t.Final = len(r"\ud83d\ude00")


def replace_invalid_unicode(text: Buffer | Raw) -> Raw:
    """Write U+FFFD for bytes that are no UTF-8 and for bisect of surrogate pairs.

    JSON can spell them; neither UTF-8 nor a database can hold them.
    """

    def replacement(found: re.Match[str]) -> str:
        is_pair = len(found[2]) == _PAIR_LENGTH
        return found[0] if is_pair else found[1] + r"\ufffd"

    decoded = bytes(memoryview(text)).decode(errors="replace")
    return Raw(_HALF_PAIR.sub(replacement, decoded).encode())


_TOO_LONG: t.Final = sys.int_info.default_max_str_digits + 1
_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[{\]}]|-?Infinity|NaN'
    rf"|(?<![0-9.eE+-])[0-9.eE+-]{{{_TOO_LONG},}}",
    re.DOTALL,
)
_LONG_INTEGER = re.compile(r"-?[0-9]+")
_CONTROL = re.compile(r"[\x00-\x1f]")


def repair_json(results: Raw) -> tuple[Raw, bool]:
    """Rewrite a page's rows so that every reader of JSON can take them.

    Characters are replaced as by `replace_invalid_unicode`. An integer of thousands of digits, a
    value that is nested too deeply, NaN and Infinity become texts, for each of them would otherwise
    cost all rows of the page.

    Returns:
        The text, and whether characters had to be replaced.
    """
    replaced = replace_invalid_unicode(results)
    is_replaced = memoryview(replaced) != memoryview(results)
    # Around a value of a row: the array, the row.
    mended = _repair_values(bytes(memoryview(replaced)).decode(), MAX_DEPTH + 2)
    return Raw(mended.encode()), is_replaced


def _repair_values(text: str, most_levels: int) -> str:
    """Do what `repair_json` does, but for the characters; control characters in a text are escaped."""
    parts: list[str] = []
    at = start = levels = 0
    for token in _TOKEN.finditer(text):
        said: str = token[0]
        if said in "[{":
            levels += 1
            if levels == most_levels + 1:
                start = token.start()
            continue
        if said in "]}":
            levels -= 1
            if levels != most_levels:
                continue
            written = encode_json(_replace_escaped_bytes(text[start : token.end()]))
        elif levels > most_levels:
            continue
        elif said[0] == '"':
            if not _CONTROL.search(said):
                continue
            start = token.start()
            written = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", said)
        elif said[-1] in "Ny" or _LONG_INTEGER.fullmatch(said):
            start = token.start()
            written = f'"{said}"'
        else:
            continue
        parts += [text[at:start], written]
        at = token.end()
    return "".join([*parts, text[at:]])


def _replace_escaped_bytes(text: str) -> str:
    """Write U+FFFD for what `surrogateescape` made of bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode(errors="replace")


def split_rows(results: Raw) -> list[dict[str, Raw]]:
    """Decode a page's rows, but not their values: see `decode_rows`."""
    return _decode(_split_decoder, results)


def lenient_decoder(of: t.Any) -> Callable[[Raw], t.Any]:
    """Make a decoder of one type, which takes text, number and 0/1 for one another.

    Args:
        of: The type, as msgspec describes them.

    Returns:
        A function of JSON text, which raises `UnexpectedJsonError` if the text does not fit.
    """
    decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(of, strict=False)
    return lambda text: _decode(decoder, text)


def encode_json(value: t.Any) -> str:
    """Write a value as JSON."""
    return encoder.encode(value).decode()


def limit_depth(value: t.Any) -> t.Any:
    """Write what is nested too deeply in a value as JSON text, so that the value can be encoded.

    Args:
        value: A decoded value; not changed.
    """
    if not isinstance(value, (dict, list)):
        return value
    holder: list[t.Any] = [value]
    outers: list[t.Any] = [holder]
    for level in range(MAX_DEPTH + 1):
        inners: list[t.Any] = []
        for outer in outers:
            for key, inner in outer.items() if isinstance(outer, dict) else enumerate(outer):
                if isinstance(inner, (dict, list)):
                    outer[key] = encode_json(inner) if level == MAX_DEPTH else inner.copy()
                    inners.append(outer[key])
        if not inners:
            break
        outers = inners
    return holder[0]


class _RecordLine(msgspec.Struct, tag_field="type", tag="RECORD", gc=False):
    stream: str
    record: t.Any
    time_extracted: datetime


def record_lines(stream: str, records: Iterable[t.Any], *, time_extracted: datetime) -> bytes:
    """Write the RECORD messages of a page.

    Args:
        stream: Name of the stream.
        records: What `encoder` takes for an object: records or msgspec's structs.
        time_extracted: When the page was taken, aware.

    Returns:
        Lines, each with its end.
    """
    return encoder.encode_lines([_RecordLine(stream, record, time_extracted) for record in records])


_KNOWN_KEYS: t.Final = frozenset({"Results", "NextToken", "nextToken", "message", "queryId"})
_MAX_KEYS: t.Final = 6
_TYPES: t.Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
}


def describe_body(content: Buffer) -> str:
    """Tell what a body is made of without quoting from it.

    Args:
        content: The whole body.

    Returns:
        Its type, and of an object the first keys with their types, by name if the API has them.
    """
    try:
        value = _decode(_any_decoder, _without_mark(memoryview(content)))
    except JsonError:
        return f"{len(content)} bytes that are no JSON"
    if not isinstance(value, dict):
        return f"JSON of type {_TYPES[type(value)]}"
    keys = [
        f"{key if key in _KNOWN_KEYS else '(another key)'}: {_TYPES[type(item)]}"
        for key, item in list(value.items())[:_MAX_KEYS]
    ]
    return f"an object of {', '.join(keys) or 'no keys'}"
