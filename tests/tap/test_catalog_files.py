"""Catalogs: what they select, and the one line that an invalid one gets."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings

from tap_campusgroups.exceptions import CampusGroupsError, InputError
from tests.simulator import Dataset, Simulator
from tests.support.harness import (
    NEWEST,
    catalog_of,
    invoke,
    only,
    only_error,
    settings_for,
    stream_metadata,
    sync,
)
from tests.support.mutations import mutated, nested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIX = "Correct it, or create a new one with --discover."

(EVENTS,) = only("events")["streams"]
"""The entry of a selected stream."""


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    """The simulator, for many short runs."""
    with Simulator(Dataset({"events": 2, "tags": 2}, newest=NEWEST)) as simulator:
        yield simulator


def with_entry(**changes: Any) -> dict[str, Any]:
    """Return a catalog of one entry with changed keys; `...` removes a key."""
    entry = {**deepcopy(EVENTS), **changes}
    return {"streams": [{key: value for key, value in entry.items() if value is not ...}]}


def selected(name: str, *, is_selected: bool | None = True) -> dict[str, Any]:
    """Return an entry for a stream of any name."""
    metadata = [{"breadcrumb": [], "metadata": {"selected": is_selected}}]
    return {**deepcopy(EVENTS), "tap_stream_id": name, "stream": name, "metadata": metadata}


# Selection

each_use = pytest.mark.parametrize("more", [(), ("--test",), ("--test=schema",)], ids="".join)
VERSION_1_1 = 'Set api_version to "1.1"'
DISCOVER = "Create a new one with --discover"
EXAMPLE = 'Select at least one, for example with select: ["events.*"] in meltano.yml.'


def unknown(names: str, fix: str) -> str:
    """Return the error about streams that do not exist."""
    return (
        f" selects streams that do not exist in api_version 1.0: {names}. {fix}, or deselect them."
    )


@each_use
@pytest.mark.parametrize(
    ("entries", "error"),
    [
        (
            [EVENTS, selected("stores"), selected("announcements")],
            unknown("announcements, stores", VERSION_1_1),
        ),
        ([EVENTS, selected("parties"), selected("stores")], unknown("parties, stores", DISCOVER)),
        ([selected("a\nb"), selected("")], unknown(r"'', 'a\nb'", DISCOVER)),
        ([], f" selects 0 of 0. {EXAMPLE}"),
        (catalog_of(["event"])["streams"], f" selects 0 of 23. {EXAMPLE}"),
        (
            [{**EVENTS, "stream": "my_events"}],
            (
                ": stream differs from tap_stream_id for events. To rename a stream, use "
                "stream_maps with __alias__."
            ),
        ),
    ],
    ids=["version 1.1", "unknown", "odd names", "empty", "misspelt", "renamed"],
)
def test_selection_of_nothing_or_of_unknown_streams_is_an_error(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    entries: list[Any],
    error: str,
    more: tuple[str, ...],
) -> None:
    service.reset_log()
    done = invoke(tmp_path, *more, config=settings_for(service), catalog={"streams": entries})
    assert (done.exit_code, done.stdout, service.requests) == (1, "", [])
    line = only_error(caplog).removeprefix("No stream is selected: ")
    assert line == f"--catalog {tmp_path / 'catalog.json'}{error}"


@pytest.mark.parametrize("is_selected", [False, None])
def test_unknown_stream_that_is_not_selected_is_ignored(
    service: Simulator, *, is_selected: bool | None
) -> None:
    """So is a stream without an entry."""
    catalog = {"streams": [EVENTS, selected("parties", is_selected=is_selected)]}
    output = sync(settings_for(service), catalog=catalog)
    assert output.error is None
    assert set(output.records) == {"events"}
    assert {message["stream"] for message in output.of_type("SCHEMA")} == {"events"}


# Validation


METADATA = "streams[0].metadata[0].metadata"


def with_metadata(**metadata: Any) -> dict[str, Any]:
    """Return a catalog of one entry with some metadata of the stream."""
    return with_entry(metadata=[{"breadcrumb": [], "metadata": metadata}])


@pytest.mark.parametrize(
    ("catalog", "problem"),
    [
        ({}, "$ is malformed"),
        ({"streams": {}}, "streams is malformed"),
        ({"streams": [None]}, "streams[0] is malformed"),
        (with_entry(tap_stream_id=...), "streams[0] is malformed"),
        (with_entry(tap_stream_id=7), "streams[0].tap_stream_id is malformed"),
        (with_entry(stream=[]), "streams[0].stream is malformed"),
        (with_entry(schema=...), "streams[0] is malformed"),
        (with_entry(schema={}), "streams[0].schema is malformed"),
        (
            with_entry(schema={"properties": {"a\nb": {"items": []}}}),
            "streams[0].schema.properties['a\\nb'].items is malformed",
        ),
        (
            with_entry(schema={"properties": {"id": {"type": ["string", None]}}}),
            "streams[0].schema.properties.id.type[1] is malformed",
        ),
        (
            with_entry(schema={"properties": {"a": {"anyOf": [{"properties": {"b": 1}}]}}}),
            "streams[0].schema.properties.a.anyOf[0].properties.b is malformed",
        ),
        (with_entry(metadata=[{"metadata": {}}]), "streams[0].metadata[0] is malformed"),
        (with_metadata(selected="false"), f"{METADATA}.selected is malformed"),
        (with_entry(key_properties="id"), "streams[0].key_properties is malformed"),
        (with_entry(key_properties=["id", 7]), "streams[0].key_properties[1] is malformed"),
        (
            with_entry(replication_method="full_table"),
            "streams[0].replication_method is malformed",
        ),
        (
            with_metadata(**{"replication-method": "LOG_BASED"}),
            f"{METADATA}['replication-method'] is malformed",
        ),
        ({"streams": [EVENTS, EVENTS]}, "duplicate entries for events"),
        (with_entry(odd=nested(100)), "more than 50 levels of nested objects and lists"),
    ],
)
def test_invalid_catalog_is_an_error_that_names_file_and_place(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    catalog: dict[str, Any],
    problem: str,
) -> None:
    for more in ((), ("--test",)):
        caplog.clear()
        done = invoke(tmp_path, *more, config=settings_for(service), catalog=catalog)
        assert (done.exit_code, done.stdout) == (1, "")
        assert only_error(caplog) == f"--catalog {tmp_path / 'catalog.json'}: {problem}. {FIX}"


def test_invalid_catalog_of_a_library_is_an_error(service: Simulator) -> None:
    for catalog, problem in (
        ({"streams": None}, f"catalog: streams is malformed. {FIX}"),
        ({"streams": []}, f"No stream is selected: catalog selects 0 of 0. {EXAMPLE}"),
    ):
        output = sync(settings_for(service), catalog=catalog)
        assert isinstance(output.error, InputError)
        assert (str(output.error), output.messages) == (problem, [])


def without_metadata(entry: dict[str, Any]) -> None:
    """Reduce an entry to its required keys."""
    entry |= {"metadata": []}
    for key in set(entry) - {"tap_stream_id", "schema", "metadata"}:
        del entry[key]


def without_replication_key(entry: dict[str, Any]) -> None:
    """Remove every key about the replication."""
    del entry["replication_key"], entry["replication_method"]
    metadata = stream_metadata(entry)
    for key in ("valid-replication-keys", "forced-replication-method", "replication-key"):
        metadata.pop(key, None)


def with_nulls(entry: dict[str, Any]) -> None:
    """Set the optional keys to null."""
    entry |= dict.fromkeys(("stream", "key_properties", "replication_key", "replication_method"))


@pytest.mark.parametrize("change", [without_metadata, without_replication_key, with_nulls])
def test_catalog_with_missing_or_null_keys_is_accepted(
    service: Simulator, change: Callable[[dict[str, Any]], None]
) -> None:
    catalog = only("events")
    change(catalog["streams"][0])
    output = sync(settings_for(service), catalog=catalog)
    assert output.error is None
    assert len(output.records["events"]) == 2


def _few_fields() -> dict[str, Any]:
    """Return an entry so small that most mutations hit a key that is read."""
    entry = deepcopy(EVENTS)
    names = ("id", "updatedOn", "name", "tags", "_extra")
    properties = entry["schema"]["properties"]
    entry["schema"]["properties"] = {name: properties[name] for name in names}
    entry["metadata"] = [
        one for one in entry["metadata"] if not one["breadcrumb"] or one["breadcrumb"][1] in names
    ]
    return json.loads(json.dumps(entry))  # type: ignore[no-any-return]


@settings(max_examples=40)
@given(catalog=mutated({"streams": [_few_fields()]}))
def test_mutated_catalog_runs_or_is_one_line(service: Simulator, catalog: dict[str, Any]) -> None:
    output = sync(settings_for(service), catalog=catalog or {"streams": []})
    if output.error is None:
        assert output.messages[-1]["type"] == "STATE"
    else:
        assert isinstance(output.error, CampusGroupsError)
        assert len(str(output.error).splitlines()) == 1
