"""All that the tap knows of JSON: bodies of answers, rows of pages, lines of Singer output.

Numbers keep their digits both ways: what has a decimal point is a `Decimal`.
"""

from __future__ import annotations

import re
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


class BadJsonError(ValueError):
    """A text is no JSON; the decoder's own words are left out, for they may quote from it."""


class UnexpectedJsonError(ValueError):
    """A text is JSON, but not of the type that was asked for."""


_T = t.TypeVar("_T")


def _to_decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all reason stays text
        return text


_any_decoder: msgspec.json.Decoder[t.Any] = msgspec.json.Decoder(float_hook=_to_decimal)
_body_decoder = msgspec.json.Decoder(dict[str, Raw])
_rows_decoder: msgspec.json.Decoder[list[Record]] = msgspec.json.Decoder(
    list[Record], float_hook=_to_decimal
)
_split_decoder = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])


def _decode(decoder: msgspec.json.Decoder[_T], text: Buffer | str | Raw) -> _T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise UnexpectedJsonError from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadJsonError from None


def decode_body(content: Buffer | Raw) -> dict[str, Raw]:
    """Decode the keys of a body; their values stay text.

    Raises:
        UnexpectedJsonError: If it is JSON, but not an object.
        BadJsonError: If it is not JSON.
    """
    return _decode(_body_decoder, content)


def size_of(text: Raw) -> int:
    """Count the bytes of a text."""
    return len(memoryview(text))


def decode_value(text: str | Raw) -> t.Any:
    """Decode any JSON.

    Raises:
        BadJsonError: If the text is none.
        UnexpectedJsonError: If it has an integer of thousands of digits.
    """
    return _decode(_any_decoder, text)


def decode_rows(results: Raw) -> tuple[list[Record], int]:
    """Decode a page's rows.

    Args:
        results: JSON text of an array of objects.

    Returns:
        The rows, and 1 if characters that are none had to be replaced, else 0.

    Raises:
        UnexpectedJsonError: If it is not such an array.
        BadJsonError: If it is no JSON.
    """
    try:
        return _decode(_rows_decoder, results), 0
    except BadJsonError:
        return _decode(_rows_decoder, replace_bad_characters(results)), 1


# Half of a surrogate pair, in a text that has an even number of backslashes before it.
_HALF_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_PAIR_LENGTH: t.Final = len(r"\ud83d\ude00")


def replace_bad_characters(text: Buffer | Raw) -> Raw:
    """Write U+FFFD for bytes that are no UTF-8 and for halves of surrogate pairs.

    JSON can spell them; neither UTF-8 nor a database can hold them.
    """

    def replacement(found: re.Match[str]) -> str:
        is_pair = len(found[2]) == _PAIR_LENGTH
        return found[0] if is_pair else found[1] + r"\ufffd"

    decoded = bytes(memoryview(text)).decode(errors="replace")
    return Raw(_HALF_PAIR.sub(replacement, decoded).encode())


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


def encode_text(value: t.Any) -> str:
    """Write a value as JSON."""
    return encoder.encode(value).decode()


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


_PLAIN_KEY = re.compile(r"[A-Za-z_]{1,40}")
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


def shape(content: Buffer) -> str:
    """Tell what a body is made of without quoting from it.

    Args:
        content: The whole body.

    Returns:
        Its type, and of an object the first keys with their types.
    """
    try:
        value = _decode(_any_decoder, content)
    except (BadJsonError, UnexpectedJsonError):
        return f"{len(content)} bytes that are no JSON"
    if not isinstance(value, dict):
        return f"JSON of type {_TYPES[type(value)]}"
    keys = [
        f"{key if _PLAIN_KEY.fullmatch(key) else '(another key)'}: {_TYPES[type(item)]}"
        for key, item in list(value.items())[:6]
    ]
    return f"an object of {', '.join(keys) or 'no keys'}"
