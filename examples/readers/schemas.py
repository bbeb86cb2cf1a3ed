"""The streams of a catalog and the kinds of their fields."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from pathlib import Path

Schema: TypeAlias = Mapping[str, Any]
Kind: TypeAlias = Literal[
    "integer", "number", "boolean", "string", "date-time", "date", "object", "array", "json"
]


def load_schemas(catalog: Path | str) -> dict[str, Schema]:
    """Return the schemas of a catalog file by stream, as `--discover` writes it."""
    with open(catalog, encoding="utf-8") as file:  # noqa: PTH123 - accepts text, too
        streams = json.load(file)["streams"]
    return {stream["tap_stream_id"]: stream["schema"] for stream in streams}


def kind_of(definition: Schema) -> Kind:
    """Return the kind of a field; `json` stands for any value, as in `_extra`."""
    declared = definition.get("type", [])
    types = [declared] if isinstance(declared, str) else [one for one in declared if one != "null"]
    if len(types) != 1:
        return "json"
    kind = types[0]
    if kind == "string" and definition.get("format") in {"date-time", "date"}:
        kind = definition["format"]
    if not definition.get({"object": "properties", "array": "items"}.get(kind, "type")):
        kind = "json"
    return cast("Kind", kind)
