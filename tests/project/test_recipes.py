"""The recipes of the documents work as printed."""

from __future__ import annotations

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support import documents
from tests.support.harness import catalog_of, sync

if TYPE_CHECKING:
    from tests.simulator import Simulator


SALT = "pepper of enough length"


def test_readme_record_is_what_the_tap_emits(simulator: Simulator, config: dict[str, Any]) -> None:
    message = json.loads(documents.block("README.md", "What a record looks like", "json"))
    row = {name: value for name, value in message["record"].items() if name != "_extra"}
    simulator.dataset["checkins"][:] = [row]
    output = sync(config, "checkins")
    (emitted,) = output.of_type("RECORD")
    assert emitted.keys() == message.keys()
    assert emitted["record"] == message["record"]
    assert list(emitted["record"]) == list(message["record"])


def test_decimals_as_text_keep_their_digits(simulator: Simulator, config: dict[str, Any]) -> None:
    maps = yaml.safe_load(
        documents.block("docs/warehouses.md", "Before you choose a target", "yaml")
    )
    digits = "12345678901234567890.123456789"
    simulator.dataset["payments"][0]["amount"] = digits
    simulator.dataset["payments"][1]["amount"] = None
    output = sync(config | maps["config"], "payments")
    assert output.error is None
    amounts = [record["amount"] for record in output.records["payments"]]
    assert {digits, None} <= set(amounts)
    assert all(amount is None or isinstance(amount, str) for amount in amounts)
    (schema,) = output.of_type("SCHEMA")
    assert "string" in schema["schema"]["properties"]["amount"]["type"]


def test_masking_with_own_stream_maps(simulator: Simulator, config: dict[str, Any]) -> None:
    maps = yaml.safe_load(documents.block("docs/masking.md", "Write your own rules", "yaml"))[
        "config"
    ]
    assert maps["stream_map_config"] == {"salt": "$PSEUDONYM_SALT"}
    maps["stream_map_config"]["salt"] = SALT
    plain = {row["id"]: row["email"] for row in simulator.dataset["users"]}
    output = sync(config | maps, "users")
    assert output.error is None
    assert {record["id"]: record["email"] for record in output.records["users"]} == {
        key: hashlib.sha256(f"{SALT}{email}".encode()).hexdigest() if email else None
        for key, email in plain.items()
    }
    for record in output.records["users"]:
        assert not {"lastName", "_extra"} & record.keys()
        assert {"firstName", "createdOn"} <= record.keys()
    text = json.dumps(output.messages)
    assert not any(email in text for email in plain.values() if email)


@pytest.mark.parametrize(
    ("heading", "values"),
    [
        ("Load a new field", {"sustainabilityScore": 7}),
        (
            "Load a new field of an object or array",
            {
                "type": {"id": 3, "name": "x", "updatedOn": None, "color": "red"},
                "tags": [{"id": 3, "name": "x", "updatedOn": None, "size": 1}],
            },
        ),
    ],
)
def test_documented_lines_declare_the_fields_of_the_documented_summary(
    simulator: Simulator,
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    heading: str,
    values: dict[str, Any],
) -> None:
    caplog.set_level(logging.INFO)
    rows = simulator.dataset["events"]
    rows[:] = [rows[0] | values | {"id": key} for key in range(1, 13)]
    assert sync(config, "events").error is None
    for line in documents.block("docs/new-fields.md", heading, "").splitlines():
        assert f"{line}\n" in caplog.text
    plugins = yaml.safe_load(documents.block("docs/new-fields.md", heading, "yaml"))["plugins"]
    catalog = catalog_of(["events"])
    for entry in catalog["streams"]:
        added = plugins["extractors"][0]["schema"].get(entry["tap_stream_id"], {})
        entry["schema"]["properties"].update(added)
    output = sync(config, catalog=catalog)
    assert output.error is None
    for record in output.records["events"]:
        assert {name: record[name] for name in values} == values
        assert record["_extra"] is None


def test_declared_field_with_a_masking_rule_never_leaves_the_tap(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    rules = yaml.safe_load(documents.block("docs/new-fields.md", "Personal data", "yaml"))
    preset = yaml.safe_load(documents.read("examples/masked.meltano.yml"))
    maps = preset["plugins"]["extractors"][0]["config"]["stream_maps"]
    maps["users"] |= rules["users"]
    catalog = catalog_of(["users"])
    for stream in catalog["streams"]:
        stream["schema"]["properties"]["nickname"] = {"type": ["string", "null"]}
    simulator.dataset["users"][0]["nickname"] = "sentinel"
    masking = {"stream_maps": maps, "stream_map_config": {"pseudonym_key": SALT}}
    output = sync(config | masking, catalog=catalog)
    assert output.error is None
    assert "sentinel" not in json.dumps(output.messages)
    (schema,) = output.of_type("SCHEMA")
    assert "nickname" not in schema["schema"]["properties"]
