"""The fast path writes whole pages exactly as the SDK writes single records."""

from __future__ import annotations

import json
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.helpers._flattening import flatten_record, flatten_schema
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.exceptions import SettingsError
from tests.simulator import Dataset, JsonBody
from tests.support.fast_path import (
    NEUTRAL_MAP,
    PAGE_SIZE,
    PAGES,
    ROWS,
    SENTINEL,
    STARTED,
    Run,
    Tap,
    assert_same_run,
    catalog_without,
    drift_events,
    drift_everywhere,
    user_catalog,
)
from tests.support.harness import NEWEST, catalog_of, state_of

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
                record = flatten_record(message["record"], schema, max_level=depth)
                fields = dict.fromkeys(schema["properties"])
                # The SDK leaves a null object in its place, and its columns out.
                assert {name for name in record if record[name] is not None} <= set(fields)
                message["record"] = {name: record.get(name) for name in fields}
        assert "country__id" in flat["events"]["properties"]
        assert_same_run(fast, sdk)


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


# Bookmarks and STATE messages

LAST, YESTERDAY, LONG_AGO, NEAR = "2025-06-01", "2025-05-31", "2024-12-01", "2025-06-02"

KEYS: dict[str, tuple[list[object], str | None]] = {
    "common form": (
        [f"{LONG_AGO}T10:00:00.123Z", f"{YESTERDAY}T10:00:00.123Z", f"{YESTERDAY}T09:00:00.000Z"],
        f"{YESTERDAY}T10:00:00.123000Z",
    ),
    "other forms": (
        [f"{YESTERDAY}T23:59:59+05:00", f"{YESTERDAY} 18:59:59.5", f"{YESTERDAY}T18:59:59Z"],
        f"{YESTERDAY}T18:59:59.500000Z",
    ),
    "fractions of a second": (
        [
            f"{YESTERDAY}T10:00:00.1Z",
            f"{YESTERDAY}T10:00:00.12Z",
            f"{YESTERDAY}T10:00:00.119999999Z",
        ],
        f"{YESTERDAY}T10:00:00.120000Z",
    ),
    "missing": ([..., None, ""], None),
    "missing except for one": (
        [..., f"{YESTERDAY}T10:00:00.123Z", None],
        f"{YESTERDAY}T10:00:00.123000Z",
    ),
    "invalid": (["soon", 20250501, {"at": YESTERDAY}], None),
    "invalid except for one": (["soon", YESTERDAY, True], f"{YESTERDAY}T00:00:00.000000Z"),
    "newer than end_date": (
        [f"{LAST}T00:00:00.001Z", f"{YESTERDAY}T23:59:59.999Z", "2999-01-01"],
        f"{LAST}T00:00:00.000000Z",
    ),
    "newer only by the offset": (
        [f"{LAST}T01:00:00+02:00", f"{YESTERDAY}T22:30:00-00:30", "soon"],
        f"{YESTERDAY}T23:00:00.000000Z",
    ),
    "older than the lookback": (
        ["2004-01-01T00:00:00.000Z", "2003-01-01", "0001-01-01T00:00:00+10:00"],
        None,
    ),
}
"""Values of `updatedOn`, and the bookmark after them (`None`: not moved by the rows)."""


@pytest.mark.parametrize("before", [None, LONG_AGO, NEAR])
@pytest.mark.parametrize(("keys", "newest"), KEYS.values(), ids=KEYS)
def test_bookmark_is_the_same(
    tap: Tap, keys: list[object], newest: str | None, before: str | None
) -> None:
    rows = [
        {"id": number} | ({} if key is ... else {"updatedOn": key})
        for number, key in enumerate(keys, 1)
    ]
    state = state_of(events=before, users="2024-01-01T00:00:00.000000Z") if before else None

    def run(**more: Any) -> Run:
        fault = JsonBody({"Results": rows}).on("events", "first_page")
        # The bookmark moves to the start of the lookback in any case; keep that far back.
        return tap(
            "events", faults=[fault], state=state, end_date=LAST, lookback_hours=24 * 300, **more
        )

    fast = run()
    assert len(fast.of_type("RECORD")) == len(rows)
    long_ago = (STARTED - timedelta(hours=24 * 300)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    expected = max(newest or long_ago, f"{before}T00:00:00.000000Z" if before else "")
    assert fast.bookmarks["events"] == expected
    assert_same_run(fast, run(**NEUTRAL_MAP))


def test_states_are_the_same_and_hold_only_bookmarks(
    tap: Tap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CampusGroupsStream, "STATE_MSG_FREQUENCY", 2)
    state = state_of(events="2024-01-01T00:00:00.000000Z")
    fast = tap("events", state=state, export_window_days=30)
    sdk = tap("events", state=state, export_window_days=30, **NEUTRAL_MAP)
    assert fast.states == sdk.states
    assert len(fast.states) > 2
    for state_message in fast.states:
        assert set(state_message["bookmarks"]["events"]) == {
            "replication_key",
            "replication_key_value",
        }


def test_full_table_sync_leaves_bookmark_unchanged(tap: Tap) -> None:
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    state = state_of(events="2025-01-01T00:00:00.000000Z")
    fast = tap(catalog=catalog, state=state)
    assert fast.bookmarks == {"events": "2025-01-01T00:00:00.000000Z"}
    assert_same_run(fast, tap(catalog=catalog, state=state, **NEUTRAL_MAP))


# Deselected, masked and removed values appear neither in the output nor in the log


def hide(dataset: Dataset) -> None:
    """Put the sentinel into fields of all users, in every form that can be converted."""
    for row in dataset["users"]:
        row["bio"] = SENTINEL
        row["gender"] = {"id": 1, "name": SENTINEL}
    first, second, third, *_ = dataset["users"]
    first["gender"] = json.dumps(first["gender"])
    second["bio"] = {"text": SENTINEL}
    third["bio"] = [SENTINEL]


HIDDEN = [["bio"], ["gender", "name"]]
MASK = {"bio": "sha256(json.dumps(bio))", "gender": "sha256(json.dumps(gender))", "_extra": None}
FLATTENED = {"flattening_enabled": True, "flattening_max_depth": 1}
HIDING_SETTINGS: dict[str, dict[str, Any]] = {
    "deselected": {"deselected": HIDDEN},
    "deselected with a map": {"deselected": HIDDEN, "stream_maps": {"users": {"id": "id"}}},
    "deselected and flattened": {"deselected": HIDDEN} | FLATTENED,
    "deselected with SDK writer": {"deselected": HIDDEN, "writer": MsgSpecWriter()},
    "masked": {"stream_maps": {"users": MASK}},
    "masked and renamed": {"stream_maps": {"users": MASK | {"__alias__": "people"}}},
    "masked by a pattern": {"stream_maps": {"use*": MASK}},
    "removed": {"stream_maps": {"users": {"bio": None, "gender": None, "_extra": None}}},
    "removed with __NULL__": {
        "stream_maps": {"users": {"bio": "__NULL__", "gender": "__NULL__", "_extra": "__NULL__"}}
    },
    "not mapped, __else__ null": {"stream_maps": {"users": {"id": "id", "__else__": None}}},
    "filtered": {"stream_maps": {"users": {"__filter__": "id > 100"}}},
}


@pytest.mark.parametrize("how", HIDING_SETTINGS.values(), ids=HIDING_SETTINGS)
def test_hidden_value_is_in_neither_output_nor_log(tap: Tap, how: dict[str, Any]) -> None:
    plain = tap("users", prepare=hide)
    assert plain.pages == PAGES
    assert plain.text.count(SENTINEL) == 2 * ROWS
    more = {name: value for name, value in how.items() if name != "deselected"}
    catalog = catalog_without("users", *how.get("deselected", ()))
    hidden = tap(prepare=hide, catalog=catalog, **more)
    assert hidden.error is None
    assert not hidden.pages
    assert SENTINEL not in hidden.text
    assert SENTINEL not in hidden.log
    assert hidden.bookmarks == plain.bookmarks
    assert hidden.metrics == plain.metrics


@pytest.mark.parametrize("path", [["gender", "name"], ["gender", "id"]], ids=repr)
def test_deselected_value_of_wrong_type_is_in_neither_output_nor_log(
    tap: Tap, path: list[str]
) -> None:
    value = {path[-1]: SENTINEL}

    def prepare(dataset: Dataset) -> None:
        forms = [[value], json.dumps([value]), repr(value), {"id": 1} | value, json.dumps(value)]
        for row, form in zip(dataset["users"], forms, strict=True):
            row["gender"] = form

    hidden = tap(prepare=prepare, catalog=catalog_without("users", path))
    assert hidden.error is None
    assert len(hidden.records["users"]) == ROWS
    assert SENTINEL not in hidden.text
    assert SENTINEL not in hidden.log


def test_mask_hashes_value_as_written_on_fast_path(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        for number, row in enumerate(dataset["users"]):
            row["bio"] = [f"{SENTINEL}{number}", number, {"a": SENTINEL}, True, 1.50][number]

    plain = tap("users", prepare=prepare)
    masked = tap("users", prepare=prepare, stream_maps={"users": {"bio": "sha256(bio)"}})
    assert SENTINEL in plain.text
    assert SENTINEL not in masked.text
    for message in plain.of_type("RECORD"):
        message["record"]["bio"] = sha256(message["record"]["bio"].encode()).hexdigest()
    assert_same_run(plain, masked)


def test_field_missing_from_user_schema_is_in_neither_output_nor_log(tap: Tap) -> None:
    catalog = user_catalog("users", "id", "updatedOn", "email")
    fast = tap(prepare=hide, catalog=catalog)
    assert fast.pages == PAGES
    sdk = tap(prepare=hide, catalog=catalog, writer=MsgSpecWriter())
    assert_same_run(fast, sdk)
    for run in (fast, sdk):
        assert SENTINEL not in run.text
        assert SENTINEL not in run.log
