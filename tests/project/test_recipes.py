"""The README's recipes, as they stand there."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.project.test_documents import README
from tests.support.harness import catalog_of, sync

if TYPE_CHECKING:
    from tests.simulator import Simulator


SALT = "pepper of enough length"


def recipe(beginning: str) -> Any:
    """Read the YAML block of the recipe that begins with some words."""
    block = README.split(f"**{beginning}**")[1].split("```yaml\n")[1].split("```")[0]
    return yaml.safe_load(block)


def test_masking(simulator: Simulator, config: dict[str, Any]) -> None:
    maps = recipe("Mask students.")["config"]
    assert maps["stream_map_config"] == {"salt": "$PSEUDONYM_SALT"}
    maps["stream_map_config"]["salt"] = SALT
    plain = {row["id"]: row for row in simulator.dataset["users"]}
    output = sync(config | maps, "users")
    assert output.error is None
    assert len(output.records["users"]) == len(plain)
    for record in output.records["users"]:
        row = plain[record["id"]]
        email = row["email"]
        assert record["email"] == (
            hashlib.sha256(f"{SALT}{email}".encode()).hexdigest() if email else None
        )
        assert "lastName" not in record
        rest = {name for name, value in row.items() if not isinstance(value, (list, dict))}
        for name in rest - {"email", "lastName", "createdOn", "updatedOn"}:
            assert record[name] == row[name]
    text = json.dumps(output.messages)
    assert not any(row["email"] and row["email"] in text for row in plain.values())


def test_deselected_fields_never_leave(simulator: Simulator, config: dict[str, Any]) -> None:
    catalog = catalog_of(["users"])
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if entry["breadcrumb"] in (["properties", "bio"], ["properties", "email"]):
                entry["metadata"]["selected"] = False
    simulator.dataset["users"][0]["bio"] = "sentinel"
    output = sync(config, catalog=catalog)
    assert output.error is None
    assert "sentinel" not in json.dumps(output.messages)
    (schema,) = output.of_type("SCHEMA")
    assert not {"bio", "email"} & set(schema["schema"]["properties"])


def test_flattening(simulator: Simulator, config: dict[str, Any]) -> None:
    output = sync(config | {"flattening_enabled": True, "flattening_max_depth": 1}, "rooms")
    assert output.error is None
    (schema,) = output.of_type("SCHEMA")
    assert {"type__id", "type__name"} <= set(schema["schema"]["properties"])
    rows = {row["id"]: row for row in simulator.dataset["rooms"] if row["type"]}
    flat = {r["id"]: r.get("type__name") for r in output.records["rooms"] if r["id"] in rows}
    assert flat == {key: row["type"]["name"] for key, row in rows.items()}
