"""Compiles a stream's JSON schema into a function that makes rows.

The schema is walked once; what remains per row is one call per field. A maker takes `random`
(floats in [0, 1)), the row's number and its three instants, and returns a JSON-ready value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .timestamps import DAY, MINUTE, UNUSUAL_FORMATS, format_date, format_timestamp
from .vocabulary import (
    CHOICES,
    FIRST_NAMES,
    FLAGS,
    FOREIGN_KEY_LISTS,
    FOREIGN_KEYS,
    LAST_NAMES,
    MAIL_DOMAINS,
    MAILBOXES,
    STREETS,
    TAG_FIELDS,
    WORDS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

NULL_SHARE = 1 / 12
EMPTY_SHARE = 1 / 40
ODD_SHARE = 1 / 20


class When(NamedTuple):
    """A row's instants in milliseconds since 1970 UTC; `created` is before the other two."""

    updated: int
    created: int
    start: int


Random = Callable[[], float]
Maker = Callable[[Random, int, When], Any]
Moment = Callable[[Random, When], int]
Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in which stream a field stands, and what its values may point to.

    `counts` is rows per stream; `owner` is the field that holds the nested object, "" at the top;
    `full` leaves out every null and empty value.
    """

    stream: str
    counts: Mapping[str, int]
    owner: str = ""
    full: bool = False


def compile_object(schema: Schema, place: Place) -> Maker:
    """Return a maker of objects with every property of `schema`, in its order."""
    required = frozenset(schema.get("required", ()))
    entries: list[tuple[str, Maker, float, float, Callable[[], object]]] = []
    for name, definition in schema.get("properties", {}).items():
        # Names that start with "_" are the tap's own columns: the service knows nothing of them.
        if name.startswith("_"):
            continue
        kind = _kind(definition)
        optional = not place.full and name not in required and "null" in definition["type"]
        null_below = NULL_SHARE if optional else 0.0
        can_be_empty = optional and (kind == "array" or _is_free_text(name, definition, place))
        empty_below = null_below + (EMPTY_SHARE if can_be_empty else 0.0)
        maker = _compile_value(name, definition, place)
        entries.append((name, maker, null_below, empty_below, list if kind == "array" else str))

    def make(random: Random, number: int, when: When) -> dict[str, Any]:
        return {
            name: None
            if (share := random()) < null_below
            else empty()
            if share < empty_below
            else maker(random, number, when)
            for name, maker, null_below, empty_below, empty in entries
        }

    return make


def _kind(definition: Schema) -> str:
    """Return the one JSON type of a definition, null aside."""
    declared = definition.get("type")
    kinds = [declared] if isinstance(declared, str) else list(declared or ())
    named = [kind for kind in kinds if kind != "null"]
    if len(named) != 1:
        message = f"cannot make values for the type {declared!r}"
        raise ValueError(message)
    return str(named[0])


def _compile_value(name: str, definition: Schema, place: Place) -> Maker:
    kind = _kind(definition)
    match kind:
        case "object":
            inner = Place(stream=place.stream, counts=place.counts, owner=name, full=place.full)
            return compile_object(definition, inner)
        case "array":
            return _array(_compile_value(name, definition["items"], place))
        case "string":
            return _string(name, definition, place)
        case "integer":
            return _integer(name, place)
        case "number":
            return _number(name)
        case "boolean":
            return _boolean(name)
    message = f"cannot make values for the type {kind!r}"
    raise ValueError(message)


def _array(item: Maker) -> Maker:
    def make(random: Random, number: int, when: When) -> list[Any]:
        return [item(random, number, when) for _ in range(1 + int(random() * 3))]

    return make


# -- numbers and booleans -------------------------------------------------------------------------


def _boolean(name: str) -> Maker:
    # Rows that are marked as deleted are the exception.
    share = 0.1 if name in {"deleted", "archived", "draft", "template", "deactivated"} else 0.5
    return lambda random, _number, _when: random() < share


def _number(name: str) -> Maker:
    if name == "quantity":
        return lambda random, _number, _when: 1 + int(random() * 9)
    cents = {"fee": 2_500, "price": 20_000}.get(name, 500_000)
    return lambda random, _number, _when: int(random() * cents) / 100


def _between(low: int, high: int) -> Maker:
    """Return a maker of integers in [low, high]."""
    width = high - low + 1
    return lambda random, _number, _when: low + int(random() * width)


def _foreign_key(stream: str, place: Place) -> Maker:
    # With no row to point to, 1 stands for a row that the export does not hold.
    return _between(1, max(1, place.counts.get(stream, 0)))


_RANGES: Mapping[str, tuple[int, int]] = {
    "startYear": (2012, 2019),
    "endYear": (2020, 2027),
    "optionNum": (1, 6),
    "count": (1, 5),
    "quizPassScore": (0, 100),
    "quizScore": (0, 100),
    "reminderDelay": (1, 72),
}


def _own_number(_random: Random, number: int, _when: When) -> int:
    return number


def _part_number(random: Random, number: int, _when: When) -> int:
    """Return an id for one of several nested rows that belong to this row only."""
    return number * 100 + int(random() * 100)


def _identifier(place: Place) -> Maker:
    if place.owner in TAG_FIELDS:
        return _foreign_key("tags", place)
    nested = {"": _own_number, "completionRule": _own_number, "comments": _part_number}
    return nested.get(place.owner, _between(1, 60))


def _integer(name: str, place: Place) -> Maker:
    if name == "id":
        return _identifier(place)
    if name == "feedPostId":
        return _own_number
    if name == "typeId":
        # It points into the stream that `type` names; this keeps it valid in either.
        smaller = min(("events", "groups"), key=lambda stream: place.counts.get(stream, 0))
        return _foreign_key(smaller, place)
    if name in FOREIGN_KEYS:
        return _foreign_key(FOREIGN_KEYS[name], place)
    return _between(0, 1) if name in FLAGS else _between(*_RANGES.get(name, (1, 500)))


# -- dates ----------------------------------------------------------------------------------------


def _within(random: Random, when: When) -> int:
    """Return an instant between creation and last update."""
    return when.created + int(random() * (when.updated - when.created))


def _before_start(random: Random, when: When) -> int:
    """Return an instant in the first half of the time between creation and start."""
    return when.created + int(random() * (when.start - when.created) / 2)


def _near_start(random: Random, when: When) -> int:
    """Return an instant in the second half of the time between creation and start."""
    return when.start - int(random() * (when.start - when.created) / 2)


def _created(_random: Random, when: When) -> int:
    return when.created


def _start(_random: Random, when: When) -> int:
    return when.start


def _hours_after_start(random: Random, when: When) -> int:
    return when.start + 30 * MINUTE * (1 + int(random() * 8))


def _months_after_start(random: Random, when: When) -> int:
    return when.start + DAY * (1 + int(random() * 300))


_MOMENTS: Mapping[str, Moment] = {
    "createdOn": _created,
    "submittedOn": _created,
    "startDate": _start,
    "endDate": _hours_after_start,
    "registrationOpenDate": _before_start,
    "registrationCloseDate": _near_start,
    "startSalesDate": _before_start,
    "endSalesDate": _near_start,
    "openDate": _before_start,
    "closeDate": _near_start,
}
_DAYS: Mapping[str, Moment] = {
    "startDate": _start,
    "endDate": _months_after_start,
    "deadline": _months_after_start,
    "membershipEndDate": _months_after_start,
}


def timestamp_text(random: Random, milliseconds: int) -> str:
    """Return the instant as text: mostly the usual form, 1 in 20 an odd but valid one."""
    share = random()
    if share < ODD_SHARE:
        return UNUSUAL_FORMATS[int(share / ODD_SHARE * len(UNUSUAL_FORMATS))](milliseconds)
    return format_timestamp(milliseconds)


def _timestamp(name: str, place: Place) -> Maker:
    if name == "updatedOn" and not place.owner:
        return lambda random, _number, when: timestamp_text(random, when.updated)
    moment = _MOMENTS.get(name, _within)
    return lambda random, _number, when: timestamp_text(random, moment(random, when))


def _day(name: str) -> Maker:
    moment = _DAYS.get(name, _near_start)
    return lambda random, _number, when: format_date(moment(random, when) // DAY)


# -- texts ----------------------------------------------------------------------------------------


def _pick(choices: Sequence[str]) -> Maker:
    count = len(choices)
    return lambda random, _number, _when: choices[int(random() * count)]


def _phrase(random: Random, _number: int, _when: When) -> str:
    """Return two words."""
    count = len(WORDS)
    return f"{WORDS[int(random() * count)].capitalize()} {WORDS[int(random() * count)]}"


def _sentence(random: Random, _number: int, _when: When) -> str:
    """Return some eight words with the characters that break careless quoting."""
    count = len(WORDS)
    start = int(random() * count)
    words = (WORDS[start:] + WORDS[:start])[: 3 + int(random() * 8)]
    return f'The "{" ".join(words)}" — bring a friend;\nno fee, 100 % fun.'


def _address(random: Random, number: int, _when: When) -> str:
    return f"{1 + number % 400} {STREETS[int(random() * len(STREETS))]}"


def _person(random: Random, _number: int, _when: When) -> str:
    first = FIRST_NAMES[int(random() * len(FIRST_NAMES))]
    return f"{first} {LAST_NAMES[int(random() * len(LAST_NAMES))]}"


def _email(random: Random, number: int, _when: When) -> str:
    mailbox = MAILBOXES[int(random() * len(MAILBOXES))]
    return f"{mailbox}{number}@{MAIL_DOMAINS[int(random() * len(MAIL_DOMAINS))]}"


def _url(random: Random, number: int, _when: When) -> str:
    return f"https://media.campus.example/{number}/{int(random() * 1e6)}?size=l&v=2"


def _path(random: Random, number: int, _when: When) -> str:
    return f"/upload/{number}/receipt-{int(random() * 1e6)}.pdf"


def _phone(random: Random, _number: int, _when: When) -> str:
    return f"+1 555 01{int(random() * 100):02d}"


def _digits(random: Random, _number: int, _when: When) -> str:
    return f"{int(random() * 1e5):05d}"


def _code(random: Random, number: int, _when: When) -> str:
    return f"{number:x}-{int(random() * 0xFFFFFFFF):08x}"


def _key_text(stream: str, place: Place) -> Maker:
    key = _foreign_key(stream, place)
    return lambda random, number, when: str(key(random, number, when))


def _key_list(stream: str, place: Place) -> Maker:
    keys = _array(_key_text(stream, place))
    return lambda random, number, when: ",".join(keys(random, number, when))


# The first pattern that the field's name, in lower case, ends with.
_TEXT_BY_ENDING: tuple[tuple[tuple[str, ...], Maker], ...] = (
    (("email",), _email),
    (("url", "website", "photo", "link", "attachments"), _url),
    (("receipts",), _path),
    (("telephone", "phonenumber", "mobilenumber"), _phone),
    (("zipcode", "barcode", "swipeid", "rfid"), _digits),
    (("id", "id2", "id3", "uid", "number", "qrcode"), _code),
    (("streetaddress", "address"), _address),
    (("signature",), _person),
    (
        (
            "description", "message", "content", "comment", "bio", "mission", "goals", "benefits",
            "notes", "request", "response", "question", "details", "activities",
        ),
        _sentence,
    ),
)  # fmt: skip


def _choices(name: str, definition: Schema, place: Place) -> Sequence[str] | None:
    listed = [text for text in definition.get("enum", ()) if text is not None]
    if listed:
        return listed
    return CHOICES.get(f"{place.stream}.{name}") or CHOICES.get(name)


def _is_free_text(name: str, definition: Schema, place: Place) -> bool:
    """Tell whether people type the text in, so that it may be empty."""
    return (
        _kind(definition) == "string"
        and "format" not in definition
        and name not in FOREIGN_KEYS
        and _choices(name, definition, place) is None
    )


def _string(name: str, definition: Schema, place: Place) -> Maker:
    text_format = definition.get("format")
    if text_format in {"date-time", "date"}:
        return _timestamp(name, place) if text_format == "date-time" else _day(name)
    choices = _choices(name, definition, place)
    if choices is not None:
        return _pick(choices)
    if name in FOREIGN_KEYS:
        return _key_text(FOREIGN_KEYS[name], place)
    if name in FOREIGN_KEY_LISTS:
        return _key_list(FOREIGN_KEY_LISTS[name], place)
    lower = name.lower()
    return next((maker for ends, maker in _TEXT_BY_ENDING if lower.endswith(ends)), _phrase)
