"""The masking preset: a Meltano plugin that leaves the marked fields out, or hashes them."""

from __future__ import annotations

import typing as t

import yaml

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.records.converter import EXTRA
from tap_campusgroups.tap import TapCampusGroups

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    Schema: t.TypeAlias = Mapping[str, t.Any]

PLUGIN: t.Final = "tap-campusgroups-masked"
MARK: t.Final = "x-direct-identifier"
"""Annotation of a property in a stream's schema: `hash` or `drop`."""

KEY: t.Final = "pseudonym_key"
"""Where the expressions find the key, in `stream_map_config`."""

LOAD_SCHEMA: t.Final = "campusgroups_masked"
"""Where loaders put the masked rows: beside clear names, the hashes would tell who is who."""

LEFT_OUT: t.Final = "__NULL__"

_HEAD: t.Final = f"""\
# Generated from the schemas by `make generate`; do not edit.
# The tap with students' direct identifiers hashed or left out: `meltano run {PLUGIN} ...`.
# The hashes need CAMPUSGROUPS_PSEUDONYM_KEY: at least 16 characters, secret, always the same.
# Loaders follow `load_schema`. Never load masked rows and others into one schema: the ids that both
# have would say whose hash is whose.
"""


def text() -> str:
    """Write the preset, for `include_paths` of `meltano.yml`.

    Returns:
        YAML: a plugin that inherits from `tap-campusgroups`, with stream maps for every stream.
    """
    tap = TapCampusGroups(config={"api_version": ApiVersion.V1_1}, validate_config=False)
    plugin = {
        "name": PLUGIN,
        "inherit_from": "tap-campusgroups",
        "label": "CampusGroups, masked",
        "load_schema": LOAD_SCHEMA,
        "config": {
            "stream_map_config": {KEY: "$CAMPUSGROUPS_PSEUDONYM_KEY"},
            "stream_maps": {
                name: stream_map(stream.schema) for name, stream in tap.streams.items()
            },
        },
    }
    made: str = yaml.safe_dump(
        {"plugins": {"extractors": [plugin]}}, sort_keys=False, width=1000, allow_unicode=True
    )
    return f"{_HEAD}{made}"


def stream_map(schema: Schema) -> dict[str, str]:
    """Make the stream map of a schema.

    Args:
        schema: A stream's, with marks.

    Returns:
        An expression of the SDK's stream maps for each top-level field that is marked, or has a
        marked field in it; `_extra` is left out, for it might hold any of them.
    """
    masked = {
        name: hashed(name) if definition.get(MARK) == "hash" else LEFT_OUT
        for name, definition in schema["properties"].items()
        if is_marked(definition)
    }
    return {**masked, EXTRA: LEFT_OUT}


def is_marked(definition: Schema) -> bool:
    """Say whether a property, or one in it, is marked."""
    inner = list(definition.get("properties", {}).values())
    if "items" in definition:
        inner.append(definition["items"])
    return MARK in definition or any(map(is_marked, inner))


def hashed(name: str) -> str:
    """Write the expression of a keyed hash: equal values stay equal, and nobody can try them out.

    Twice with the key, as HMAC does it: the SDK's expressions have `sha256` and no `hmac`.

    Args:
        name: The field. A row without it, or with an empty value, gets null.
    """
    key, value = f"config['{KEY}']", f"record.get('{name}')"
    return f"sha256({key} + sha256({key} + {value})) if {value} else None"
