"""The schema of every stream is valid, self-contained, nullable and matches the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset
from tests.simulator.dataset import tap_schemas
from tests.support.harness import NEWEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonschema.protocols import Validator

DOCUMENT = [
    *("events", "rsvp", "event_registration_options", "payments", "checkins", "users"),
    *("academic_experiences", "work_experiences", "groups", "members", "tags", "budgets"),
    *("budget_transactions", "surveys", "survey_submissions", "rooms", "room_reservations"),
    *("badges", "badge_completions", "feed_posts", "tracks", "checklists", "checklist_items"),
]
"""Endpoints of the document, in its order."""

ADDED = ["stores", "store_products", "announcements", "announcement_recipients"]
"""Additional endpoints of specification 1.1, in its order."""

SCHEMAS: dict[str, dict[str, Any]] = {
    name: stream.schema
    for name, stream in TapCampusGroups(
        config={"api_version": "1.1"}, validate_config=False
    ).streams.items()
}

STREAM = pytest.mark.parametrize("name", DOCUMENT + ADDED)


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield all properties and items of a schema with their paths."""
    for name, definition in schema.get("properties", {}).items():
        yield f"{path}{name}", definition
        yield from properties(definition, f"{path}{name}.")
    if "items" in schema:
        yield f"{path[:-1]}[]", schema["items"]
        yield from properties(schema["items"], f"{path[:-1]}[].")


def test_streams_are_those_of_the_document() -> None:
    assert list(STREAMS[ApiVersion.V1_0]) == DOCUMENT
    assert sorted(TapCampusGroups(validate_config=False).streams) == sorted(DOCUMENT)


def test_specification_1_1_adds_four_streams() -> None:
    assert list(STREAMS[ApiVersion.V1_1]) == DOCUMENT + ADDED
    assert sorted(SCHEMAS) == sorted(DOCUMENT + ADDED)
    assert all(schema["x-description"] for schema in SCHEMAS.values())


@STREAM
@pytest.mark.parametrize("draft", [Draft7Validator, Draft202012Validator])
def test_schema_is_valid_json_schema(name: str, draft: type[Validator]) -> None:
    draft.check_schema(SCHEMAS[name])


@STREAM
def test_schema_is_nullable_and_described_except_for_the_key(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["required"] == ["id", "updatedOn"]
    assert schema["properties"]["id"]["type"] == "integer"
    assert schema["properties"]["updatedOn"]["format"] == "date-time"
    for path, definition in properties(schema):
        is_item = path.endswith("[]")
        if path != "id":
            assert definition["type"][1:] == ["null"], path
        if not is_item:
            assert definition["description"].endswith("."), path


@STREAM
def test_schema_uses_only_keywords_that_targets_know(name: str) -> None:
    known = {"type", "format", "description", "properties", "items", "x-direct-identifier"}
    for path, definition in properties(SCHEMAS[name]):
        assert set(definition) <= known, path
        assert definition.get("format") in {None, "date-time", "date"}, path
        kind = definition["type"] if path == "id" else definition["type"][0]
        assert kind in {"integer", "number", "boolean", "string", "object", "array"}, path
        assert (kind == "object" and path != "_extra") == ("properties" in definition), path
        assert (kind == "array") == ("items" in definition), path


def test_extra_declares_no_properties() -> None:
    """An empty `properties` would be worse than a loader that refuses the schema.

    With it, target-avro drops `_extra` without a word, and target-postgres 1.1.3 turns false, 0 and
    empty text of all fields into null.
    """
    for schema in SCHEMAS.values():
        definition = {**schema["properties"]["_extra"]}
        del definition["description"]
        assert definition == {"type": ["object", "null"]}


UNUSUAL_TYPES = {
    "string": [
        *("checkins userId", "budget_transactions receipts []"),
        "survey_submissions responses [] answers []",
        *("survey_submissions responses [] questionId", "users gender name"),
        "events customFields [] answer",
    ],
    "integer": [
        *("checkins checkedinUserId", "tags deleted", "tags adminOnly", "members member"),
        *("events sendReminder", "surveys anonymousSubmissions", "budgets budgetAdmins []"),
        "checklist_items completionRule conditionIteration",
    ],
    "number": ["groups membershipOptions [] fee"],
    "boolean": ["feed_posts comments [] deleted"],
}
"""Paths of fields whose types a reader would not expect, by type."""


@pytest.mark.parametrize("kind", UNUSUAL_TYPES)
def test_unusual_types_of_the_specification_are_kept(kind: str) -> None:
    for place in UNUSUAL_TYPES[kind]:
        stream, *path = place.split()
        definition = SCHEMAS[stream]
        for name in path:
            definition = definition["items"] if name == "[]" else definition["properties"][name]
        assert definition["type"] == [kind, "null"]


def test_schemas_have_all_fields_of_the_specification() -> None:
    counted = {name: len(schema["properties"]) - 1 for name, schema in SCHEMAS.items()}
    numbers = "50 12 22 22 11 49 12 16 27 17 11 15 20 23 18 11 11 14 8 15 13 14 13 12 15 8 4"
    assert counted == dict(zip(DOCUMENT + ADDED, map(int, numbers.split()), strict=True))


@STREAM
def test_schema_accepts_full_row_and_rejects_wrong_types(name: str) -> None:
    validator = Draft202012Validator(
        SCHEMAS[name], format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    row = Dataset(5, newest=NEWEST, schemas=tap_schemas("1.1")).full_row(name, 1)
    assert set(row) == set(SCHEMAS[name]["properties"]) - {"_extra"}
    validator.validate(row)
    for path, definition in SCHEMAS[name]["properties"].items():
        wrong = {"a": 1} if definition["type"][0] != "object" else "text"
        assert not validator.is_valid(row | {path: wrong}), path
