"""What a catalog selects and changes: refused if rows would be empty or violate their schema."""

from __future__ import annotations

import typing as t

from jsonschema import Draft7Validator, Draft202012Validator

from tap_campusgroups.config import quoted
from tap_campusgroups.exceptions import InputError
from tap_campusgroups.input_files import origin
from tap_campusgroups.ranged_stream import PRIMARY_KEY, REPLICATION_KEY
from tap_campusgroups.records.converter import EXTRA, is_fully_convertible, single_type

if t.TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from singer_sdk.singerlib.catalog import SelectionMask
    from singer_sdk.streams import Stream

    Schema: t.TypeAlias = Mapping[str, t.Any]

_OWN_TYPES: t.Final = {REPLICATION_KEY: "string", EXTRA: "object"}
"""The fields whose values the tap does not validate against a definition of the user."""

_KEYWORDS: t.Final = {*Draft7Validator.VALIDATORS, *Draft202012Validator.VALIDATORS} - {
    *("type", "properties")
}
"""Keywords with which a stream's schema may restrict rows; all others are annotations."""


def check_entry(stream: Stream, schema: Schema, mask: SelectionMask) -> None:
    """Raise `InputError` for the first problem of a selected stream's entry in the catalog."""
    for problem in _problems(schema, mask, stream.primary_keys or ()):
        msg = f"Stream '{stream.name}': {origin('catalog')} {problem}."
        raise InputError(msg)


def _problems(schema: Schema, mask: SelectionMask, keys: Iterable[str]) -> Iterator[str]:
    properties: Schema = schema.get("properties", {})
    for key in keys:
        if key in properties and not mask["properties", key]:
            yield f"deselects {quoted(key)}, a key. Select it"
        elif key not in properties and key != PRIMARY_KEY:
            yield f"has the key {quoted(key)}, which is not a field. Correct key_properties"
    for path in _empty_objects(schema, mask):
        yield (
            f"selects {path} but none of its fields, so it would be empty in every row. Select "
            f"{path}.*, too, or deselect {path}"
        )
    yield from _field_problems(properties, mask, {PRIMARY_KEY, *keys})
    if "object" not in schema.get("type", "object"):
        yield "has a schema whose type is not object. Correct it"
    for keyword in _restrictions(schema, {*properties, REPLICATION_KEY}):
        yield f"restricts whole rows with {keyword}, which a row may violate. Remove it"


def _field_problems(
    properties: Mapping[str, Schema], mask: SelectionMask, keys: Collection[str]
) -> Iterator[str]:
    for name, definition in properties.items():
        if not mask["properties", name]:
            continue
        if name in _OWN_TYPES:
            if not _keeps_type(definition, _OWN_TYPES[name]):
                yield f"changes the type of {name} or restricts its values. Restore its definition"
        elif name not in keys and not _allows_null(definition):
            yield f"does not allow null in {quoted(name)}. Add null to its type and values"


def _keeps_type(definition: Schema, kind: str) -> bool:
    if definition.get("additionalProperties") in (True, {}):  # restricts nothing
        definition = {k: v for k, v in definition.items() if k != "additionalProperties"}
    return (
        single_type(definition) == kind
        and is_fully_convertible(definition, is_nested=True)
        and definition.get("format") in {None, "date-time"}
        and not definition.get("properties")
    )


def _restrictions(schema: Schema, fields: Collection[str]) -> list[str]:
    """Return the keywords of a stream's schema that rows with some fields may violate."""
    keywords = schema.keys() & _KEYWORDS
    if {*schema.get("required", ())} <= {PRIMARY_KEY, *_OWN_TYPES} & {*fields}:
        keywords -= {"required"}
    if schema.get("additionalProperties") is True or REPLICATION_KEY in schema["properties"]:
        keywords -= {"additionalProperties"}
    return sorted(keywords)


def _allows_null(definition: Schema) -> bool:
    """Return whether null is valid: values that do not fit a definition become null."""
    try:
        return Draft202012Validator(definition).is_valid(None)
    except Exception:  # noqa: BLE001 - an invalid schema; its values become null
        return False


def _empty_objects(
    schema: Schema, mask: SelectionMask, path: tuple[str, ...] = ()
) -> Iterator[str]:
    for name, definition in schema.get("properties", {}).items():
        here = (*path, "properties", name)
        if mask[here] and (inner := definition.get("properties")):
            if not any(mask[*here, "properties", one] for one in inner):
                yield ".".join(map(quoted, here[1::2]))
            yield from _empty_objects(definition, mask, here)
