"""State and bookmarks of first, later and failed runs, and the state rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError, InputError
from tap_campusgroups.state import next_bookmark, range_start
from tests.simulator import Dataset, JsonBody, Simulator
from tests.support.harness import NEWEST, STARTED, catalog_of, settings_for, state_of, sync

if TYPE_CHECKING:
    from collections.abc import Mapping

BOOKMARK = "2025-06-01T12:00:00.250000Z"
"""`NEWEST` as the tap emits it."""


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


def test_messages_are_schema_records_state(config: dict[str, Any]) -> None:
    output = sync(config, "events")
    kinds = [message["type"] for message in output.messages]
    assert kinds == ["SCHEMA", *["RECORD"] * 5, "STATE"]
    assert output.messages[0]["bookmark_properties"] == ["updatedOn"]
    assert output.messages[0]["key_properties"] == ["id"]


def test_changed_row_moves_the_bookmark(simulator: Simulator, config: dict[str, Any]) -> None:
    state = sync(config, "events").states[-1]
    simulator.dataset["events"][2] |= {"updatedOn": "2025-06-01T15:30:00+02:00", "name": "new"}
    output = sync(config, "events", state=state, started=STARTED + timedelta(hours=1))
    assert output.bookmarks == {"events": "2025-06-01T13:30:00.000000Z"}
    assert "new" in [record["name"] for record in output.records["events"]]


def test_updated_on_in_any_format_is_emitted_in_one_format(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    forms = [
        "2025-06-01T16:59:59+05:00",  # 11:59:59 UTC, but the largest as a string
        "2025-06-01 12:00:01",
        "2025-06-01T12:00:00.9Z",
        "2025-06-01T12:00:00Z",
        "2025-05-31",
    ]
    for row, form in zip(simulator.dataset["events"], forms, strict=True):
        row["updatedOn"] = form
    output = sync(config, "events")
    assert sorted(record["updatedOn"] for record in output.records["events"]) == [
        "2025-05-31T00:00:00.000000Z",
        "2025-06-01T11:59:59.000000Z",
        "2025-06-01T12:00:00.000000Z",
        "2025-06-01T12:00:00.900000Z",
        "2025-06-01T12:00:01.000000Z",
    ]
    assert output.bookmarks == {"events": "2025-06-01T12:00:01.000000Z"}


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


@pytest.mark.parametrize("form", ["2025-06-01 12:00:00.250", "2025-06-01T14:00:00.25+02:00"])
def test_bookmark_in_another_format_is_parsed(
    simulator: Simulator, config: dict[str, Any], form: str
) -> None:
    output = sync(config, "events", state=state_of(events=form))
    (asked,) = submitted(simulator)
    assert asked["updatedStart"] == "2025-05-30T12:00:00Z"
    assert output.bookmarks == {"events": BOOKMARK}


def test_bookmark_that_is_not_a_date_is_an_error(config: dict[str, Any]) -> None:
    output = sync(config, "events", state=state_of(events="soon"))
    assert isinstance(output.error, InputError)
    assert str(output.error).startswith(
        "state: bookmarks.events.replication_key_value is not a valid date."
    )


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


def test_full_table_replication_reads_from_start_date(
    simulator: Simulator, config: dict[str, Any]
) -> None:
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    output = sync(
        config | {"start_date": "2020-01-01"}, catalog=catalog, state=state_of(events=BOOKMARK)
    )
    assert output.error is None
    assert submitted(simulator)[0]["updatedStart"] == "2020-01-01T00:00:00Z"
    assert len(output.records["events"]) == 5


@pytest.mark.parametrize(
    ("first", "start_date", "warns"),
    [
        (None, None, False),
        (None, "2025-05-30T12:00:00.25Z", False),  # the start of the lookback
        (None, "2025-05-30T12:00:01Z", True),
        (None, "2025-06-02", True),  # later than the bookmark
        ("2025-05-31T00:00:00.000000Z", "2025-05-31", False),  # as on the first run
        ("2024-01-01T00:00:00.000000Z", "2025-05-31", True),
    ],
)
def test_start_date_that_was_moved_into_the_lookback_is_a_warning(
    config: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
    first: str | None,
    start_date: str | None,
    *,
    warns: bool,
) -> None:
    state = state_of(events=BOOKMARK)
    if first:
        state["bookmarks"]["events"]["start_date"] = first
    sync(config | ({"start_date": start_date} if start_date else {}), "events", state=state)
    assert ("start_date is later than the start of the lookback of events" in caplog.text) == warns


def test_catalog_without_replication_key_reads_all_rows(config: dict[str, Any]) -> None:
    catalog = catalog_of(["events"])
    for stream in catalog["streams"]:
        del stream["replication_key"], stream["replication_method"]
        for entry in stream["metadata"]:
            for key in ("valid-replication-keys", "forced-replication-method", "replication-key"):
                entry["metadata"].pop(key, None)
    output = sync(config, catalog=catalog)
    assert output.error is None
    assert len(output.records["events"]) == 5


@pytest.mark.parametrize(
    ("bookmark", "start", "expected"),
    [
        (None, "2024-01-01", "2024-01-01"),
        ("2024-03-10", "2024-01-01", "2024-03-08"),
        ("2024-01-02", "2024-01-01", "2024-01-01"),  # not before start_date
        ("2024-01-01", "2024-02-01", "2024-02-01"),  # a later start_date
    ],
)
def test_range_start(bookmark: str | None, start: str, expected: str) -> None:
    def day(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)

    assert range_start(
        day(bookmark) if bookmark else None, start_date=day(start), lookback=timedelta(hours=48)
    ) == day(expected)


@pytest.mark.parametrize(
    ("bookmark", "newest", "end", "expected"),
    [
        (None, "2024-01-09", "2024-01-10", "2024-01-09"),
        ("2024-01-08", "2024-01-09", "2024-01-10", "2024-01-09"),
        ("2024-01-10", "2024-01-09", "2024-01-10", "2024-01-10"),  # not back
        ("2024-01-08", "2999-12-31", "2024-01-10", "2024-01-10"),  # not past the window
        (None, None, "2024-01-10", "2024-01-07"),  # no rows: not past the watermark
        (None, None, "2024-01-03", "2024-01-03"),  # no rows in an old window: its end
        (None, "2024-01-01", "2024-01-03", "2024-01-03"),
        ("2024-01-08", None, "2024-01-10", "2024-01-08"),
    ],
)
def test_next_bookmark(bookmark: str | None, newest: str | None, end: str, expected: str) -> None:
    assert next_bookmark(bookmark, newest=newest, end=end, watermark="2024-01-07") == expected


def test_run_without_lookback_reads_from_the_bookmark(simulator: Simulator) -> None:
    sync(settings_for(simulator, lookback_hours=0), "events", state=state_of(events=BOOKMARK))
    assert submitted(simulator)[0]["updatedStart"] == "2025-06-01T12:00:00Z"


def test_lookback_is_not_stored_in_the_state() -> None:
    with Simulator(Dataset({"events": 200}, newest=NEWEST, span=timedelta(days=10))) as simulator:
        state: dict[str, Any] = {}
        for _ in range(3):
            output = sync(settings_for(simulator), "events", state=state)
            state = output.states[-1]
            assert output.bookmarks == {"events": BOOKMARK}
