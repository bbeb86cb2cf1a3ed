"""The fast path writes whole pages exactly as the SDK writes single records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.helpers._flattening import flatten_record, flatten_schema
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from tap_campusgroups.exceptions import SettingsError
from tests.simulator import Dataset, JsonBody
from tests.support.fast_path import (
    NEUTRAL_MAP,
    PAGE_SIZE,
    PAGES,
    ROWS,
    SENTINEL,
    Run,
    Tap,
    assert_same_run,
    catalog_without,
    drift_events,
    drift_everywhere,
    user_catalog,
)
from tests.support.harness import NEWEST, state_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from singer_sdk.singerlib.encoding import GenericSingerWriter


@pytest.mark.parametrize("writer", [MsgSpecWriter, SimpleSingerWriter])
@pytest.mark.parametrize("prepare", [lambda _: None, drift_everywhere], ids=["expected", "drifted"])
def test_every_stream_with_sdk_writer_is_the_same(
    tap: Tap,
    writer: Callable[[], GenericSingerWriter[Any, Any]],
    prepare: Callable[[Dataset], object],
) -> None:
    streams = Dataset(0, newest=NEWEST).streams
    fast = tap(*streams, prepare=prepare)
    assert fast.error is None
    assert fast.pages == PAGES * 23
    assert fast.rows == [ROWS] * 23
    assert_same_run(fast, tap(*streams, prepare=prepare, writer=writer()))


@pytest.mark.parametrize("more", [{}, {"max_concurrent_exports": 1}, {"page_size": 999}])
def test_stream_with_neutral_map_is_the_same(tap: Tap, more: dict[str, Any]) -> None:
    fast = tap("events", prepare=drift_events, **more)
    assert fast.pages == ([5] if "page_size" in more else PAGES)
    assert_same_run(fast, tap("events", prepare=drift_events, **NEUTRAL_MAP, **more))


def test_stream_without_map_stays_on_fast_path(tap: Tap) -> None:
    alone = tap("rooms")
    both = tap("events", "rooms", **NEUTRAL_MAP)
    assert both.pages == PAGES
    assert both.records["rooms"] == alone.records["rooms"]
    assert len(both.records["events"]) == ROWS


def test_deselected_properties_are_the_only_ones_missing(tap: Tap) -> None:
    paths = [("description",), ("type", "name"), ("customFields",)]
    hidden = {path[0] for path in paths}
    fast = tap("events", prepare=drift_events)
    sdk = tap(prepare=drift_events, catalog=catalog_without("events", *paths))
    for message in fast.messages:
        match message["type"]:
            case "RECORD":
                things = message["record"]
                kind = things.get("type")
                extra = things["_extra"] or {}
                kept = {name: extra[name] for name in extra if name not in hidden}
                things["_extra"] = kept or None
            case "SCHEMA":
                things = message["schema"]["properties"]
                kind = things["type"]["properties"]
            case _:
                continue
        things.pop("description", None)
        things.pop("customFields", None)
        if isinstance(kind, dict):
            kind.pop("name", None)
    assert any(record["_extra"] for record in fast.records["events"])
    assert_same_run(fast, sdk)


def test_flattened_records_are_flattened_fast_path_records(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        for stream in ("events", "rooms", "survey_submissions"):
            dataset[stream][0].update(dataset.full_row(stream))
        dataset["events"][1]["country"] = {"id": "007", "name": 1.50, "new": 1}

    streams = ("events", "rooms", "survey_submissions")
    for depth in (1, 2):
        fast = tap(*streams, prepare=prepare)
        sdk = tap(*streams, prepare=prepare, flattening_enabled=True, flattening_max_depth=depth)
        flat: dict[str, Any] = {}
        for message in fast.messages:
            if message["type"] == "SCHEMA":
                message["schema"] = flatten_schema(message["schema"], max_level=depth)
                flat[message["stream"]] = message["schema"]
            elif message["type"] == "RECORD":
                schema = flat[message["stream"]]
                message["record"] = flatten_record(message["record"], schema, max_level=depth)
        assert "country__id" in flat["events"]["properties"]
        assert_same_run(fast, sdk)


def test_stream_with_flattening_disabled_stays_on_fast_path(tap: Tap) -> None:
    plain = tap("events")
    switched_off = tap("events", flattening_enabled=False, flattening_max_depth=1)
    assert switched_off.pages == plain.pages == PAGES
    assert switched_off.plain == plain.plain


@pytest.mark.parametrize("name", ['a "name"', "a\\b", "a\nb", "\0", "\u2028", "class"], ids=ascii)
def test_unknown_field_of_any_name_is_captured_or_ignored(tap: Tap, name: str) -> None:
    def prepare(dataset: Dataset) -> None:
        dataset["events"][1][name] = SENTINEL

    for mode, count in (("capture", 1), ("ignore", 0)):
        fast = tap("events", prepare=prepare, unknown_fields=mode)
        assert fast.error is None
        assert fast.text.count(SENTINEL) == count
        assert_same_run(fast, tap("events", prepare=prepare, unknown_fields=mode, **NEUTRAL_MAP))


def test_unknown_field_with_fail_ends_both_paths_with_same_error(tap: Tap) -> None:
    def run(**more: Any) -> Run:
        fault = JsonBody({"Results": [{"id": 7, "shoeSize": SENTINEL}]}).on("events", "later_page")
        # With concurrency, the progress of the other export would be random.
        return tap(
            *("events", "users"),
            faults=[fault],
            unknown_fields="fail",
            max_concurrent_exports=1,
            **more,
        )

    fast, sdk = run(), run(writer=MsgSpecWriter())
    assert "field shoeSize is not in the schema, and unknown_fields is" in str(fast.error)
    assert str(sdk.error) == str(fast.error)
    assert len(fast.records["events"]) == PAGE_SIZE
    assert len(fast.records["users"]) == ROWS
    assert sdk.plain == fast.plain
    assert sdk.warnings == fast.warnings
    for run_of in (fast, sdk):
        assert SENTINEL not in run_of.text
        assert SENTINEL not in run_of.log


def test_rows_without_id_are_left_out_and_fail_the_stream(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        first, second, third, *_ = dataset["events"]  # the first one is the newest
        first["id"], second["id"] = None, "x"
        del third["id"]

    fast = tap("events", prepare=prepare)
    assert "3 rows" in str(fast.error)
    assert len(fast.records["events"]) == 2
    assert_same_run(fast, tap("events", prepare=prepare, **NEUTRAL_MAP))


@pytest.mark.usefixtures("fake_time")
def test_invalid_unicode_is_replaced(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        dataset["events"][1]["name"] = "half \ud83d of a pair"
        dataset["events"][2]["shoeSize"] = ["\ude00"]
        dataset["events"][3] |= {"type": {"name": "\udfff"}, "capacity": "many"}

    fast = tap("events", prepare=prepare)
    assert fast.error is None
    assert fast.reports[0]["pages_with_invalid_unicode"] >= 2
    assert_same_run(fast, tap("events", prepare=prepare, **NEUTRAL_MAP))


def test_row_with_duplicate_key_is_the_same(tap: Tap) -> None:
    class Twice(str):
        """A key that can occur twice in a dictionary."""

        __slots__ = ()
        __hash__ = object.__hash__

    def prepare(dataset: Dataset) -> None:
        # The last value counts, as in any JSON parser.
        dataset["events"][1] = {Twice("capacity"): "many", **dataset["events"][1]}

    fast = tap("events", prepare=prepare)
    assert fast.error is None
    assert_same_run(fast, tap("events", prepare=prepare, **NEUTRAL_MAP))


@pytest.mark.parametrize(
    "more", [{"emit_activate_version_messages": True}, {"batch_config": {}}], ids=repr
)
def test_setting_that_fast_path_does_not_support_is_rejected(
    tap: Tap, more: dict[str, Any]
) -> None:
    run = tap("events", **more)
    assert isinstance(run.error, SettingsError)
    assert not run.messages


def test_alias_renames_stream_except_in_state(tap: Tap) -> None:
    fast = tap("events", prepare=drift_events)
    sdk = tap("events", prepare=drift_events, stream_maps={"events": {"__alias__": "happenings"}})
    for message in fast.messages:
        if "stream" in message:
            message["stream"] = "happenings"
    assert_same_run(fast, sdk)
    assert set(sdk.bookmarks) == {"events"}


def test_duplicate_of_stream_has_every_record(tap: Tap) -> None:
    fast = tap("events", prepare=drift_events)
    sdk = tap("events", prepare=drift_events, stream_maps={"copies": {"__source__": "events"}})
    doubled: list[dict[str, Any]] = []
    for message in fast.messages:
        doubled.append(message)
        if "stream" in message:
            doubled.append(message | {"stream": "copies"})
    fast.messages = doubled
    assert_same_run(fast, sdk)


def test_filter_leaves_out_records_but_moves_bookmark(tap: Tap) -> None:
    fast = tap("events")
    sdk = tap("events", stream_maps={"events": {"__filter__": "id > 2"}})
    fast.messages = [
        message
        for message in fast.messages
        if message["type"] != "RECORD" or message["record"]["id"] > 2
    ]
    assert len(fast.of_type("RECORD")) == 3
    assert_same_run(fast, sdk)


def test_else_null_leaves_out_unmapped_streams_and_properties(tap: Tap) -> None:
    fast = tap("events", "users")
    sdk = tap(
        "events",
        "users",
        stream_maps={"events": {"id": "id", "name": "name", "__else__": None}, "__else__": None},
    )
    assert sdk.error is None
    assert not sdk.pages
    assert sdk.states == fast.states
    assert sdk.metrics == fast.metrics
    assert sdk.records == {
        "events": [
            {"id": record["id"], "name": record["name"]} for record in fast.records["events"]
        ]
    }


@pytest.mark.parametrize("odd", [7, [], None, "x"])
@pytest.mark.parametrize("after", [0, 1])
def test_row_that_is_not_an_object_is_left_out_and_fails_the_stream(
    tap: Tap, odd: object, after: int
) -> None:
    def run(**more: Any) -> Run:
        bad = JsonBody({"Results": [{"id": 99, "name": 1}, odd, {"id": 100}]})
        fault = bad.on("events", "later_page" if after else "first_page")
        state = state_of(events="2024-01-01T00:00:00.000000Z")
        # With concurrency, the progress of the other export would be random.
        return tap("events", "users", faults=[fault], state=state, max_concurrent_exports=1, **more)

    fast = run()
    assert "1 row of " in str(fast.error)
    assert len(fast.records["events"]) == 2 + (PAGE_SIZE if after else 0)
    assert len(fast.records["users"]) == ROWS
    assert fast.bookmarks["events"] == "2024-01-01T00:00:00.000000Z"
    assert_same_run(fast, run(writer=MsgSpecWriter()))


def test_user_schema_is_the_same(tap: Tap) -> None:
    catalog = user_catalog(
        "events",
        *("name", "id", "updatedOn", "tags"),
        type={"type": ["string", "null"]},
        capacity={"type": ["string", "integer", "null"]},
        country={"type": ["object", "null"]},
        draft={},
        customFields={"type": ["array", "null"]},
    )
    fast = tap(prepare=drift_events, catalog=catalog)
    assert fast.pages == PAGES
    (schema,) = fast.of_type("SCHEMA")
    assert list(schema["schema"]["properties"])[:3] == ["name", "id", "updatedOn"]
    assert_same_run(fast, tap(prepare=drift_events, catalog=catalog, **NEUTRAL_MAP))
    assert_same_run(fast, tap(prepare=drift_events, catalog=catalog, writer=MsgSpecWriter()))
