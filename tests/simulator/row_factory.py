"""Compiles a stream's JSON schema into a function that generates rows.

The schema is walked once; each row then costs one call per field. A value factory takes `random`
(returns floats in [0, 1)), the row's number and its timestamps, and returns a JSON-ready value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from .timestamps import DAY, UNUSUAL_FORMATS, format_date, format_timestamp
from .vocabulary import (
    CHOICES,
    FLAGS,
    FOREIGN_KEY_LISTS,
    FOREIGN_KEYS,
    MAILBOXES,
    TAG_FIELDS,
    WORDS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NULL_SHARE = 1 / 12
EMPTY_SHARE = 1 / 40
UNUSUAL_SHARE = 1 / 20


class RowTimes(NamedTuple):
    """A row's timestamps in milliseconds since 1970 UTC; `created` is the earliest."""

    updated: int
    created: int
    start: int


Random = Callable[[], float]
ValueFactory = Callable[[Random, int, RowTimes], Any]
Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class FieldContext:
    """Where a field is.

    Attributes:
        counts: Rows per stream, the range of foreign keys.
        owner: Field that holds the nested object; "" at the top level.
        full: Whether to avoid null and empty values.
    """

    stream: str
    counts: Mapping[str, int]
    owner: str = ""
    full: bool = False


def compile_object(schema: Schema, context: FieldContext) -> ValueFactory:
    """Return a factory of objects with every property of `schema`, in order."""
    required = frozenset(schema.get("required", ()))
    entries: list[tuple[str, ValueFactory, float, float, Callable[[], object]]] = []
    for name, definition in schema.get("properties", {}).items():
        # A name that starts with "_" is a column of the tap, not a field of the service.
        if name.startswith("_"):
            continue
        json_type = _json_type(definition)
        optional = not context.full and name not in required and "null" in definition["type"]
        null_below = NULL_SHARE if optional else 0.0
        can_be_empty = optional and (
            json_type == "array" or _is_free_text(name, definition, context)
        )
        empty_below = null_below + (EMPTY_SHARE if can_be_empty else 0.0)
        factory = _compile_value(name, definition, context)
        entries.append(
            (name, factory, null_below, empty_below, list if json_type == "array" else str)
        )

    def make(random: Random, number: int, times: RowTimes) -> dict[str, Any]:
        return {
            name: None
            if (share := random()) < null_below
            else empty()
            if share < empty_below
            else factory(random, number, times)
            for name, factory, null_below, empty_below, empty in entries
        }

    return make


def _json_type(definition: Schema) -> str:
    """Return the JSON type of a definition other than null."""
    declared = definition["type"]
    (json_type,) = {declared} if isinstance(declared, str) else set(declared) - {"null"}
    return str(json_type)


def _compile_value(name: str, definition: Schema, context: FieldContext) -> ValueFactory:
    match _json_type(definition):
        case "object":
            return compile_object(definition, replace(context, owner=name))
        case "array":
            return _array(_compile_value(name, definition["items"], context))
        case "string":
            return _string(name, definition, context)
        case "integer":
            return _integer(name, context)
        case "number":
            return lambda random, _number, _times: int(random() * 50_000) / 100
        case "boolean":
            often = name not in {"deleted", "archived", "draft", "template", "deactivated"}
            share = 0.5 if often else 0.1
            return lambda random, _number, _times: random() < share
        case other:
            message = f"cannot generate values for the type {other!r}"
            raise ValueError(message)


def _array(item: ValueFactory) -> ValueFactory:
    def make(random: Random, number: int, times: RowTimes) -> list[Any]:
        return [item(random, number, times) for _ in range(1 + int(random() * 3))]

    return make


# Integers


def _between(low: int, high: int) -> ValueFactory:
    """Return a factory of integers in [low, high]."""
    width = high - low + 1
    return lambda random, _number, _times: low + int(random() * width)


def _foreign_key(stream: str, context: FieldContext) -> ValueFactory:
    # An empty stream has no row to point to: the key dangles.
    return _between(1, max(1, context.counts.get(stream, 0)))


def _integer(name: str, context: FieldContext) -> ValueFactory:
    if name == "id" and not context.owner:
        return lambda _random, number, _times: number
    if name == "id" and context.owner in TAG_FIELDS:
        return _foreign_key("tags", context)
    if name in FOREIGN_KEYS:
        return _foreign_key(FOREIGN_KEYS[name], context)
    return _between(0, 1) if name in FLAGS else _between(1, 500)


# Dates


def _milliseconds(name: str) -> Callable[[Random, RowTimes], int]:
    """Return a function for a field's timestamps: created, start, end or updated after creation."""
    if name in {"createdOn", "submittedOn"}:
        return lambda _random, times: times.created
    if name == "startDate":
        return lambda _random, times: times.start
    if name.endswith(("Date", "deadline")):
        days = -1 if "open" in name.lower() or name.startswith("start") else 1
        return lambda random, times: times.start + int(days * (1 + random() * 9) * DAY)
    return lambda random, times: times.created + int(random() * (times.updated - times.created))


def timestamp_text(random: Random, milliseconds: int) -> str:
    """Return a timestamp in the regular format, or 1 in 20 in an unusual valid one."""
    share = random()
    if share < UNUSUAL_SHARE:
        return UNUSUAL_FORMATS[int(share / UNUSUAL_SHARE * len(UNUSUAL_FORMATS))](milliseconds)
    return format_timestamp(milliseconds)


def _timestamp(name: str, context: FieldContext) -> ValueFactory:
    if name == "updatedOn" and not context.owner:
        return lambda random, _number, times: timestamp_text(random, times.updated)
    timestamp = _milliseconds(name)
    return lambda random, _number, times: timestamp_text(random, timestamp(random, times))


def _day(name: str) -> ValueFactory:
    timestamp = _milliseconds(name)
    return lambda random, _number, times: format_date(timestamp(random, times) // DAY)


# Texts


def _one_of(random: Random, choices: Sequence[str]) -> str:
    return choices[int(random() * len(choices))]


def _phrase(random: Random, _number: int, _times: RowTimes) -> str:
    """Return two words."""
    return f"{_one_of(random, WORDS).capitalize()} {_one_of(random, WORDS)}"


def _sentence(random: Random, _number: int, _times: RowTimes) -> str:
    """Return about eight words with characters that break careless quoting."""
    start = int(random() * len(WORDS))
    words = (WORDS[start:] + WORDS[:start])[: 3 + int(random() * 8)]
    return f'The "{" ".join(words)}" — bring a friend;\nno fee, 100 % fun.'


def _key_text(stream: str, context: FieldContext) -> ValueFactory:
    key = _foreign_key(stream, context)
    return lambda random, number, times: str(key(random, number, times))


# The first pattern that the lower-case name of the field ends with is used.
_TEXT_BY_ENDING: tuple[tuple[tuple[str, ...], ValueFactory], ...] = (
    (
        ("email",),
        lambda random, number, _: f"{_one_of(random, MAILBOXES)}{number}@students.example",
    ),
    (
        ("url", "website", "photo", "link", "attachments", "receipts"),
        lambda random, number, _: (
            f"https://media.campus.example/{number}/{int(random() * 1e6)}?size=l&v=2"
        ),
    ),
    (
        ("id", "id2", "id3", "code", "number", "rfid", "telephone"),
        lambda random, number, _: f"{number:x}-{int(random() * 0xFFFFFFFF):08x}",
    ),
    (
        (
            "description", "message", "content", "comment", "bio", "mission", "goals", "benefits",
            "notes", "request", "response", "question", "details", "activities",
        ),
        _sentence,
    ),
)  # fmt: skip


def _choices(name: str, definition: Schema, context: FieldContext) -> Sequence[str] | None:
    listed = [text for text in definition.get("enum", ()) if text is not None]
    return listed or CHOICES.get(f"{context.stream}.{name}") or CHOICES.get(name)


def _is_free_text(name: str, definition: Schema, context: FieldContext) -> bool:
    """Return whether users type the text, so that it may be empty."""
    return (
        _json_type(definition) == "string"
        and "format" not in definition
        and name not in FOREIGN_KEYS
        and _choices(name, definition, context) is None
    )


def _string(name: str, definition: Schema, context: FieldContext) -> ValueFactory:
    text_format = definition.get("format")
    if text_format in {"date-time", "date"}:
        return _timestamp(name, context) if text_format == "date-time" else _day(name)
    choices = _choices(name, definition, context)
    if choices is not None:
        return lambda random, _number, _times: _one_of(random, choices)
    if name in FOREIGN_KEYS:
        return _key_text(FOREIGN_KEYS[name], context)
    if name in FOREIGN_KEY_LISTS:
        keys = _array(_key_text(FOREIGN_KEY_LISTS[name], context))
        return lambda random, number, times: ",".join(keys(random, number, times))
    lower = name.lower()
    return next((factory for ends, factory in _TEXT_BY_ENDING if lower.endswith(ends)), _phrase)
