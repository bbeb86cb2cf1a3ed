"""The masking preset: a Meltano plugin that drops or hashes the marked fields."""

from __future__ import annotations

import typing as t

import yaml

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.stream_map_checks import MARK, PSEUDONYM_KEY, is_marked
from tap_campusgroups.tap import TapCampusGroups

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    Schema: t.TypeAlias = Mapping[str, t.Any]

PLUGIN: t.Final = "tap-campusgroups-masked"
LOAD_SCHEMA: t.Final = "campusgroups_masked"
"""Separate schema for masked records: unmasked ones beside them would reveal the hashes."""

STRICT_PLUGIN: t.Final = f"{PLUGIN}-strict"
STRICT_LOAD_SCHEMA: t.Final = "campusgroups_strict"

SENSITIVE: t.Final = "x-sensitive"
"""Annotation of a top-level field that describes a person, in a stream's schema: true."""

DROPPED: t.Final = "__NULL__"

_HEAD: t.Final = f"""\
# Generated from the schemas by `make generate`; do not edit.
# The tap with direct identifiers hashed or dropped: `meltano run {PLUGIN} ...`, and
# without the fields that describe a person: `meltano run {STRICT_PLUGIN} ...`.
# Set CAMPUSGROUPS_PSEUDONYM_KEY, the key of the hashes: at least 16 characters, secret, never
# changed. Never load masked and unmasked records into one schema (`load_schema`):
# their common ids would reveal whose hash is whose.
"""


def text() -> str:
    """Return the preset as YAML, for `include_paths` of meltano.yml."""
    tap = TapCampusGroups(config={"api_version": ApiVersion.V1_1}, validate_config=False)
    plugin = {
        "name": PLUGIN,
        "inherit_from": "tap-campusgroups",
        "label": "CampusGroups, masked",
        "load_schema": LOAD_SCHEMA,
        "config": {
            "stream_map_config": {PSEUDONYM_KEY: "$CAMPUSGROUPS_PSEUDONYM_KEY"},
            "stream_maps": {
                name: stream_map(stream.schema) for name, stream in tap.streams.items()
            },
        },
    }
    strict = {
        "name": STRICT_PLUGIN,
        "inherit_from": PLUGIN,
        "label": "CampusGroups, masked, strict",
        "load_schema": STRICT_LOAD_SCHEMA,
        "select": ["*.*"]
        + [
            f"!{name}.{field}"
            for name, stream in tap.streams.items()
            for field in sensitive_fields(stream.schema)
        ],
    }
    preset: str = yaml.safe_dump(
        {"plugins": {"extractors": [plugin, strict]}},
        sort_keys=False,
        width=1000,
        allow_unicode=True,
    )
    return f"{_HEAD}{preset}"


def stream_map(schema: Schema) -> dict[str, str]:
    """Return the stream map of a stream: top-level fields that are marked or contain a mark.

    `_extra` is always dropped, because it may contain any field.
    """
    masked = {
        name: hashed(name) if definition.get(MARK) == "hash" else DROPPED
        for name, definition in schema["properties"].items()
        if is_marked(definition)
    }
    return {**masked, EXTRA: DROPPED}


def sensitive_fields(schema: Schema) -> list[str]:
    """Return the fields that the strict preset leaves out."""
    return [name for name, definition in schema["properties"].items() if SENSITIVE in definition]


def hashed(name: str) -> str:
    """Return the expression of a keyed hash of a field; missing and empty values become null.

    Nested like HMAC, because stream map expressions have `sha256` but no `hmac`.
    """
    key, value = f"config['{PSEUDONYM_KEY}']", f"record.get('{name}')"
    return f"sha256({key} + sha256({key} + {value})) if {value} else None"
