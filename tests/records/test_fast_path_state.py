"""The fast path leaves the same bookmarks and STATE messages as the SDK's path."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tap_campusgroups.client import CampusGroupsStream
from tests.simulator import Dataset, JsonBody
from tests.support.fast_path import (
    NEUTRAL_MAP,
    STARTED,
    Run,
    Tap,
    assert_same_run,
    drift_events,
)
from tests.support.harness import catalog_of, state_of

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


def test_empty_window_is_the_same(tap: Tap) -> None:
    state = state_of(events="2025-07-01T00:00:00.000000Z")
    fast = tap("events", state=state)
    sdk = tap("events", state=state, **NEUTRAL_MAP)
    assert not fast.pages
    assert not fast.records
    assert sdk.plain == fast.plain
    assert sdk.metrics == fast.metrics


def test_full_table_sync_leaves_bookmark_unchanged(tap: Tap) -> None:
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    state = state_of(events="2025-01-01T00:00:00.000000Z")
    fast = tap(catalog=catalog, state=state)
    assert fast.bookmarks == {"events": "2025-01-01T00:00:00.000000Z"}
    assert_same_run(fast, tap(catalog=catalog, state=state, **NEUTRAL_MAP))


def test_export_in_windows_is_the_same(tap: Tap) -> None:
    def run(**more: Any) -> Run:
        return tap(
            "events",
            prepare=drift_events,
            export_window_days=100,
            start_date="2024-05-01",
            **more,
        )

    fast = run()
    assert len(fast.states) > 2
    assert_same_run(fast, run(**NEUTRAL_MAP))


def test_export_without_rows_is_the_same(tap: Tap) -> None:
    def prepare(dataset: Dataset) -> None:
        dataset["events"].clear()

    fast = tap("events", prepare=prepare)
    assert fast.pages == [0]
    assert_same_run(fast, tap("events", prepare=prepare, **NEUTRAL_MAP))
