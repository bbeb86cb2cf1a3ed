"""State and bookmarks of first, later and failed runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError
from tests.simulator import JsonBody
from tests.support.harness import state_of, sync

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator import Simulator

BOOKMARK = "2025-06-01T12:00:00.250000Z"
"""`updatedOn` of the simulator's newest row as the tap emits it."""


def submitted(simulator: Simulator, stream: str = "events") -> list[Mapping[str, str]]:
    """Return the queries of a stream's submissions."""
    return [
        request.query
        for request in simulator.requests
        if request.method == "POST" and request.stream == stream
    ]


def test_second_run_reads_from_bookmark_minus_lookback(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    first = sync(config)
    assert first.error is None
    assert len(first.bookmarks) == 23
    assert set(first.bookmarks.values()) == {BOOKMARK}
    for schema in first.of_type("SCHEMA"):
        assert (schema["bookmark_properties"], schema["key_properties"]) == (["updatedOn"], ["id"])
    # The last state has bookmarks only.
    assert first.states[-1] == state_of(**dict.fromkeys(first.bookmarks, BOOKMARK))

    simulator.reset_log()
    second = sync(config, state=first.states[-1])
    assert second.error is None
    assert second.states[-1] == first.states[-1]
    for stream in first.bookmarks:
        (asked,) = submitted(simulator, stream)
        assert asked["updatedStart"] == "2025-05-30T12:00:00Z"  # 48 h before the bookmark
        again = {record["id"] for record in second.records[stream]}
        assert again == {
            record["id"]
            for record in first.records[stream]
            if record["updatedOn"] >= "2025-05-30T12:00:00"
        }


@pytest.mark.parametrize("value", [None, "soon", "", 20250601, "absent"])
def test_row_without_usable_updated_on_is_emitted_and_does_not_move_the_bookmark(
    simulator: Simulator, config: dict[str, Any], value: object
) -> None:
    """The service's query excludes such rows; they would be a fault of the service."""
    row, other = simulator.dataset["events"][:2]
    other["updatedOn"] = "2025-06-01T12:00:00.250Z"
    if value == "absent":
        del row["updatedOn"]
    else:
        row["updatedOn"] = value
    simulator.inject(JsonBody({"Results": [row, other]}).on("events", "first_page"))
    output = sync(config, "events")
    assert output.error is None
    (record,) = [record for record in output.records["events"] if record["id"] == row["id"]]
    assert record["updatedOn"] is None
    is_usual = value in {None, "", "absent"}
    assert record["_extra"] == (None if is_usual else {"updatedOn": value})
    assert output.bookmarks == {"events": BOOKMARK}


def test_bookmark_does_not_move_back(simulator: Simulator, config: dict[str, Any]) -> None:
    later = "2025-06-01T12:30:00.000000Z"
    output = sync(config, "events", state=state_of(events=later))
    assert output.error is None
    assert len(output.records["events"]) == 1  # within the lookback, older than the bookmark
    assert output.bookmarks == {"events": later}
    empty = sync(config | {"end_date": "2025-01-01"}, "events", state=state_of(events=later))
    assert empty.records == {}
    assert empty.bookmarks == {"events": later}
    assert len(submitted(simulator)) == 1


def test_bookmark_does_not_pass_the_end_of_the_range(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    """Even if the service returns a row outside the range."""
    row = {"id": 1, "updatedOn": "2999-01-01T00:00:00Z"}
    simulator.inject(JsonBody({"Results": [row]}).on("events", "first_page"))
    output = sync(config | {"end_date": "2025-05-01"}, "events")
    assert output.records["events"][0]["id"] == 1
    assert output.bookmarks == {"events": "2025-05-01T00:00:00.000000Z"}


@pytest.mark.parametrize(
    ("form", "lookback", "start"),
    [
        ("2025-06-01 12:00:00.250", 48, "2025-05-30T12:00:00Z"),
        ("2025-06-01T14:00:00.25+02:00", 1, "2025-06-01T11:00:00Z"),
    ],
)
def test_bookmark_in_another_format_is_parsed(
    simulator: Simulator, config: dict[str, Any], form: str, lookback: int, start: str
) -> None:
    output = sync(config | {"lookback_hours": lookback}, "events", state=state_of(events=form))
    (asked,) = submitted(simulator)
    assert asked["updatedStart"] == start
    assert output.bookmarks == {"events": BOOKMARK}


def test_failed_stream_keeps_its_bookmark_and_the_next_run_reads_the_rest(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    old = "2025-01-01T00:00:00.000000Z"
    simulator.inject(JsonBody({"message": "hello"}).on("events", "later_page"))
    output = sync(
        config | {"page_size": 1, "on_stream_error": "abort"},
        "checkins",
        "events",
        "users",
        state=state_of(checkins=old, events=old, users=old),
    )
    assert isinstance(output.error, ExportFailedError)
    assert output.records["events"]
    assert output.bookmarks == {"checkins": BOOKMARK, "events": old, "users": old}
    assert all(
        state["bookmarks"]["events"]["replication_key_value"] == old for state in output.states
    )

    # The next run
    simulator.reset_log()
    again = sync(config, "checkins", "events", "users", state=output.states[-1])
    assert again.error is None
    assert set(again.bookmarks.values()) == {BOOKMARK}
    assert submitted(simulator)[0]["updatedStart"] == "2024-12-30T00:00:00Z"


@pytest.mark.parametrize("start_date", [None, "2024-01-01", "2025-05-31", "2025-06-01T12:30:00Z"])
@pytest.mark.parametrize(
    ("first", "start"),
    [
        (None, "2025-05-30T12:00:00Z"),  # the start of the lookback
        ("2024-01-01T00:00:00.000000Z", "2025-05-30T12:00:00Z"),
        ("2025-05-31T00:00:00.000000Z", "2025-05-31T00:00:00Z"),
    ],
)
def test_run_with_bookmark_reads_the_lookback_for_any_start_date(
    config: dict[str, Any],
    simulator: Simulator,
    start_date: str | None,
    first: str | None,
    start: str,
) -> None:
    state = state_of(events=BOOKMARK)
    if first:
        state["bookmarks"]["events"]["start_date"] = first
    sync(config | ({"start_date": start_date} if start_date else {}), "events", state=state)
    assert submitted(simulator)[0]["updatedStart"] == start


@pytest.mark.parametrize(
    "stream_maps", [{"users": None}, {"events": {"id": "id"}, "__else__": None}], ids=str
)
def test_stream_that_a_stream_map_drops_is_not_exported_and_has_no_bookmark(
    config: dict[str, Any], simulator: Simulator, stream_maps: dict[str, Any]
) -> None:
    output = sync(config | {"stream_maps": stream_maps}, "events", "users")
    assert output.error is None
    assert {request.stream for request in simulator.requests} == {"events"}
    assert [name for name, bookmark in output.bookmarks.items() if bookmark] == ["events"]
    # Once the map is gone, the stream starts at its first row.
    again = sync(config, "events", "users", state=output.states[-1])
    assert len(again.records["users"]) == len(simulator.dataset["users"])
