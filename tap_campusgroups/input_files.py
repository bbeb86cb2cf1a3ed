"""The catalog and the state: read from files and validated before anything uses them.

An error names the invalid place, never its value, which may be anything.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from contextlib import suppress

import click
from jsonschema import Draft202012Validator, FormatChecker

from tap_campusgroups.config import json_path, quoted, read_schema
from tap_campusgroups.exceptions import InputError
from tap_campusgroups.records.json_codec import JsonError, decode_value
from tap_campusgroups.records.values import canonical_timestamp
from tap_campusgroups.state import FULL_READ_KEY

if t.TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MAX_DEPTH: t.Final = 50  # levels of nesting: the SDK copies catalog and state by recursion

_CATALOG: t.Final = read_schema("catalog")
_BOOKMARK: t.Final = read_schema("bookmark")
_FORMATS: t.Final = FormatChecker(formats=())
_FORMATS.checks("timestamp")(lambda value: value is None or bool(canonical_timestamp(value)))
_FIXES: t.Final = {
    "catalog": "Correct it, or create a new one with --discover.",
    "state": "Correct it, or run without a state to read everything again.",
}


class InputFile(t.NamedTuple):
    """A file of `--catalog` or `--state`; `value` is not a dictionary if it is malformed."""

    option: str
    name: str
    text: str
    value: t.Any

    def read(self) -> str:
        """Return the text, for the SDK."""
        return self.text

    def check(self) -> None:
        """Raise `InputError` if the file is malformed."""
        if not isinstance(self.value, dict):  # an interrupted job leaves an empty state file behind
            msg = (
                f"--{self.option} {self.name}: the file must contain one JSON object (UTF-8, no "
                f"byte order mark). {_FIXES[self.option]}"
            )
            raise InputError(msg)


def read_input(
    _: click.Context, option: click.Parameter, file: t.IO[bytes] | None
) -> InputFile | None:
    """Read the file of `--catalog` or `--state`; the callback of both options."""
    if file is None:
        return None
    text, value = "", None
    with suppress(JsonError, UnicodeDecodeError), file:  # click leaves it open after `--test`
        text = file.read().decode()
        value = decode_value(text)
    return InputFile(str(option.name), file.name, text, value)


def origin(option: str) -> str:
    """Return where an input comes from: the option and its file, or the argument of the tap."""
    context = click.get_current_context(silent=True)
    file = context.params.get(option) if context else None
    return f"--{option} {file.name}" if isinstance(file, InputFile) else option


def check_catalog(catalog: Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Validate a catalog and return it with the replication methods of its metadata applied."""
    _validate("catalog", catalog, _CATALOG)
    names = Counter(entry["tap_stream_id"] for entry in catalog["streams"])
    if repeated := [quoted(name) for name, count in names.items() if count > 1]:
        _fail("catalog", f"duplicate entries for {', '.join(repeated)}")
    return {**catalog, "streams": [_with_replication_method(one) for one in catalog["streams"]]}


def _with_replication_method(entry: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
    # The SDK reads `replication_method` of the entry, but not the standard metadata.
    for one in entry["metadata"]:
        if not one["breadcrumb"] and (method := one["metadata"].get("replication-method")):
            return {**entry, "replication_method": method}
    return entry


def check_state(state: Mapping[str, t.Any], selected: Collection[str]) -> dict[str, t.Any]:
    """Validate a state and return its bookmarks, those of selected streams in canonical form.

    Entries of other streams are never read, so they may hold anything.
    """
    for wrapper in ("singer_state", "value"):  # of Meltano, of a STATE message
        if isinstance(state.get(wrapper), dict) and "bookmarks" not in state:
            _fail("state", f'the bookmarks are inside "{wrapper}"')
    bookmarks = {"type": "object", "properties": dict.fromkeys(selected, _BOOKMARK)}
    _validate("state", state, {"properties": {"bookmarks": bookmarks}})
    return {
        name: _canonical(entry) if name in selected else entry
        for name, entry in state.get("bookmarks", {}).items()
    }


def _canonical(entry: Mapping[str, t.Any]) -> dict[str, t.Any]:
    # The SDK would take a bookmark from the progress markers of another tap.
    kept = {k: v for k, v in entry.items() if k not in {"partitions", "progress_markers"}}
    if "replication_key_value" in kept:
        kept["replication_key_value"] = canonical_timestamp(kept["replication_key_value"])
    if read := kept.get(FULL_READ_KEY):
        kept[FULL_READ_KEY] = read | {"start": canonical_timestamp(read["start"])}
    return kept


def _validate(option: str, value: t.Any, schema: Mapping[str, t.Any]) -> None:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _contents(outer)]
    if level:
        _fail(option, f"more than {MAX_DEPTH} levels of nested objects and lists")
    for error in Draft202012Validator(schema, format_checker=_FORMATS).iter_errors(value):
        _fail(option, f"{json_path(error)} is malformed")


def _contents(value: t.Any) -> t.Iterable[t.Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else ()


def _fail(option: str, problem: str) -> t.NoReturn:
    msg = f"{origin(option)}: {problem}. {_FIXES[option]}"
    raise InputError(msg)
