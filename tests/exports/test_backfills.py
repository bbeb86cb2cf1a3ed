"""Backfills in windows: their order, resubmission, failures, and the bookmark after each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError
from tap_campusgroups.records.values import format_timestamp
from tests.simulator import Dataset, FailQuery, Simulator
from tests.support.harness import NEWEST, STARTED, settings_for, sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.request_context import RequestContext
    from tests.support.harness import Output

DAY = timedelta(days=1)
START = NEWEST.replace(hour=0, minute=0, second=0, microsecond=0) - 10 * DAY
"""Start of the backfills, ten days before the day of the run."""

BACKFILL: dict[str, Any] = {"start_date": START.isoformat(), "export_window_days": 1}
ROWS = 60

pytestmark = pytest.mark.usefixtures("impatient")


# Order and bookmarks


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """The service with 60 rows each of two streams, in the window of the backfills and before."""
    dataset = Dataset({"events": ROWS, "rooms": ROWS}, newest=NEWEST, span=11 * DAY)
    with Simulator(dataset) as simulator:
        yield simulator


def timestamps_of(simulator: Simulator, stream: str) -> dict[int, str]:
    """Return each row's `updatedOn` in canonical form, by id."""
    found = {}
    for row in simulator.dataset[stream]:
        timestamp = datetime.fromisoformat(row["updatedOn"])
        aware = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        found[row["id"]] = format_timestamp(aware.astimezone(UTC))
    return found


def in_range(simulator: Simulator, stream: str, start: datetime, end: datetime) -> set[int]:
    """Return the ids of the rows between two timestamps."""
    return {
        number
        for number, updated in timestamps_of(simulator, stream).items()
        if format_timestamp(start) <= updated <= format_timestamp(end)
    }


def submitted(simulator: Simulator, stream: str = "events") -> list[tuple[datetime, datetime]]:
    """Return the bounds of the submitted exports."""
    return [
        (
            datetime.fromisoformat(request.query["updatedStart"]),
            datetime.fromisoformat(request.query["updatedEnd"]),
        )
        for request in simulator.requests
        if request.method == "POST" and request.stream == stream
    ]


def ids(output: Output, stream: str = "events") -> set[int]:
    """Return the ids of a stream's records."""
    return {record["id"] for record in output.records.get(stream, [])}


def successive_bookmarks(output: Output, stream: str = "events") -> list[str]:
    """Return the distinct bookmarks of a stream, in the order of the states."""
    every = (
        state.get("bookmarks", {}).get(stream, {}).get("replication_key_value", "")
        for state in output.states
    )
    return [bookmark for bookmark, _ in groupby(every)]


class FailFifthDay(FailQuery):
    """Fails every query from the fifth day of the backfill on."""

    def applies(self, context: RequestContext) -> bool:
        """Apply to submissions of such a window."""
        return context.window is not None and context.window[0] == START + 4 * DAY


def test_backfill_in_windows_submits_them_in_ascending_order(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, **BACKFILL, max_concurrent_exports=1), "events")
    assert output.error is None
    assert submitted(simulator) == [
        *((START + day * DAY, START + (day + 1) * DAY) for day in range(10)),
        (START + 10 * DAY, STARTED.replace(microsecond=0)),
    ]
    assert ids(output) == in_range(simulator, "events", START, STARTED)
    assert len(ids(output)) < ROWS


def test_state_after_each_window_has_the_newest_timestamp_so_far(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, **BACKFILL, page_size=3), "events")
    ends = [min(START + day * DAY, STARTED) for day in range(1, 12)]
    rows = timestamps_of(simulator, "events").values()
    expected = []
    for end in ends:
        newest = max((row for row in rows if row <= format_timestamp(end)), default="")
        end_ = format_timestamp(min(end.replace(microsecond=0), STARTED - 2 * DAY))
        expected.append(max(newest, end_))
    assert successive_bookmarks(output) == expected
    # Each state follows the records of its windows, and no others.
    seen: set[str] = set()
    position = 0
    for message in output.messages:
        if message["type"] == "RECORD":
            seen.add(message["record"]["updatedOn"])
        elif message["type"] == "STATE":
            bound = format_timestamp(ends[position])
            assert seen == {row for row in rows if format_timestamp(START) <= row <= bound}
            position += 1
    assert position == len(ends)


def test_window_without_rows_moves_the_bookmark_to_its_end(simulator: Simulator) -> None:
    simulator.dataset["events"].clear()
    output = sync(settings_for(simulator, **BACKFILL), "events")
    assert successive_bookmarks(output) == [
        *(format_timestamp(START + day * DAY) for day in range(1, 9)),
        format_timestamp(STARTED - 2 * DAY),  # the watermark, in the last three windows
    ]
    assert len(submitted(simulator)) == 11


@pytest.mark.parametrize("limit", [1, 4])
def test_failed_window_leaves_the_bookmark_of_the_window_before(
    simulator: Simulator, limit: int
) -> None:
    config = settings_for(simulator, **BACKFILL, max_concurrent_exports=limit)
    simulator.inject(FailFifthDay().on("events", times=None))
    output = sync(config, "events", "rooms")
    assert isinstance(output.error, ExportFailedError)
    assert output.bookmarks["events"] == format_timestamp(START + 4 * DAY)
    assert max(successive_bookmarks(output)) == output.bookmarks["events"]
    # No rows of later windows are emitted; the other stream is complete.
    assert ids(output) == in_range(simulator, "events", START, START + 4 * DAY)
    assert ids(output, "rooms") == in_range(simulator, "rooms", START, STARTED)
    assert output.bookmarks["rooms"] == format_timestamp(NEWEST)

    simulator.clear_faults()
    simulator.reset_log()
    again = sync(config, "events", "rooms", state=output.states[-1])
    assert again.error is None
    assert min(submitted(simulator))[0] == START + 2 * DAY
    assert ids(output) | ids(again) == in_range(simulator, "events", START, STARTED)


def test_halves_of_a_failed_window_have_no_state_between_them(simulator: Simulator) -> None:
    config = settings_for(simulator, **BACKFILL, max_concurrent_exports=1)
    undisturbed = sync(config, "events")
    simulator.reset_log()
    simulator.inject(FailFifthDay().on("events"))
    output = sync(config, "events")
    assert output.error is None
    assert len(submitted(simulator)) == 13
    assert ids(output) == in_range(simulator, "events", START, STARTED)
    assert successive_bookmarks(output) == successive_bookmarks(undisturbed)


# Other ranges


def test_run_after_a_run_with_end_date_resumes_there(simulator: Simulator) -> None:
    until = START + 5 * DAY + DAY / 4
    first = sync(settings_for(simulator, **BACKFILL, end_date=until.isoformat()), "events")
    assert first.error is None
    assert max(end for _, end in submitted(simulator)) == until
    assert ids(first) == in_range(simulator, "events", START, until)
    # The end is before the watermark.
    assert first.bookmarks == {"events": format_timestamp(until)}
    simulator.reset_log()
    second = sync(settings_for(simulator, **BACKFILL), "events", state=first.states[-1])
    assert min(submitted(simulator))[0] == until - 2 * DAY
    assert ids(first) | ids(second) == in_range(simulator, "events", START, STARTED)
    assert second.bookmarks == {"events": format_timestamp(NEWEST)}


def test_earlier_start_date_with_a_bookmark_is_a_warning(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def run(state: dict[str, Any], **more: Any) -> tuple[dict[str, Any], list[str]]:
        caplog.clear()
        output = sync(settings_for(simulator, **BACKFILL | more), "events", "rooms", state=state)
        assert output.error is None
        lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        return output.states[-1], [line for line in lines if "start_date" in line]

    state, lines = run({})
    assert lines == []
    assert run(state, start_date=(START + DAY).isoformat())[1] == []
    for start in ((START - DAY).isoformat(), None):
        (line,) = run(state, start_date=start)[1]
        assert "events, rooms" in line
