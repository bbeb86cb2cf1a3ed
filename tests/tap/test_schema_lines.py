"""The summary's lines for meltano.yml, which declare the unknown fields."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, only, settings_for, sync
from tests.support.messages import summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.harness import Output

HEADING = "  To load the new fields as columns, add to the extractor in meltano.yml:"

LABEL = {"id": 3, "name": "x", "updatedOn": None}
"""An object with all fields of the schema."""

LABEL_TYPES = {
    "id": "integer",
    "name": "string",
    "updatedOn": "string",
    "color": "string",
    "size": "integer",
}
"""The types of its fields, and of two unknown ones."""

UNKNOWN = {
    "shoeSize": 44,
    "no": "2025-01-01T00:00:00Z",
    "null": [1],
    "type": LABEL | {"color": "red", "size": 1.5},
    "tags": [LABEL | {"color": "red"}],
}
"""Fields of an event that the schema does not have, and fields of which it has only a part."""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service with a row of each of two streams."""
    with Simulator(Dataset({"events": 1, "rooms": 1}, newest=NEWEST)) as simulator:
        yield simulator


def declared(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the schemas that the last summary declares, by stream and field."""
    lines = summary(caplog)
    below = lines[lines.index(HEADING) + 1 :]
    block = [line for line in below if line.startswith("    ")]
    schema: dict[str, Any] = yaml.safe_load("\n".join(block))["schema"]
    return schema


def sync_with(schema: Mapping[str, Any], simulator: Simulator, **settings: str) -> Output:
    """Sync with the definitions of Meltano's `schema`, each of which replaces a whole field."""
    catalog = only("events", "rooms")
    for stream in catalog["streams"]:
        stream["schema"]["properties"].update(schema.get(stream["tap_stream_id"], {}))
    return sync(settings_for(simulator, **settings), catalog=catalog)


@pytest.mark.parametrize("choice", ["capture", "ignore"])
def test_declared_fields_are_no_longer_unknown(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, choice: str
) -> None:
    simulator.dataset["events"][0] |= UNKNOWN
    simulator.dataset["rooms"][0] |= {"shoeSize": "44"}
    assert sync_with({}, simulator, unknown_fields=choice).error is None
    schema = declared(caplog)
    assert schema["rooms"] == {"shoeSize": {"type": ["string", "null"]}}
    output = sync_with(schema, simulator)
    assert output.error is None
    assert HEADING not in summary(caplog)
    (event,) = (one for one in output.records["events"] if one["shoeSize"])
    assert {name: event[name] for name in UNKNOWN} == UNKNOWN
    for record in output.records["events"] + output.records["rooms"]:
        assert record["_extra"] is None


def test_nested_field_is_declared_with_its_whole_top_level_field(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.dataset["events"][0]["tags"] = [LABEL | {"color": "red", "size": 1}]
    label: dict[str, Any] = {name: {"type": [kind, "null"]} for name, kind in LABEL_TYPES.items()}
    label["updatedOn"]["format"] = "date-time"
    tags = {"type": ["array", "null"], "items": {"type": ["object", "null"], "properties": label}}
    assert sync(settings_for(simulator), "events").error is None
    lines = summary(caplog)
    assert lines[lines.index(HEADING) :] == [
        HEADING,
        "    schema:",
        "      events:",
        f'        "tags": {json.dumps(tags)}',
    ]


TYPE: dict[str, Any] = {"type": ["object", "null"], "properties": {"id": {"enum": [3]}}}
EMPTY: dict[str, Any] = {"type": ["object", "null"], "properties": {}}


@pytest.mark.parametrize(
    ("definitions", "values"),
    [
        ({}, {"Jane_Doe": 1}),
        ({}, {"type": {"id": 3, "Jane_Doe": 1}}),
        ({}, {"shoeSize": None}),
        ({}, {f"name{letter}": 1 for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}),
        # In a field of the user: the lines would drop a constraint, or declare another field.
        ({"type": TYPE}, {"type": {"id": 3, "color": "red"}}),
        (
            {"type": EMPTY, "type.at": EMPTY | {"properties": {"by": EMPTY}}},
            {"type": None, "type.at": {"by": {"color": "red"}}},
        ),
    ],
    ids=["hidden name", "hidden nested name", "only nulls", "too many names", "constraint", "dot"],
)
def test_field_without_a_known_name_type_and_place_is_not_declared(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    definitions: dict[str, Any],
    values: dict[str, Any],
) -> None:
    simulator.dataset["events"][0] |= values
    assert sync_with({"events": definitions}, simulator).error is None
    assert any("not in the schema" in line for line in summary(caplog))
    assert HEADING not in summary(caplog)
