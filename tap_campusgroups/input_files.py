"""The catalog and the state that a run is given: read, and checked before anything uses them."""

from __future__ import annotations

import io
import typing as t
from collections import Counter

import click

from tap_campusgroups.exceptions import InputError
from tap_campusgroups.records.json_codec import JsonError, decode_value
from tap_campusgroups.records.values import canonical_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Mapping

DEEPEST: t.Final = 50
"""Levels of objects and lists; the SDK copies both by recursion."""

# Shapes are written as examples: "" stands for any text, a tuple for a choice, "*" for every other
# key, and a key with "!" must be there. Keys that are not listed may hold anything.
_Shape: t.TypeAlias = t.Any

_TEXT: t.Final = ("", None)
_TEXTS: t.Final = ([""], None)
_FLAG: t.Final = (False, None)
_FIELD: t.Final[dict[str, _Shape]] = {"type": ("", [""]), "format": ""}
_FIELD.update(properties={"*": _FIELD}, items=_FIELD)
_FIELD.update({key: [_FIELD] for key in ("anyOf", "oneOf", "allOf")})
_METADATA: t.Final = {
    "inclusion": _TEXT,
    "selected": _FLAG,
    "selected-by-default": _FLAG,
    "table-key-properties": _TEXTS,
    "replication-key": _TEXT,
    "forced-replication-method": _TEXT,
}
_ENTRY: t.Final = {
    "tap_stream_id!": "",
    "stream": _TEXT,
    "schema!": {**_FIELD, "properties!": {"*": _FIELD}},
    "metadata!": [{"breadcrumb!": [""], "metadata!": _METADATA}],
    "key_properties": _TEXTS,
    "replication_key": _TEXT,
    "replication_method": _TEXT,
}
_CATALOG: t.Final = {"streams!": [_ENTRY]}
_STATE: t.Final[_Shape] = {"bookmarks": {}}
_BOOKMARK: t.Final = {"replication_key_value": _TEXT}

_FIXES: t.Final = {
    "catalog": "Correct it, or make a new one with --discover.",
    "state": "Correct it, or run without a state to read everything again.",
}


class InputText(io.StringIO):
    """The text of a file, with the file's name for error messages."""

    def __init__(self, text: str, name: str) -> None:
        """Keep both."""
        super().__init__(text)
        self.name = name


def read_input(
    _: click.Context, option: click.Parameter, file: t.IO[bytes] | None
) -> InputText | None:
    """Read what an option of the command line names; the callback of `--catalog` and `--state`.

    Returns:
        The text of a JSON object.

    Raises:
        InputError: If it holds anything else; an interrupted job leaves an empty state file behind.
    """
    if file is None:
        return None
    try:
        with file:  # which click would leave open at the end of `--test`
            text = file.read().decode()
        value = decode_value(text)
    except (JsonError, UnicodeDecodeError):
        value = None
    if not isinstance(value, dict):
        msg = (
            f"{option.opts[0]} {file.name}: no JSON object in the file (in UTF-8, without a byte "
            f"order mark). {_FIXES[str(option.name)]}"
        )
        raise InputError(msg)
    return InputText(text, file.name)


def origin(option: str) -> str:
    """Name where an input comes from, for a message.

    Args:
        option: `catalog` or `state`.

    Returns:
        The option and the file; without a command line, the argument of the tap.
    """
    context = click.get_current_context(silent=True)
    file = context.params.get(option) if context else None
    return f"--{option} {file.name}" if isinstance(file, InputText) else option


def quoted(name: str) -> str:
    """Quote a name that would not stay on one line, or in which a reader would get lost."""
    return name if name.isidentifier() else ascii(name)


def check_catalog(catalog: Mapping[str, t.Any]) -> None:
    """Check a catalog as far as the SDK and the tap read it.

    Raises:
        InputError: If something else is in a place; the text names it.
    """
    _check("catalog", catalog, _CATALOG)
    names = Counter(entry["tap_stream_id"] for entry in catalog["streams"])
    if repeated := [name for name, count in names.items() if count > 1]:
        msg = (
            f"{origin('catalog')}: more than one entry for {', '.join(map(quoted, repeated))}. "
            f"{_FIXES['catalog']}"
        )
        raise InputError(msg)


def check_state(state: Mapping[str, t.Any]) -> None:
    """Check a state, but for its entries: one of a stream that is not selected is never read.

    Raises:
        InputError: If something else is in a place; the text names it.
    """
    _check("state", state, _STATE)


def checked_bookmark(stream: str, bookmark: t.Any) -> dict[str, t.Any]:
    """Check a selected stream's entry in the state.

    Args:
        stream: The stream's name.
        bookmark: The entry.

    Returns:
        The entry with the bookmark in canonical form, and without what only other taps write.

    Raises:
        InputError: If something else is in a place; the text names it.
    """
    place = _inner("bookmarks", stream)
    _check("state", bookmark, _BOOKMARK, place)
    # The SDK would take a bookmark from the markers.
    kept = {k: v for k, v in bookmark.items() if k not in {"partitions", "progress_markers"}}
    if (value := kept.get("replication_key_value")) is not None:
        if (instant := canonical_timestamp(value)) is None:
            msg = (
                f"{origin('state')}: {place}.replication_key_value is not a valid date. "
                f"{_FIXES['state']}"
            )
            raise InputError(msg)
        kept["replication_key_value"] = instant
    return kept


def _check(option: str, value: t.Any, shape: _Shape, place: str = "") -> None:
    if _is_deeper(value, DEEPEST):
        msg = f"{origin(option)}: more than {DEEPEST} levels of objects and lists. {_FIXES[option]}"
        raise InputError(msg)
    if problem := _problem(value, shape, place):
        msg = f"{origin(option)}: {problem}. {_FIXES[option]}"
        raise InputError(msg)


def _is_deeper(value: t.Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels):
        level = [inner for one in level for inner in _contents(one)]
        if not level:
            return False
    return True


def _contents(value: t.Any) -> t.Iterable[t.Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _problem(value: t.Any, shape: _Shape, place: str) -> str | None:
    """Describe the first place where a value does not have its shape."""
    choice = shape if isinstance(shape, tuple) else (shape,)
    kinds = [_kind(one) for one in choice]
    if (kind := _kind(value)) not in kinds:
        return f"{place or 'it'} must be {' or '.join(kinds)}, not {kind}"
    match choice[kinds.index(kind)]:
        case [item]:
            parts = [(one, item, f"{place}[{index}]") for index, one in enumerate(value)]
        case dict(known):
            if missing := [k[:-1] for k in known if k.endswith("!") and k[:-1] not in value]:
                return f"{place or 'it'} must have {missing[0]}"
            parts = [
                (one, known.get(f"{key}!", known.get(key, known.get("*"))), _inner(place, key))
                for key, one in value.items()
            ]
        case _:
            parts = []
    problems = (_problem(*part) for part in parts if part[1] is not None)
    return next(filter(None, problems), None)


def _inner(place: str, key: str) -> str:
    """Name a key of an object as JSONPath does."""
    if (name := quoted(key)) != key:
        return f"{place}[{name}]"
    return f"{place}.{name}" if place else name


def _kind(value: t.Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "text"
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case _:
            return "a number"
