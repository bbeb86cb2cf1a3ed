"""Catalogs: what they select, and the one line that an invalid one gets."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings

from tap_campusgroups.exceptions import CampusGroupsError, InputError
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, catalog_of, settings_for, sync
from tests.support.mutations import mutated, nested

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FIX = "Correct it, or create a new one with --discover."

EVENTS = next(
    stream for stream in catalog_of(["events"])["streams"] if stream["tap_stream_id"] == "events"
)
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


def check(folder: Path, config: dict[str, Any], catalog: Any, *more: str) -> tuple[int, str]:
    """Run the command line with a catalog; return the exit code and stdout."""
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog))
    files = [f"--{name}={folder / name}.json" for name in ("config", "catalog")]
    result = CliRunner().invoke(TapCampusGroups.get_singer_command(), [*files, *more])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.stdout


def error_of(caplog: pytest.LogCaptureFixture) -> str:
    """Return the only error line."""
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(line.splitlines()) == 1
    return line


# Selection

each_use = pytest.mark.parametrize("more", [(), ("--test",), ("--test=schema",)], ids="".join)


@each_use
@pytest.mark.parametrize(
    ("names", "unknown", "fix"),
    [
        (["stores", "announcements"], "announcements, stores", 'Set api_version to "1.1"'),
        (["parties"], "parties", "Create a new one with --discover"),
        (["Events"], "Events", "Create a new one with --discover"),
        (["a\nb", ""], r"'', 'a\nb'", "Create a new one with --discover"),
    ],
)
def test_unknown_stream_that_is_selected_is_an_error(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    names: list[str],
    unknown: str,
    fix: str,
    more: tuple[str, ...],
) -> None:
    service.reset_log()
    catalog = {"streams": [EVENTS, *map(selected, names)]}
    assert check(tmp_path, settings_for(service), catalog, *more) == (1, "")
    assert error_of(caplog) == (
        f"--catalog {tmp_path / 'catalog.json'} selects streams that do not exist in "
        f"api_version 1.0: {unknown}. {fix}, or deselect them."
    )
    assert service.requests == []


@pytest.mark.parametrize("is_selected", [False, None])
def test_unknown_stream_that_is_not_selected_is_ignored(
    service: Simulator, *, is_selected: bool | None
) -> None:
    catalog = {"streams": [EVENTS, selected("parties", is_selected=is_selected)]}
    output = sync(settings_for(service), catalog=catalog)
    assert output.error is None
    assert set(output.records) == {"events"}


def test_stream_without_entry_is_not_selected(service: Simulator) -> None:
    output = sync(settings_for(service), catalog={"streams": [EVENTS]})
    assert output.error is None
    assert {message["stream"] for message in output.of_type("SCHEMA")} == {"events"}


def test_catalog_of_version_1_1_runs_with_version_1_1(service: Simulator) -> None:
    catalog = {"streams": [EVENTS, selected("stores", is_selected=False)]}
    assert sync(settings_for(service, api_version="1.1"), catalog=catalog).error is None


@each_use
@pytest.mark.parametrize(
    ("catalog", "count"),
    [({"streams": []}, 0), (catalog_of([]), 23), (catalog_of(["event"]), 23)],
    ids=["empty", "all deselected", "misspelt"],
)
def test_selection_of_nothing_is_an_error(
    service: Simulator,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    catalog: dict[str, Any],
    count: int,
    more: tuple[str, ...],
) -> None:
    service.reset_log()
    assert check(tmp_path, settings_for(service), catalog, *more) == (1, "")
    assert error_of(caplog) == (
        f"No stream is selected: --catalog {tmp_path / 'catalog.json'} selects 0 of {count}. "
        'Select at least one, for example with select: ["events.*"] in meltano.yml.'
    )
    assert service.requests == []


def test_selection_of_nothing_in_a_library_is_an_error(service: Simulator) -> None:
    output = sync(settings_for(service), catalog={"streams": []})
    assert isinstance(output.error, InputError)
    assert str(output.error).startswith("No stream is selected: catalog selects 0 of 0.")
    assert output.messages == []


def test_renamed_stream_is_an_error_with_the_alternative(service: Simulator) -> None:
    output = sync(settings_for(service), catalog=with_entry(stream="my_events"))
    assert isinstance(output.error, InputError)
    assert str(output.error) == (
        "catalog: stream differs from tap_stream_id for events. To rename a stream, use "
        "stream_maps with __alias__."
    )


def test_connection_test_logs_the_catalog(
    service: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code, _ = check(tmp_path, settings_for(service), catalog_of(["events", "tags"]), "--test")
    assert code == 0
    path = tmp_path / "catalog.json"
    assert f"Connection test started: streams=2 of=23 selection={path}" in caplog.messages


def test_discovery_ignores_the_catalog(service: Simulator, tmp_path: Path) -> None:
    code, written = check(tmp_path, settings_for(service), {"streams": []}, "--discover")
    assert code == 0
    assert len(json.loads(written)["streams"]) == 23


# Validation


@pytest.mark.parametrize(
    ("catalog", "problem"),
    [
        ({}, "streams is required"),
        ({"streams": {}}, "streams must be a list, not an object"),
        ({"streams": [None]}, "streams[0] must be an object, not null"),
        (with_entry(tap_stream_id=...), "streams[0].tap_stream_id is required"),
        (with_entry(tap_stream_id=7), "streams[0].tap_stream_id must be text, not an integer"),
        (with_entry(stream=[]), "streams[0].stream must be text or null, not a list"),
        (with_entry(schema=...), "streams[0].schema is required"),
        (with_entry(schema=None), "streams[0].schema must be an object, not null"),
        (with_entry(schema={}), "streams[0].schema.properties is required"),
        (
            with_entry(schema={"properties": []}),
            "streams[0].schema.properties must be an object, not a list",
        ),
        (
            with_entry(schema={"properties": {"id": True}}),
            "streams[0].schema.properties.id must be an object, not a boolean",
        ),
        (
            with_entry(schema={"properties": {"a b": {"items": []}}}),
            "streams[0].schema.properties['a b'].items must be an object, not a list",
        ),
        (
            with_entry(schema={"properties": {"id": {"type": ["string", None]}}}),
            "streams[0].schema.properties.id.type[1] must be text, not null",
        ),
        (
            with_entry(schema={"properties": {"id": {"anyOf": {}}}}),
            "streams[0].schema.properties.id.anyOf must be a list, not an object",
        ),
        (
            with_entry(schema={"properties": {"a": {"items": {"properties": {"b": 1}}}}}),
            "streams[0].schema.properties.a.items.properties.b must be an object, not an integer",
        ),
        (with_entry(metadata=...), "streams[0].metadata is required"),
        (with_entry(metadata={}), "streams[0].metadata must be a list, not an object"),
        (with_entry(metadata=[[]]), "streams[0].metadata[0] must be an object, not a list"),
        (with_entry(metadata=[{"metadata": {}}]), "streams[0].metadata[0].breadcrumb is required"),
        (with_entry(metadata=[{"breadcrumb": []}]), "streams[0].metadata[0].metadata is required"),
        (
            with_entry(metadata=[{"breadcrumb": "id", "metadata": {}}]),
            "streams[0].metadata[0].breadcrumb must be a list, not text",
        ),
        (
            with_entry(metadata=[{"breadcrumb": [], "metadata": {"selected": "false"}}]),
            "streams[0].metadata[0].metadata.selected must be a boolean or null, not text",
        ),
        (
            with_entry(key_properties="id"),
            "streams[0].key_properties must be a list or null, not text",
        ),
        (
            with_entry(replication_key=["updatedOn"]),
            "streams[0].replication_key must be text or null, not a list",
        ),
        ({"streams": [EVENTS, EVENTS]}, "duplicate entries for events"),
        (with_entry(odd=nested(100)), "more than 50 levels of nested objects and lists"),
    ],
    ids=lambda value: value if isinstance(value, str) else "catalog",
)
def test_invalid_catalog_is_an_error_that_names_the_place(
    service: Simulator, catalog: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError) as error:
        TapCampusGroups(config=settings_for(service), catalog=catalog)
    assert str(error.value) == f"catalog: {problem}. {FIX}"


def test_invalid_catalog_file_is_an_error_that_names_file_and_place(
    service: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for more in ((), ("--test",)):
        caplog.clear()
        assert check(tmp_path, settings_for(service), {"streams": None}, *more) == (1, "")
        assert error_of(caplog) == (
            f"--catalog {tmp_path / 'catalog.json'}: streams must be a list, not null. {FIX}"
        )


def _minimal(_: dict[str, Any]) -> dict[str, Any]:
    return {"streams": [{"tap_stream_id": "events", "schema": EVENTS["schema"], "metadata": []}]}


def _without_nulls(catalog: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(catalog), object_hook=_drop_nulls)  # type: ignore[no-any-return]


def _drop_nulls(value: dict[str, Any]) -> dict[str, Any]:
    return {key: one for key, one in value.items() if one is not None}


@pytest.mark.parametrize("change", [dict, _minimal, _without_nulls])
def test_catalog_with_missing_or_null_keys_is_accepted(
    service: Simulator, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    output = sync(settings_for(service), catalog=change(catalog_of(["events"])))
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


@settings(max_examples=100)
@given(catalog=mutated({"streams": [_few_fields()]}))
def test_mutated_catalog_runs_or_is_one_line(service: Simulator, catalog: dict[str, Any]) -> None:
    output = sync(settings_for(service), catalog=catalog or {"streams": []})
    if output.error is None:
        assert output.messages[-1]["type"] == "STATE"
    else:
        assert isinstance(output.error, CampusGroupsError)
        assert len(str(output.error).splitlines()) == 1
